"""Reading stacks: what CloudFormation has, and what has happened to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from annex_bootstrap.aws import Account, explained, physical_id
from annex_bootstrap.errors import AwsError, DeniedError, UserError
from annex_contract.limits import Limits, UnreadableLimitsError
from annex_contract.outputs import find_foreign_output, find_wrong_output
from annex_contract.resources import BUCKET
from annex_contract.stack import MARKING_PARAMETERS, Output, Parameter
from annex_contract.statuses import State, read_status

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef


@dataclass(frozen=True)
class Stack:
    """A stack as CloudFormation describes it.

    Attributes:
        stack_id: its ARN.
        name: its name.
        status: such as ``CREATE_COMPLETE``.
        reason: why it has that status; often empty.
        parameters: as given; those with NoEcho are masked.
        outputs: by name.
        changed: when it was made, or last updated.
        protected: whether it cannot be deleted until somebody lifts its termination protection.
        tags: that CloudFormation gives what it makes.
    """

    stack_id: str
    name: str
    status: str
    reason: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    changed: datetime
    protected: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def max_seconds(self) -> int | None:
        """How long a machine may run; None where only its lease says that."""
        hours = self.parameters.get(Parameter.MAX_LEASE_HOURS)
        return int(hours) * 3600 if hours else None

    @property
    def limits(self) -> Limits:
        """What all its machines may have together.

        Raises:
            UserError: somebody gave it what the template does not allow.
        """
        try:
            return Limits.read(self.parameters)
        except UnreadableLimitsError as error:
            raise UserError(f"a limit of the stack {self.name} cannot be read: {error}") from error

    @property
    def state(self) -> State:
        """What its status means."""
        return read_status(self.status).state

    @property
    def in_progress(self) -> bool:
        """Whether CloudFormation is at work on it."""
        return self.state is State.IN_PROGRESS

    @property
    def is_deployed(self) -> bool:
        """Whether it is complete and has its outputs."""
        return self.state is State.DEPLOYED and bool(self.version)

    @property
    def is_ours(self) -> bool:
        """Whether our template made it: its parameters say so in every status, also before there are outputs."""
        return self.parameters.keys() >= MARKING_PARAMETERS

    @property
    def version(self) -> str:
        """The version of annex-bootstrap that made it; empty for a stack that never stood."""
        return self.outputs.get(Output.VERSION, "")

    @property
    def wrong_output(self) -> str:
        """The name of an output that our template would not put out in this stack; empty where there is none."""
        bucket = self.parameters.get(Parameter.BUCKET_NAME, "")
        roles = self.parameters.get(Parameter.GIVEN_ROLES, "")
        return find_wrong_output(self.outputs) or find_foreign_output(self.outputs, self.stack_id, bucket, roles)


@dataclass(frozen=True)
class Event:
    """One step of one resource.

    Attributes:
        event_id: unique.
        at: when.
        resource: its name in the template; for the stack itself, the stack's name.
        resource_type: such as ``AWS::Lambda::Function``.
        status: such as ``CREATE_FAILED``.
        reason: why; often empty.
    """

    event_id: str
    at: datetime
    resource: str
    resource_type: str
    status: str
    reason: str

    @property
    def is_stack(self) -> bool:
        """Whether it is a step of the stack as a whole."""
        return self.resource_type == "AWS::CloudFormation::Stack"

    @property
    def is_custom(self) -> bool:
        """Whether one of our functions made the step."""
        return self.resource_type.startswith("Custom::")

    @property
    def is_failure(self) -> bool:
        """Whether the resource failed by itself, not because another one did."""
        cancelled = "cancelled" in self.reason.lower() or "canceled" in self.reason.lower()
        return self.status.endswith("_FAILED") and not self.is_stack and not cancelled


def find(client: CloudFormationClient, name: str) -> Stack | None:
    """Return the stack of that name or ID, or None. A deleted one is found by its ID only."""
    try:
        with explained(f"reading the stack {name}"):
            described = client.describe_stacks(StackName=name)["Stacks"]
    except AwsError as error:
        if "does not exist" in error.reason:
            return None
        raise
    return _stack(described[0])


def _stack(described: StackTypeDef) -> Stack:
    return Stack(
        stack_id=described["StackId"],
        name=described["StackName"],
        status=described["StackStatus"],
        reason=described.get("StackStatusReason", ""),
        parameters={
            parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in described.get("Parameters", [])
        },
        outputs={output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])},
        changed=described.get("LastUpdatedTime", described["CreationTime"]),
        protected=described.get("EnableTerminationProtection", False),
        tags={tag["Key"]: tag["Value"] for tag in described.get("Tags", [])},
    )


def events(client: CloudFormationClient, stack_id: str, after: str = "") -> list[Event]:
    """Return the events of a stack, oldest first, without the one with the ID ``after`` and those before it."""
    found: list[Event] = []
    for page in client.get_paginator("describe_stack_events").paginate(StackName=stack_id):
        for described in page["StackEvents"]:
            if described["EventId"] == after:
                return found[::-1]
            found.append(
                Event(
                    event_id=described["EventId"],
                    at=described["Timestamp"],
                    resource=described.get("LogicalResourceId", ""),
                    resource_type=described.get("ResourceType", ""),
                    status=described.get("ResourceStatus", ""),
                    reason=" ".join(described.get("ResourceStatusReason", "").split()),
                )
            )
    return found[::-1]


def find_deployed(account: Account, stack_name: str) -> Stack:
    """Return a stack that has outputs.

    Raises:
        UserError: as for ``check_deployed``, or AWS refused.
    """
    return check_deployed(find(account.cloudformation, stack_name), stack_name, account.region)


def check_deployed(stack: Stack | None, stack_name: str, region: str) -> Stack:
    """Return a stack whose outputs can be used.

    Raises:
        UserError: there is no such stack, it has never been complete, or it is not ours.
    """
    check_ours(stack, stack_name)
    if stack is None:
        raise UserError(
            f"there is no stack {stack_name} in {region}: run annex-bootstrap deploy first, "
            "or give --stack-name or --region"
        )
    if not stack.outputs.get(Output.LEASE_FUNCTION_ARN):
        raise UserError(f"the stack {stack_name} is in {stack.status} and has no outputs: run annex-bootstrap deploy")
    if wrong := stack.wrong_output:
        raise _wrong(wrong, stack_name)
    return stack


def find_wrong_output_of(account: Account, stack: Stack) -> str:
    """Return the name of an output that is not the stack's own, or an empty text.

    Anyone who may only create stacks can say in a parameter that it has adopted any bucket: its resource has to say so.

    Raises:
        UserError: AWS refused.
    """
    if stack.wrong_output or not stack.version or not stack.parameters.get(Parameter.BUCKET_NAME):
        return stack.wrong_output
    adopted = physical_id(account, stack.stack_id, BUCKET.logical_id, BUCKET.resource_type)
    return "" if adopted == stack.outputs.get(Output.S3_BUCKET_NAME) else Output.S3_BUCKET_NAME


def check_outputs(account: Account, stack: Stack) -> Stack:
    """Return a stack whose outputs are all its own.

    Raises:
        UserError: one is not, or AWS refused.
    """
    if wrong := find_wrong_output_of(account, stack):
        raise _wrong(wrong, stack.name)
    return stack


def _wrong(output: str, stack_name: str) -> UserError:
    return UserError(
        f"the output {output} of the stack {stack_name} is not what annex-bootstrap puts there: nothing of the "
        "stack was used; ask the person who changed it, or give --stack-name"
    )


def check_ours(stack: Stack | None, name: str) -> None:
    """Refuse to touch what our template did not make.

    Raises:
        UserError: the stack was not made by annex-bootstrap.
    """
    if stack is not None and stack.state is not State.ABSENT and not stack.is_ours:
        raise UserError(f"the stack {name} was not made by annex-bootstrap: choose another name with --stack-name")


EARLIER_SETUP = tuple(
    f"HTCondorAnnex-{part}" for part in ("ConfigurationBucket", "LambdaFunctions", "InstanceProfile", "SecurityGroup")
)
"""The names that ``condor_annex -setup`` gives its stacks. Source:
https://github.com/htcondor/htcondor/blob/main/src/annex/annex-setup.cpp"""


def find_earlier_setup(account: Account) -> list[str]:
    """Return the names of the stacks of ``condor_annex -setup``, which may stand beside ours and are never touched.

    Returns:
        The names; none where the caller may not look.

    Raises:
        UserError: AWS refused for another reason.
    """
    try:
        stacks = [find(account.cloudformation, name) for name in EARLIER_SETUP]
    except DeniedError:
        return []
    return [stack.name for stack in stacks if stack is not None and stack.state is not State.ABSENT]


@dataclass(frozen=True)
class Holder:
    """Somebody to whom a policy of the stack is attached, which IAM does not delete until it is detached.

    Attributes:
        kind: ``user``, ``group`` or ``role``.
        name: of the user, group or role.
        policy_arn: the policy's.
    """

    kind: str
    name: str
    policy_arn: str


def find_holders(account: Account, stack: Stack) -> list[Holder]:
    """Return to whom the stack's policies for people are attached; none where the caller may not look.

    Raises:
        UserError: AWS refused for another reason.
    """
    try:
        return list_holders(account, stack)
    except DeniedError:
        return []


def list_holders(account: Account, stack: Stack) -> list[Holder]:
    """Return to whom the stack's policies for people are attached.

    Raises:
        DeniedError: the caller may not look.
        UserError: AWS refused for another reason.
    """
    holders: list[Holder] = []
    policies = [stack.outputs.get(output, "") for output in (Output.ANNEX_USER_POLICY_ARN, Output.START_POLICY_ARN)]
    for arn in filter(None, policies):
        try:
            with explained(f"reading to whom {arn} is attached"):
                for page in account.iam.get_paginator("list_entities_for_policy").paginate(PolicyArn=arn):
                    holders += [Holder("user", user["UserName"], arn) for user in page["PolicyUsers"]]
                    holders += [Holder("group", group["GroupName"], arn) for group in page["PolicyGroups"]]
                    holders += [Holder("role", role["RoleName"], arn) for role in page["PolicyRoles"]]
        except AwsError as error:
            # The policy is gone already.
            if error.code != "NoSuchEntity":
                raise
    return holders


def find_people(account: Account, holders: Iterable[Holder]) -> dict[str, str]:
    """Return the permissions boundaries of users and roles, as ``kind name``: those of groups by their members.

    Returns:
        The ARN of each one's boundary; nothing where it has none.

    Raises:
        DeniedError: the caller may not look.
        UserError: AWS refused for another reason.
    """
    found: dict[str, str] = {}
    users: list[str] = []
    with explained("reading the boundaries of those who hold the stack's policies"):
        for holder in holders:
            if holder.kind == "role":
                role = account.iam.get_role(RoleName=holder.name)["Role"]
                found[f"role {holder.name}"] = role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", "")
            elif holder.kind == "user":
                users.append(holder.name)
            else:
                for page in account.iam.get_paginator("get_group").paginate(GroupName=holder.name):
                    users += [user["UserName"] for user in page["Users"]]
        for name in users:
            user = account.iam.get_user(UserName=name)["User"]
            found[f"user {name}"] = user.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", "")
    return found
