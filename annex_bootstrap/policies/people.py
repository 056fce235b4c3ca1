"""The stack's two policies for people, for an administrator to own. Pure.

The deployer of the stack can rewrite those that the stack owns, and their holders may then do whatever they say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annex_bootstrap.errors import UserError
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.stack.resolve import resolve, resolve_conditions
from annex_bootstrap.stack.template import Template, check_parameters
from annex_contract.resources import SECURITY_GROUP, Attribute
from annex_contract.stack import LogicalId, Parameter

_GIVEN = "annex-bootstrap policy roles prints it with the roles"


def people_policy(template: Template, stack: Stack, vpc_id: str, policy: LogicalId) -> dict[str, Any]:
    """Return the document of one of the stack's policies, as this version's template has it.

    The stack's own is not read: it may have been rewritten.

    Args:
        template: of this version.
        stack: deployed, with outputs that are its own.
        vpc_id: of its security group.
        policy: which one.

    Raises:
        UserError: the stack has no such policy, is of another version, or has parameters that the template forbids.
    """
    parameters = {name: value for name, value in stack.parameters.items() if name in template["Parameters"]}
    # None of them may be a pattern of a policy.
    check_parameters(template, parameters)
    _, partition, _, region, account, _ = stack.stack_id.split(":", 5)
    values: dict[str, Any] = {
        "AWS::Partition": partition,
        "AWS::Region": region,
        "AWS::AccountId": account,
        "AWS::StackId": stack.stack_id,
        "AWS::StackName": stack.name,
        f"{SECURITY_GROUP.logical_id}.{Attribute.VPC_ID}": vpc_id,
    }
    for name, described in template["Parameters"].items():
        text = parameters.get(name, str(described.get("Default", "")))
        values[name] = text.split(",") if described["Type"] == "CommaDelimitedList" else text
    conditions = resolve_conditions(template["Conditions"], values)
    resource = template["Resources"][policy]
    if stack.parameters.get(Parameter.GIVEN_ROLES):
        raise UserError(f"an administrator owns the {policy} of the stack {stack.name} already: {_GIVEN}")
    if not conditions.get(resource.get("Condition"), True):
        raise UserError(f"the stack {stack.name} has no {policy}: it makes no image; deploy it with --param Image=yes")
    for name, output in template["Outputs"].items():
        if name in stack.outputs:
            values = {_source(output["Value"], conditions): stack.outputs[name]} | values
    try:
        document: dict[str, Any] = resolve(resource["Properties"]["PolicyDocument"], values, conditions)
    except KeyError as error:
        raise UserError(
            f"the stack {stack.name} does not say what its {error.args[0]} is: run annex-bootstrap deploy to update it"
        ) from error
    return document


def _source(value: Any, conditions: Mapping[str, bool]) -> str:
    """Return where an output takes its value from, as ``resolve`` names it; nothing where it is only text."""
    match value:
        case {"Fn::If": [condition, yes, no]}:
            return _source(yes if conditions[condition] else no, conditions)
        case {"Ref": name}:
            return str(name)
        case {"Fn::GetAtt": [name, attribute]}:
            return f"{name}.{attribute}"
    return ""
