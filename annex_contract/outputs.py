"""What each output is: its form, whether a stack may lack it, and the HTCondor knobs that take its value.

The patterns are the same in Python and in JavaScript, and match a whole value: whatever else a stack puts out must
never reach a configuration. None of them lets through a character that means something to HTCondor's configuration
language: a newline, ``$(`` or a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from annex_contract.stack import (
    LONGEST_STACK_NAME,
    ROLE_PATH,
    LogicalId,
    Output,
    given_policy_name,
    given_role_name,
    given_roles_id,
    stack_path,
)

_ARN = "arn:aws[a-z-]*"
_FUNCTION = f"{_ARN}:lambda:[a-z0-9-]+:[0-9]{{12}}:function:[A-Za-z0-9_-]+"
_ROLE = f"{_ARN}:iam::[0-9]{{12}}:role/[A-Za-z0-9_+=,.@/-]+"
_PROFILE = f"{_ARN}:iam::[0-9]{{12}}:instance-profile/[A-Za-z0-9_+=,.@/-]+"
_POLICY = f"{_ARN}:iam::[0-9]{{12}}:policy/[A-Za-z0-9_+=,.@/-]+"


@dataclass(frozen=True)
class Rule:
    """What holds for the value of one output.

    Attributes:
        pattern: a regular expression that matches every whole value.
        optional: whether a stack may lack the output, by its parameters.
        knobs: HTCondor's macros that get the value: those that ``condor_annex`` reads today (8.7.1 and later).
        guide_knobs: the names of HTCondor's 8.7.0 guide for the same.
        regional: whether its knobs are written with the region's prefix in the default region too: HTCondor has
            defaults of its own with the prefix of a region, and they beat a knob without one.
    """

    pattern: str
    optional: bool = False
    knobs: tuple[str, ...] = ()
    guide_knobs: tuple[str, ...] = ()
    regional: bool = False


OUTPUTS: Mapping[Output, Rule] = {
    Output.S3_BUCKET_NAME: Rule("[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", knobs=("ANNEX_DEFAULT_S3_BUCKET",)),
    Output.LEASE_FUNCTION_ARN: Rule(
        _FUNCTION,
        knobs=("ANNEX_DEFAULT_ODI_LEASE_FUNCTION_ARN", "ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN"),
        guide_knobs=("ANNEX_DEFAULT_LEASE_ARN",),
    ),
    Output.CONNECTIVITY_FUNCTION_ARN: Rule(_FUNCTION, knobs=("ANNEX_DEFAULT_CONNECTIVITY_FUNCTION_ARN",)),
    Output.INSTANCE_CONFIGURATION_PROFILE: Rule(
        _PROFILE,
        knobs=("ANNEX_DEFAULT_ODI_INSTANCE_PROFILE_ARN",),
        guide_knobs=("ANNEX_DEFAULT_INSTANCE_ROLE_ARN",),
    ),
    Output.INSTANCE_ROLE_ARN: Rule(_ROLE),
    Output.SECURITY_GROUP_ID: Rule(
        "sg-[0-9a-f]+",
        knobs=("ANNEX_DEFAULT_ODI_SECURITY_GROUP_IDS",),
        guide_knobs=("ANNEX_DEFAULT_SECURITY_GROUP_ID",),
    ),
    Output.IAM_FLEET_ROLE_ARN: Rule(_ROLE, guide_knobs=("ANNEX_DEFAULT_IAM_FLEET_ROLE_ARN",)),
    Output.ANNEX_USER_POLICY_ARN: Rule(_POLICY),
    Output.VERSION: Rule("[0-9]+[.][0-9]+[.][0-9]+[0-9A-Za-z.+-]*"),
    Output.KEY_PAIR_NAME: Rule("[A-Za-z0-9._-]+", optional=True, knobs=("ANNEX_DEFAULT_ODI_KEY_NAME",)),
    Output.IMAGE_ID: Rule("ami-[0-9a-f]+", optional=True, knobs=("ANNEX_DEFAULT_ODI_IMAGE_ID",), regional=True),
    Output.INSTANCE_TYPE: Rule(
        "[a-z0-9-]+[.][a-z0-9-]+", optional=True, knobs=("ANNEX_DEFAULT_ODI_INSTANCE_TYPE",), regional=True
    ),
    Output.LAUNCH_TEMPLATE_ID: Rule("lt-[0-9a-f]+", optional=True),
    Output.LAUNCH_TEMPLATE_VERSION: Rule("[0-9]+", optional=True),
    Output.START_POLICY_ARN: Rule(_POLICY, optional=True),
    Output.START_INSTANCE_PROFILE: Rule(_PROFILE, optional=True),
    Output.START_ROLE_ID: Rule("AROA[A-Z0-9]+", optional=True),
    Output.ANNEX_USER_ROLE_ARN: Rule(_ROLE, optional=True),
}
"""The rule for every output. Of several knobs, a configuration has those of today first, in this order."""


def profiles_of(outputs: Mapping[str, str]) -> frozenset[str]:
    """Return the ARNs of the instance profiles of a stack's machines.

    Args:
        outputs: of the stack.
    """
    profiles = (Output.INSTANCE_CONFIGURATION_PROFILE, Output.START_INSTANCE_PROFILE)
    return frozenset(outputs[name] for name in profiles if name in outputs)


def find_wrong_output(outputs: Mapping[str, str]) -> str:
    """Return the name of an output whose value is not of its form, or an empty text.

    Args:
        outputs: values by name; names that are not ours are not looked at.
    """
    for output, rule in OUTPUTS.items():
        if output in outputs and not re.fullmatch(rule.pattern, outputs[output]):
            return output
    return ""


def find_foreign_output(outputs: Mapping[str, str], stack_id: str, adopted_bucket: str, given_roles: str = "") -> str:
    """Return the name of an output that names what is not the stack's own, or an empty text.

    Who changes a stack may let it put out anything of the right form, which others would then invoke or use.

    Args:
        outputs: values of the right form, by name.
        stack_id: the stack's ARN.
        adopted_bucket: the bucket that its parameters name; empty where it made one.
        given_roles: of an administrator, by the stack's parameters; empty where it made its roles.
    """
    _, partition, _, region, account, resource = stack_id.split(":", 5)
    _, name, unique = resource.split("/")
    # Those of another stack would do for the form.
    parts = unique.split("-")
    its_own = given_roles_id(account, region, name) if given_roles else f"{parts[0]}-{parts[-1]}"
    iam = f"arn:{partition}:iam::{account}:"
    # Where the stack has a boundary of its own, its roles have its name.
    ours = rf"{ROLE_PATH}([a-z-]+-{its_own}|{re.escape(name)}_[a-z-]+-{its_own.split('-')[0]})"

    def made(logical_id: LogicalId) -> str:
        # AWS cuts longer names of stacks; what follows is random.
        start = f"{name}-{logical_id}-" if len(name) <= LONGEST_STACK_NAME else name[:LONGEST_STACK_NAME]
        return f"{re.escape(start)}[A-Za-z0-9{'-' * (len(name) > LONGEST_STACK_NAME)}]+"

    def policy(logical_id: LogicalId) -> str:
        return re.escape(given_policy_name(name, logical_id, its_own)) if given_roles else made(logical_id)

    made_role = made(LogicalId.ANNEX_USER_ROLE)
    user_role = given_role_name(LogicalId.ANNEX_USER_ROLE, its_own) if given_roles else made_role
    functions = f"arn:{partition}:lambda:{region}:{account}:function:"
    bucket = re.escape(adopted_bucket) or f"annex-bootstrap-{account}-{its_own}"
    own = {
        Output.S3_BUCKET_NAME: bucket,
        Output.LEASE_FUNCTION_ARN: functions + made(LogicalId.LEASE_FUNCTION),
        Output.CONNECTIVITY_FUNCTION_ARN: functions + made(LogicalId.CONNECTIVITY_FUNCTION),
        Output.INSTANCE_CONFIGURATION_PROFILE: f"{iam}instance-profile{ours}",
        Output.START_INSTANCE_PROFILE: f"{iam}instance-profile{ours}",
        Output.INSTANCE_ROLE_ARN: f"{iam}role{ours}",
        # It may have been adopted, with any name.
        Output.IAM_FLEET_ROLE_ARN: f"{iam}role/.+",
        Output.ANNEX_USER_ROLE_ARN: f"{iam}role{stack_path(name)}{user_role}",
        Output.ANNEX_USER_POLICY_ARN: f"{iam}policy{ROLE_PATH}{policy(LogicalId.ANNEX_USER_POLICY)}",
        Output.START_POLICY_ARN: f"{iam}policy{ROLE_PATH}{policy(LogicalId.START_POLICY)}",
    }
    return next((name for name, rule in own.items() if name in outputs and not re.fullmatch(rule, outputs[name])), "")
