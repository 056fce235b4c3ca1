"""The roles and policies of a stack, as a template for an administrator, whose guest then deploys without them. Pure.

What the stack's own policies say of its ID and of what it makes is not known before there is a stack. So these say the
same of every stack of its name in the region: by the tag that our functions put on all they make, by the names of
functions, and by names that derive from account, region and stack.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from annex_bootstrap import PROGRAM
from annex_bootstrap.errors import CommandLineError
from annex_bootstrap.policies.limits import split
from annex_bootstrap.stack.resolve import resolve, resolve_conditions
from annex_bootstrap.stack.template import Template, check_network, check_parameters
from annex_contract.iam import Statement, allow, document, trust
from annex_contract.machine_policies import (
    BOOT_POLICY,
    CONFIGURATION_POLICY,
    FLEET_POLICY,
    KEY_POLICY,
    START_POLICY,
    boot_policy,
    configuration_policy,
    fleet_policy,
    key_policy,
    start_policy,
)
from annex_contract.resources import (
    BUCKET,
    FLEET_ROLE,
    IMAGE,
    INSTANCE_ROLE,
    SECURITY_GROUP,
    START_ROLE,
    Attribute,
    CustomResource,
)
from annex_contract.stack import (
    ROLE_PATH,
    STACK_TAG,
    LogicalId,
    Parameter,
    Part,
    function_of,
    given_policy_name,
    given_role_name,
    given_roles_id,
    stack_name_problem,
    stack_path,
)

DEPLOY_POLICY = "DeployPolicy"
"""The policy with which a guest hands the roles to the stack's functions: all of IAM that deploying then needs."""

_MADE = "<made>"
"""What stands for the ID of something that the stack makes, and a policy cannot know."""


class RolesTemplate:
    """The template of the roles of one stack in one region."""

    def __init__(
        self,
        template: Template,
        partition: str,
        account: str,
        region: str,
        stack_name: str,
        parameters: Mapping[str, str],
    ) -> None:
        """Take what the roles depend on.

        Args:
            template: the built one, of the stack.
            partition: such as ``aws``.
            account: the account ID, 12 digits.
            region: of the stack.
            stack_name: the stack's name.
            parameters: of the stack, by name; others have their defaults.

        Raises:
            CommandLineError: our stacks cannot have that name, or a parameter is not allowed.
        """
        if problem := stack_name_problem(stack_name):
            raise CommandLineError(problem)
        check_parameters(template, parameters)
        check_network(parameters)
        self.resources: Mapping[str, Any] = template["Resources"]
        self.partition, self.account, self.region, self.stack_name = partition, account, region, stack_name
        self.roles = given_roles_id(account, region, stack_name)
        # As in a stack that makes its roles: these are to be the same.
        self.parameters = {**parameters, Parameter.GIVEN_ROLES: ""}
        self.values = self._given(template)
        self.conditions = resolve_conditions(template["Conditions"], self.values)
        self.values |= self._made()
        self.key = str(self.values[Parameter.KMS_KEY_ARN])

    def text(self) -> str:
        """Return the template as JSON with a resource a line: CloudFormation takes 51,200 bytes that are not in S3.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
        """
        built = self.build()
        lines = ",\n".join(f"  {json.dumps(title)}: {json.dumps(made)}" for title, made in built["Resources"].items())
        parts = [f" {json.dumps(name)}: {json.dumps(part)}" for name, part in built.items() if name != "Resources"]
        return "{\n" + ",\n".join([*parts, f' "Resources": {{\n{lines}\n }}']) + "\n}\n"

    def build(self) -> dict[str, Any]:
        """Return the template. It needs ``CAPABILITY_NAMED_IAM`` and has no parameters."""
        made: dict[str, Any] = {}
        for title in self._wanted("AWS::Lambda::Function"):
            made[Part.ROLE.of(title)] = self._function_role(title)
        made |= self._machine_role(INSTANCE_ROLE, self._instance_policies())
        if self.conditions["MakesImage"]:
            made |= self._machine_role(START_ROLE, self._start_policies())
        if not self.conditions["HasFleetRoleName"]:
            made[FLEET_ROLE.logical_id] = self._fleet_role()
        for title in self._wanted("AWS::IAM::ManagedPolicy"):
            properties = self.resources[title]["Properties"]
            made |= self._policies(title, properties["Description"], self._statements(properties["PolicyDocument"]))
        for title in self._wanted("AWS::IAM::Role"):
            if title not in made:
                made[title] = self._user_role(title, [{"Ref": name} for name in made if name.startswith("StartPolicy")])
        passing = allow(
            "PassRolesToFunctions",
            "iam: PassRole",
            self._arn("iam", f"role{stack_path(self.stack_name)}{given_role_name(f'*{Part.ROLE}', self.roles)}"),
            {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}},
        )
        made |= self._policies(DEPLOY_POLICY, "What a guest who deploys needs of IAM", [passing])
        policies = [title for title, resource in made.items() if resource["Type"] == "AWS::IAM::ManagedPolicy"]
        return {
            "AWSTemplateFormatVersion": "2010-09-09",
            "Description": (
                f"The roles and policies of the annex-bootstrap stack {self.stack_name} in {self.region}, made by an "
                f"administrator for somebody who may make none."
            ),
            "Resources": made,
            "Outputs": {
                Parameter.GIVEN_ROLES.value: {
                    "Description": "The parameter GivenRoles of the stack",
                    "Value": self.roles,
                },
                "Deploy": {"Description": "What the guest runs", "Value": self.command()},
                **{
                    f"{title}ARN": {"Description": made[title]["Properties"]["Description"], "Value": {"Ref": title}}
                    for title in policies
                },
            },
        }

    def _wanted(self, resource_type: str) -> Iterator[str]:
        for title, resource in self.resources.items():
            if resource["Type"] == resource_type and self.conditions.get(resource.get("Condition"), True):
                yield title

    def command(self) -> str:
        """Return the command line with which the guest deploys."""
        given = {**self.parameters, Parameter.GIVEN_ROLES: self.roles}
        options = [part for name, value in given.items() for part in ("--param", f"{name}={value}")]
        where = ["--stack-name", self.stack_name, "--region", self.region]
        return shlex.join([PROGRAM, "deploy", *where, *options])

    def _arn(self, service: str, resource: str) -> str:
        region = "" if service == "iam" else self.region
        return f"arn:{self.partition}:{service}:{region}:{self.account}:{resource}"

    def _given(self, template: Template) -> dict[str, Any]:
        """Return what parameters and pseudo parameters give."""
        first, last = self.roles.split("-")
        # An ID of which the template derives the names that these roles have.
        self.stack_id = self._arn("cloudformation", f"stack/{self.stack_name}/{first}-0-0-0-{last}")
        values: dict[str, Any] = {
            "AWS::Partition": self.partition,
            "AWS::Region": self.region,
            "AWS::AccountId": self.account,
            "AWS::StackId": self.stack_id,
            "AWS::StackName": self.stack_name,
            "AWS::URLSuffix": "amazonaws.com",
        }
        for name, described in template["Parameters"].items():
            text = self.parameters.get(name, str(described.get("Default", "")))
            values[name] = text.split(",") if described["Type"] == "CommaDelimitedList" else text
        return values

    def _made(self) -> dict[str, Any]:
        """Return what the resources of the stack give, as far as a policy can know it."""
        values: dict[str, Any] = {
            f"{SECURITY_GROUP.logical_id}.{Attribute.GROUP_ID}": _MADE,
            # Only the group is in it, and that has the tag.
            f"{SECURITY_GROUP.logical_id}.{Attribute.VPC_ID}": self.values[Parameter.VPC_ID] or "*",
            f"{IMAGE.logical_id}.{Attribute.IMAGE_ID}": _MADE,
            LogicalId.LAUNCH_TEMPLATE: _MADE,
        }
        for title in self._wanted("AWS::Lambda::Function"):
            values[f"{title}.Arn"] = self._arn("lambda", f"function:{self.stack_name}-{title}-*")
            logs = Part.LOGS.of(title)
            values[f"{logs}.Arn"] = self._arn("logs", f"log-group:{self.stack_name}-{logs}-*")
        for custom in (INSTANCE_ROLE, START_ROLE, FLEET_ROLE):
            name = self._name(custom)
            values[f"{custom.logical_id}.{Attribute.ROLE_ARN}"] = self._arn("iam", f"role{ROLE_PATH}{name}")
            values[f"{custom.logical_id}.{Attribute.PROFILE_ARN}"] = self._arn(
                "iam", f"instance-profile{ROLE_PATH}{name}"
            )
        return values

    def _name(self, custom: CustomResource) -> str:
        name = self.resources[custom.logical_id]["Properties"][custom.name_property]
        return str(resolve(name, self.values, self.conditions))

    def _statements(self, document: Mapping[str, Any]) -> list[Statement]:
        """Return the statements of a policy of the template, for every stack of this name."""
        resolved = resolve(document["Statement"], self.values, self.conditions)
        of_all = self.stack_id.rpartition("/")[0] + "/*"
        found = json.loads(json.dumps(resolved).replace(self.stack_id, of_all))
        return [part for statement in found for part in _by_tag(statement, self.stack_name)]

    def _function_role(self, function: str) -> dict[str, Any]:
        role = Part.ROLE.of(function)
        of_template = self.resources[role]["Properties"]
        separate = [self.resources[title]["Properties"] for title in self._wanted("AWS::IAM::RolePolicy")]
        of_role = [policy for policy in separate if policy["RoleName"] == {"Ref": role}]
        held = [*of_role, *of_template.get("Policies", [])]
        statements = [part for each in held for part in self._statements(each["PolicyDocument"])]
        for custom in (INSTANCE_ROLE, START_ROLE, FLEET_ROLE):
            if function == function_of(custom.logical_id):
                statements = [statements[0], *self._reading(custom, statements)]
        return self._role(
            given_role_name(role, self.roles),
            stack_path(self.stack_name),
            of_template["Description"],
            of_template["AssumeRolePolicyDocument"],
            {"function": document(statements)},
        )

    def _reading(self, custom: CustomResource, statements: list[Statement]) -> Iterator[Statement]:
        """Yield what a function needs to check a role that it did not make."""
        kept = ("FindRole", "FindProfile", "FindServiceLinkedRoles", "CreateServiceLinkedRoles")
        yield from (statement for statement in statements if statement["Sid"] in kept)
        if custom is not FLEET_ROLE:
            arn = self.values[f"{custom.logical_id}.{Attribute.ROLE_ARN}"]
            yield allow("ReadRolePolicies", "iam: GetRolePolicy", arn)

    def _role(
        self,
        name: str,
        path: str,
        description: str,
        trusting: Mapping[str, Any],
        policies: Mapping[str, dict[str, Any]],
    ) -> dict[str, Any]:
        boundary = self.values[Parameter.PERMISSIONS_BOUNDARY_ARN]
        return {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "RoleName": name,
                "Path": path,
                "Description": description,
                **({"PermissionsBoundary": boundary} if boundary else {}),
                "AssumeRolePolicyDocument": trusting,
                "Policies": [{"PolicyName": policy, "PolicyDocument": content} for policy, content in policies.items()],
            },
        }

    def _machine_role(self, custom: CustomResource, policies: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        name = self._name(custom)
        service = self.resources[custom.logical_id]["Properties"]["TrustedService"]
        with_key = {KEY_POLICY: key_policy(self.key)} if self.key else {}
        purpose = self.resources[function_of(custom.logical_id)]["Properties"]["Description"].rpartition(" of ")[2]
        return {
            custom.logical_id: self._role(
                name, ROLE_PATH, f"Assumed by {purpose}", document([trust(service)]), {**policies, **with_key}
            ),
            f"{custom.logical_id}Profile": {
                "Type": "AWS::IAM::InstanceProfile",
                "Properties": {
                    "InstanceProfileName": name,
                    "Path": ROLE_PATH,
                    "Roles": [{"Ref": custom.logical_id}],
                },
            },
        }

    def _instance_policies(self) -> dict[str, dict[str, Any]]:
        bucket, pattern = self._name(BUCKET), self.values[Parameter.CONFIG_KEY_PATTERN]
        role, profile = (
            self.values[f"{INSTANCE_ROLE.logical_id}.{attribute}"]
            for attribute in (Attribute.ROLE_ARN, Attribute.PROFILE_ARN)
        )
        return {
            CONFIGURATION_POLICY: configuration_policy(f"arn:{self.partition}:s3:::{bucket}/{pattern}"),
            BOOT_POLICY: boot_policy(role, profile),
        }

    def _start_policies(self) -> dict[str, dict[str, Any]]:
        return {START_POLICY: start_policy(self.partition, self._name(BUCKET))}

    def _fleet_role(self) -> dict[str, Any]:
        service = self.resources[FLEET_ROLE.logical_id]["Properties"]["TrustedService"]
        machines = self.values[f"{INSTANCE_ROLE.logical_id}.{Attribute.ROLE_ARN}"]
        held = fleet_policy(self.partition, self.account, machines, self.key)
        trusting = document([trust(service)])
        return self._role(self._name(FLEET_ROLE), ROLE_PATH, "Assumed by spot fleets", trusting, {FLEET_POLICY: held})

    def _user_role(self, title: str, policies: list[Any]) -> dict[str, Any]:
        """Return the role that people take, with the policies that only they have."""
        properties = resolve(
            {name: part for name, part in self.resources[title]["Properties"].items() if name != "ManagedPolicyArns"},
            self.values,
            self.conditions,
        )
        name = given_role_name(title, self.roles)
        return {"Type": "AWS::IAM::Role", "Properties": {"RoleName": name, **properties, "ManagedPolicyArns": policies}}

    def _policies(self, title: str, description: str, statements: list[Statement]) -> dict[str, Any]:
        """Return a policy, and a second one of the same title where one is too long: with a long stack's name."""
        return {
            part_title: {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {
                    "ManagedPolicyName": given_policy_name(self.stack_name, part_title, self.roles),
                    "Path": ROLE_PATH,
                    "Description": description,
                    "PolicyDocument": part,
                },
            }
            for number, part in enumerate(split(document(statements)), start=1)
            for part_title in (title if number == 1 else f"{title}{number}",)
        }


def _by_tag(statement: Statement, stack_name: str) -> Iterator[Statement]:
    """Yield a statement with patterns, and the stack's tag in place of an ID that is not known.

    A launch template needs the tag, and what is started by it no other one: EC2 says whether it is the template's.

    Args:
        statement: resolved.
        stack_name: the stack's name.
    """
    condition = _patterns(statement.get("Condition", {}))
    resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
    by_template = "ec2:IsLaunchTemplateResource" in condition.get("Bool", {})
    ours = [resource.replace(_MADE, "*") for resource in resources if _MADE in resource and not by_template]
    others = [resource.replace(_MADE, "*") for resource in resources if by_template or _MADE not in resource]
    rest = {name: part for name, part in statement.items() if name != "Condition"}
    if others:
        limits = {"Condition": condition} if condition else {}
        yield {**rest, "Resource": others if len(others) > 1 else others[0], **limits}
    if ours:
        # Short, because a managed policy has 6,144 characters. Something of another region or account is not among what
        # the statement names, or does not show its tags.
        tag: dict[str, Any] = {f"aws:ResourceTag/{STACK_TAG}": f"*:stack/{stack_name}/*"}
        limits = {**condition, "StringLike": {**condition.get("StringLike", {}), **tag}}
        sid = f"{statement['Sid']}{'Ours' if others else ''}"
        yield {**rest, "Sid": sid, "Resource": ours if len(ours) > 1 else ours[0], "Condition": limits}


def _patterns(condition: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a condition in which what has a wildcard is compared as a pattern."""
    found: dict[str, dict[str, Any]] = {}
    for operator, keys in condition.items():
        for key, value in keys.items():
            if key == "ec2:LaunchTemplate" and _MADE in value:
                # That there is one: which, the tag of the launch template says.
                found.setdefault("Null", {})[key] = "false"
                continue
            text = json.dumps(value).replace(_MADE, "*")
            like = operator.replace("Equals", "Like") if "*" in text else operator
            found.setdefault(like, {})[key] = json.loads(text)
    return found
