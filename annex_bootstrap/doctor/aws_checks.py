"""What can be wrong in AWS."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Any, ClassVar, Self, TypeVar

from annex_bootstrap.advice import service_linked_role_command
from annex_bootstrap.annexes.starting import may_be_scheduled
from annex_bootstrap.aws import Account, explained, physical_id
from annex_bootstrap.doctor.check import Check, Finding, Level, Setup
from annex_bootstrap.errors import AwsError, DeniedError, UserError
from annex_bootstrap.machines.quotas import increase_command, read_quota
from annex_bootstrap.machines.subnets import EVERYWHERE, find_ways, route_tables, stack_subnets
from annex_bootstrap.policies.boundary import users_boundary
from annex_bootstrap.policies.key import key_policy, missing
from annex_bootstrap.stack import metrics
from annex_bootstrap.stack.image import StackImage, read_image
from annex_bootstrap.stack.read import Stack, find_people, list_holders
from annex_contract import __version__
from annex_contract.image import IMAGE_YES
from annex_contract.knobs import DEFAULT_PORT
from annex_contract.lease import SWEEP_EVENT, SWEEP_RATE
from annex_contract.operating_system import SYSTEM
from annex_contract.resources import CUSTOM_RESOURCES
from annex_contract.stack import (
    ROLE_PATH,
    SPOT_FLEET_SERVICE,
    SPOT_SERVICE_LINKED_ROLES,
    LogicalId,
    Output,
    Parameter,
    function_of,
    sweep_rule_name,
)

LEAST_VCPUS = 2
"""Of one machine of the stack's default type."""

AMPLE_VCPUS = 64
"""A quota below this, as of a new account, keeps annexes small."""

GONE = {
    "404",
    "InvalidGroup.NotFound",
    "InvalidLaunchTemplateId.NotFound",
    "InvalidLaunchTemplateId.NotFoundException",
    "NoSuchEntity",
    "NotFoundException",
    "ResourceNotFoundException",
}
"""Error codes that mean that something does not exist."""

PENDING = "PendingConfirmation"
"""What SNS lists in place of the ARN until somebody follows the link:
https://docs.aws.amazon.com/sns/latest/api/API_Subscription.html"""

DAY = 86400

FAILURES = "?ERROR ?timed"
"""The filter for log lines that report a failure: ERROR, as our functions and Python write it, or a timeout."""

LINE_LENGTH = 200

_DEPLOY_AGAIN = "run annex-bootstrap delete --end-annexes, then annex-bootstrap deploy"

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class AwsCredentials(Check):
    """Which account and region it is about; that AWS takes the credentials is known before."""

    id = "aws-credentials"
    subject = "AWS credentials"

    account: str
    region: str

    @classmethod
    def read(cls, setup: Setup) -> Self:
        return cls(setup.account.account_id, setup.account.region)

    def judge(self) -> Finding:
        return self.ok(f"account {self.account}, region {self.region}")


@dataclass(frozen=True)
class Quota(Check):
    """The account may run machines; where it may run few, how to ask for more.

    Attributes:
        region: where.
        on_demand: vCPUs that may run at once on demand.
        spot: vCPUs that may run at once on the spot market.
        error: why the quotas cannot be read; None where they are.
    """

    id = "vcpu-quota"
    subject = "quota of vCPUs"

    region: str
    on_demand: int
    spot: int
    error: UserError | None = None

    @classmethod
    def read(cls, setup: Setup) -> Self:
        return cls.of(setup.account)

    @classmethod
    def of(cls, account: Account) -> Self:
        """Read both quotas of an account."""
        try:
            return cls(account.region, read_quota(account, spot=False), read_quota(account, spot=True))
        except UserError as error:
            return cls(account.region, 0, 0, error)

    def judge(self) -> Finding:
        if self.error is not None:
            policy = "ask your administrator for what `annex-bootstrap policy operator` prints"
            return self.skipped("it cannot be read", policy if isinstance(self.error, DeniedError) else str(self.error))
        commands = tuple(
            increase_command(self.region, AMPLE_VCPUS, spot=is_spot)
            for is_spot, limit in ((False, self.on_demand), (True, self.spot))
            if limit < AMPLE_VCPUS
        )
        enough = self.on_demand >= LEAST_VCPUS
        purpose = "for larger annexes" if enough else "before the first annex"
        advice = f"{purpose} ask AWS for more, which may take days:" if commands else ""
        detail = f"{self.on_demand} on demand, {self.spot} on the spot market"
        return Finding(self.id, self.subject, Level.OK if enough else Level.PROBLEM, detail, advice, commands)


@dataclass(frozen=True)
class StackCheck(Check):
    """The stack is deployed, by this version of the client.

    Attributes:
        name: of the stack.
        stack: None where there is none.
        version: of this client.
        wrong: the name of an output that is not the stack's own; empty where there is none.
    """

    id = "stack"
    subject = "stack"

    name: str
    stack: Stack | None
    version: str
    wrong: str = ""

    @classmethod
    def read(cls, setup: Setup) -> Self:
        return cls(setup.stack_name, setup.stack, __version__, setup.wrong_output)

    def judge(self) -> Finding:
        if self.stack is None:
            return self.problem(f"there is no stack {self.name}", "run annex-bootstrap deploy")
        if not self.stack.is_deployed:
            advice = "run annex-bootstrap deploy, which fixes or explains it"
            return self.problem(f"{self.name} is in {self.stack.status}", advice)
        if wrong := self.stack.wrong_output or self.wrong:
            detail = (
                f"the output {wrong} of {self.name} is not what annex-bootstrap puts there, so nothing of it is used"
            )
            return self.problem(detail, "ask those who can change the stack, then run annex-bootstrap deploy")
        if self.stack.version != self.version:
            detail = f"{self.name} has version {self.stack.version}, this client {self.version}"
            return self.problem(
                detail, "run annex-bootstrap deploy to update it, or install the client of that version"
            )
        return self.ok(f"{self.name} {self.stack.status}, version {self.version}")


@dataclass(frozen=True)
class Bucket(Check):
    """The bucket exists and is closed to the public.

    Attributes:
        name: of the bucket.
        blocks: its public access blocks by name; None where there is no such bucket.
    """

    id = "bucket"
    subject = "bucket"

    name: str
    blocks: Mapping[str, Any] | None

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        if setup.deployed is None:
            return None
        s3, name = setup.account.s3, setup.deployed.outputs[Output.S3_BUCKET_NAME]
        try:
            # HeadBucket would take the right to list what is in it.
            with explained(f"checking the bucket {name}"):
                return cls(name, {**s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]})
        except AwsError as error:
            if error.code not in ("NoSuchBucket", "NoSuchPublicAccessBlockConfiguration"):
                raise
            return cls(name, None if error.code == "NoSuchBucket" else {})

    def judge(self) -> Finding:
        if self.blocks is None:
            return self.problem(f"{self.name} is gone", f"{_DEPLOY_AGAIN}: annexes need a bucket")
        open_blocks = sorted(key for key, value in self.blocks.items() if value is not True)
        if len(self.blocks) < 4 or open_blocks:
            detail = f"{self.name} is not closed to the public ({', '.join(open_blocks) or 'no block is set'})"
            return self.problem(detail, "switch on Block all public access: it holds the pool password for a while")
        return self.ok(f"{self.name} is closed to the public")


@dataclass(frozen=True)
class _Function(Check):
    """A function can run, and has not failed lately.

    Attributes:
        state: as Lambda says; empty where there is none.
        reason: why it has that state.
        errors: its last error lines, the newest last.
    """

    output: ClassVar[Output]

    state: str
    reason: str
    errors: Sequence[str]

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        if setup.deployed is None:
            return None
        functions, arn = setup.account.lambda_, setup.deployed.outputs[cls.output]
        with explained(f"checking the {cls.subject}"):
            found = _unless_gone(lambda: functions.get_function_configuration(FunctionName=arn))
            if found is None:
                return cls("", "", [])
            group = found.get("LoggingConfig", {}).get("LogGroup", f"/aws/lambda/{found['FunctionName']}")
            pages = setup.account.logs.get_paginator("filter_log_events").paginate(
                logGroupName=group, startTime=int(time.time() - DAY) * 1000, filterPattern=FAILURES
            )
            errors = [log_message(event["message"]) for page in pages for event in page["events"]]
        return cls(found.get("State", "Active"), found.get("StateReason", ""), errors)

    def judge(self) -> Finding:
        if not self.state:
            return self.problem("it is gone", _DEPLOY_AGAIN)
        if self.state not in ("Active", "Inactive"):
            advice = "run annex-bootstrap deploy, or check it in the console"
            return self.problem(f"it is {self.state}: {self.reason}", advice)
        if self.errors:
            detail = f"{len(self.errors)} error lines in the last day, the last: {self.errors[-1]}"
            return self.problem(detail, "read its log: annexes may keep running after their lease")
        return self.ok(f"{self.state}, no error in the last day")


@dataclass(frozen=True)
class LeaseFunction(_Function):
    """The function that ends leases can run, and has not failed lately."""

    id = "lease-function"
    subject = "lease function"
    output = Output.LEASE_FUNCTION_ARN


@dataclass(frozen=True)
class OrphanCheck(Check):
    """EventBridge calls the lease function, as the orphan check makes it do every hour.

    Attributes:
        age: seconds since the stack was created or last updated.
        calls: of the lease function in the last `metrics.HOURS` hours.
        refused: orphan checks that EventBridge could not deliver in that time.
    """

    id = "orphan-check"
    subject = "orphan check"

    age: float
    calls: float
    refused: float

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        stack = setup.deployed
        if stack is None:
            return None
        with explained("counting the calls of the lease function"):
            function = stack.outputs[Output.LEASE_FUNCTION_ARN].rpartition(":")[2]
            calls = metrics.sums(setup.account, "AWS/Lambda", "Invocations", FunctionName=function)
            rule = sweep_rule_name(stack.name)
            refused = metrics.sums(setup.account, "AWS/Events", "FailedInvocations", RuleName=rule)
        age = (datetime.now(UTC) - stack.changed).total_seconds()
        # What was refused before is over: a deployment mends it, and an older stack's rule had the same name.
        since = [point for point in refused if point["Timestamp"] >= stack.changed]
        return cls(age, sum(point["Sum"] for point in calls), sum(point["Sum"] for point in since))

    def judge(self) -> Finding:
        if self.refused:
            count = _times(self.refused)
            detail = f"EventBridge could not call the lease function {count} in the last {metrics.HOURS} hours"
            return self.problem(detail, "see the next check; until it can, leases do not end annexes")
        if self.calls:
            return self.ok(f"the lease function was called {_times(self.calls)} in the last {metrics.HOURS} hours")
        if self.age < metrics.HOURS * 3600:
            return self.skipped("the stack is new, and nothing has called the lease function yet", "try again later")
        detail = f"nothing has called the lease function in the last {metrics.HOURS} hours"
        advice = "enable the rule SweepRule in the EventBridge console; where it is gone, the next check says so"
        return self.problem(detail, advice)


class Lost(StrEnum):
    """What somebody may have deleted by hand, beside what the other checks find."""

    SWEEP_RULE = "the rule of the orphan check"
    PERMISSION = "EventBridge's permission to run the lease function"
    LAUNCH_TEMPLATE = "the launch template"


@dataclass(frozen=True)
class Parts(Check):
    """What the stack made and no other check looks at is still there: a deployment would not notice.

    Attributes:
        region: of the stack.
        function_arn: the lease function.
        rule: the name of the rule of the orphan check.
        statement: the name of the permission.
        lost: what is gone.
        functions: the functions of custom resources that are gone.
        unread: what may not be read.
    """

    id = "parts"
    subject = "parts of the stack"

    region: str
    function_arn: str
    rule: str
    statement: str
    lost: Sequence[Lost] = ()
    functions: Sequence[str] = ()
    unread: Sequence[str] = ()

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        stack, account = setup.deployed, setup.account
        if stack is None:
            return None
        arn, rule = stack.outputs[Output.LEASE_FUNCTION_ARN], sweep_rule_name(stack.name)
        template = stack.outputs.get(Output.LAUNCH_TEMPLATE_ID)
        unread: list[str] = []

        def is_gone(what: str, find: Callable[[], Any]) -> bool:
            try:
                return not _unless_gone(find)
            except DeniedError:
                unread.append(what)
                return False

        def find_template() -> Any:
            return account.ec2.describe_launch_templates(LaunchTemplateIds=[str(template)])["LaunchTemplates"]

        lost = [
            part
            for part, gone in (
                (Lost.SWEEP_RULE, is_gone(Lost.SWEEP_RULE, lambda: account.events.describe_rule(Name=rule))),
                (Lost.PERMISSION, not may_be_scheduled(account, arn)),
                (Lost.LAUNCH_TEMPLATE, bool(template) and is_gone(Lost.LAUNCH_TEMPLATE, find_template)),
            )
            if gone
        ]
        names = {
            function: name
            for resource in CUSTOM_RESOURCES
            if (name := physical_id(account, stack.stack_id, function := function_of(resource.logical_id)))
        }
        gone = [
            function
            for function, name in names.items()
            if is_gone(function, partial(account.lambda_.get_function_configuration, FunctionName=name))
        ]
        statement = physical_id(account, stack.stack_id, LogicalId.LEASE_PERMISSION)
        return cls(account.region, arn, rule, statement, lost, gone, unread)

    def judge(self) -> Finding:
        if not (self.lost or self.functions):
            return self.ok("those that may be read here are there" if self.unread else "all are there")
        detail = f"gone: {', '.join([*self.lost, *self.functions])}"
        advice, commands = [], tuple(self._commands())
        if commands:
            advice.append("until these lines have been run, leases do not end annexes, or nothing looks for orphans")
        if Lost.LAUNCH_TEMPLATE in self.lost:
            advice.append(f"without the launch template annex-bootstrap start starts nothing: {_DEPLOY_AGAIN}")
        if self.functions:
            advice.append(
                "without these functions no deployment and no deletion succeeds: annexes run and end as before; to be "
                "rid of the stack, run annex-bootstrap delete --end-annexes twice: the second time it says how to "
                "abandon what is left"
            )
        return Finding(self.id, self.subject, Level.PROBLEM, detail, "; ".join(advice), commands)

    def _commands(self) -> Iterator[str]:
        """Yield the lines that make rule and permission again, as the stack has them."""
        region, account = self.region, self.function_arn.split(":")[4]
        partition = self.function_arn.split(":")[1]
        if Lost.SWEEP_RULE in self.lost:
            targets = json.dumps([{"Id": "sweep", "Arn": self.function_arn, "Input": json.dumps(SWEEP_EVENT)}])
            yield f"aws events put-rule --region {region} --name {self.rule} --schedule-expression '{SWEEP_RATE}'"
            yield f"aws events put-targets --region {region} --rule {self.rule} --targets '{targets}'"
        if Lost.PERMISSION in self.lost:
            yield (
                f"aws lambda add-permission --region {region} --function-name {self.function_arn.rpartition(':')[2]} "
                f"--statement-id {self.statement} --action lambda:InvokeFunction --principal events.amazonaws.com "
                f"--source-arn 'arn:{partition}:events:{region}:{account}:rule/*'"
            )


@dataclass(frozen=True)
class EncryptionKey(Check):
    """The stack's key can be used, and its policy lets AWS's services use it.

    Attributes:
        arn: of the key.
        state: as KMS says, such as ``Enabled``; empty where there is no such key.
        lacking: Sids of the statements of ``policy key`` that its policy lacks.
        error: why it cannot be read; None where it is.
    """

    id = "encryption-key"
    subject = "encryption key"

    arn: str
    state: str = ""
    lacking: Sequence[str] = ()
    error: UserError | None = None

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        arn = setup.deployed.parameters.get(Parameter.KMS_KEY_ARN, "") if setup.deployed else ""
        if not arn or setup.deployed is None:
            return None
        account = setup.account
        try:
            with explained("checking the encryption key"):
                found = _unless_gone(lambda: account.kms.describe_key(KeyId=arn))
                if found is None:
                    return cls(arn)
                policy = json.loads(account.kms.get_key_policy(KeyId=arn, PolicyName="default")["Policy"])
        except DeniedError as error:
            return cls(arn, error=error)
        needed = key_policy(account.partition, account.account_id, account.region, setup.deployed.name)
        return cls(arn, found["KeyMetadata"]["KeyState"], missing(needed, policy))

    def judge(self) -> Finding:
        if self.error is not None:
            return self.skipped(
                "it cannot be read", f"ask for what `annex-bootstrap policy operator --key {self.arn}` prints"
            )
        if self.state != "Enabled":
            detail = f"{self.arn} is {self.state or 'gone'}, so no machine starts and no pool configuration can be read"
            return self.problem(detail, "ask who administers the key, or deploy with another KmsKeyArn")
        if self.lacking:
            detail = f"the policy of {self.arn} lacks {', '.join(self.lacking)}"
            return self.problem(detail, "ask who administers the key to add what `annex-bootstrap policy key` prints")
        return self.ok(f"{self.arn} is enabled, and its policy lets AWS use it")


@dataclass(frozen=True)
class AlarmMail(Check):
    """The mails of alarms reach somebody: who owns an address has to confirm it first.

    Attributes:
        address: that the stack has; empty for none.
        pending: addresses that are not confirmed.
        confirmed: how many addresses are.
        error: why it is not known; None where it is.
    """

    id = "alarm-mail"
    subject = "mails of alarms"

    address: str
    pending: Sequence[str] = ()
    confirmed: int = 0
    error: UserError | None = None

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        stack = setup.deployed
        address = stack.parameters.get(Parameter.NOTIFICATION_EMAIL, "") if stack else ""
        if not address or stack is None:
            return None
        try:
            topic = physical_id(setup.account, stack.stack_id, LogicalId.ALARM_TOPIC)
            with explained("checking who gets the mails of alarms"):
                pages = setup.account.sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
                found = [subscription for page in pages for subscription in page["Subscriptions"]]
        except DeniedError as error:
            return cls(address, error=error)
        pending = [each["Endpoint"] for each in found if each["SubscriptionArn"] == PENDING]
        confirmed = sum(each["SubscriptionArn"].startswith("arn:") for each in found)
        return cls(address, pending, confirmed)

    def judge(self) -> Finding:
        if self.error is not None:
            return self.skipped(
                "it cannot be read", "ask your administrator for what `annex-bootstrap policy operator` prints"
            )
        if self.pending:
            detail = f"{', '.join(self.pending)} did not confirm, and so gets no mail when machines cannot be ended"
            return self.problem(
                detail, "follow the link in the mail of AWS Notifications; deploy with another address for a new mail"
            )
        if not self.confirmed:
            detail = f"{self.address} has unsubscribed, and so gets no mail when machines cannot be ended"
            return self.problem(detail, "deploy without NotificationEmail, then with it again, and confirm")
        return self.ok("the address has confirmed that it gets them")


@dataclass(frozen=True)
class ConnectivityFunction(_Function):
    """The function that asks for the collector can run, and has not failed lately."""

    id = "connectivity-function"
    subject = "connectivity function"
    output = Output.CONNECTIVITY_FUNCTION_ARN


@dataclass(frozen=True)
class InstanceProfile(Check):
    """The instance profiles of condor_annex's machines and of those of ``start`` contain their role.

    Attributes:
        expected: the ARN or the ID of the role that must be in each profile, by the profile's ARN.
        roles: the ARNs and IDs of the roles in each; None where there is no such profile.
    """

    id = "instance-profile"
    subject = "instance profile"

    expected: Mapping[str, str]
    roles: Mapping[str, Sequence[str] | None]

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        if setup.deployed is None:
            return None
        outputs, iam = setup.deployed.outputs, setup.account.iam
        expected = {
            outputs[profile]: outputs[role]
            for profile, role in (
                (Output.INSTANCE_CONFIGURATION_PROFILE, Output.INSTANCE_ROLE_ARN),
                # By its ID: a machine's configuration has it in its name, and a role made by hand has another one.
                (Output.START_INSTANCE_PROFILE, Output.START_ROLE_ID),
            )
            if profile in outputs and role in outputs
        }
        roles: dict[str, list[str] | None] = {}
        for arn in expected:
            with explained("checking the instance profile"):
                found = _unless_gone(partial(iam.get_instance_profile, InstanceProfileName=_name(arn)))
            held = found["InstanceProfile"]["Roles"] if found else None
            roles[arn] = None if held is None else [text for role in held for text in (role["Arn"], role["RoleId"])]
        return cls(expected, roles)

    def judge(self) -> Finding:
        for arn, role in self.expected.items():
            held = self.roles[arn]
            if held is None:
                return self.problem(f"{arn} is gone", _DEPLOY_AGAIN)
            if role not in held:
                return self.problem(f"{arn} does not hold the role {role}", f"put the role back, or {_DEPLOY_AGAIN}")
        return self.ok("holds the machines' role")


@dataclass(frozen=True)
class FleetRole(Check):
    """The fleet role exists and spot fleets may assume it, and AWS's own roles for spot machines exist.

    Attributes:
        arn: of the role.
        trusted: the services that may assume it; None where there is no such role.
        unlinked: the services without their service-linked role, as far as that may be read.
    """

    id = "fleet-role"
    subject = "fleet role"

    arn: str
    trusted: Sequence[str] | None
    unlinked: Sequence[str] = ()

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        if setup.deployed is None:
            return None
        iam, arn = setup.account.iam, setup.deployed.outputs[Output.IAM_FLEET_ROLE_ARN]
        with explained("checking the fleet role"):
            found = _unless_gone(lambda: iam.get_role(RoleName=_name(arn)))
        if found is None:
            return cls(arn, None)
        document: Any = found["Role"]["AssumeRolePolicyDocument"]
        return cls(arn, trusted_services(document), _unlinked(setup.account))

    def judge(self) -> Finding:
        if self.trusted is None:
            return self.problem(f"{self.arn} is gone", f"spot annexes need it: {_DEPLOY_AGAIN}")
        if SPOT_FLEET_SERVICE not in self.trusted:
            advice = "add that service to its trust policy"
            return self.problem(f"{self.arn} does not trust {SPOT_FLEET_SERVICE}", advice)
        if self.unlinked:
            detail = f"AWS's own role for {' and '.join(self.unlinked)} is missing"
            advice = "machines on demand need none; for spot machines ask an administrator to run:"
            commands = tuple(map(service_linked_role_command, self.unlinked))
            return Finding(self.id, self.subject, Level.SKIPPED, detail, advice, commands)
        return self.ok("trusts spot fleets")


@dataclass(frozen=True)
class SecurityGroup(Check):
    """The machines' security group lets HTCondor in, unless the stack closes the port.

    Attributes:
        group_id: of the group.
        ports: the ranges that are open to somebody; None where there is no such group.
        port: HTCondor's, as the stack has it.
        closed: whether the stack is to let nobody in.
    """

    id = "security-group"
    subject = "security group"

    group_id: str
    ports: Sequence[tuple[int, int]] | None
    port: int
    closed: bool = False

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        if setup.deployed is None:
            return None
        ec2, group_id = setup.account.ec2, setup.deployed.outputs[Output.SECURITY_GROUP_ID]
        closed = setup.deployed.parameters.get(Parameter.CONDOR_CIDRS) == ""
        port = int(setup.deployed.parameters.get(Parameter.CONDOR_PORT, DEFAULT_PORT))
        with explained("checking the security group"):
            found = _unless_gone(lambda: ec2.describe_security_groups(GroupIds=[group_id]))
        if found is None:
            return cls(group_id, None, port, closed)
        ports = [
            (rule.get("FromPort", 0), rule.get("ToPort", 65535))
            for rule in found["SecurityGroups"][0]["IpPermissions"]
            if rule["IpProtocol"] in ("tcp", "-1")
        ]
        return cls(group_id, ports, port, closed)

    def judge(self) -> Finding:
        if self.ports is None:
            return self.problem(f"{self.group_id} is gone", _DEPLOY_AGAIN)
        if self.closed:
            detail = f"{self.group_id} closes port {self.port}; annex-bootstrap start needs none, condor_annex does"
            return self.ok(detail)
        if not any(first <= self.port <= last for first, last in self.ports):
            advice = "deploy with --param CondorCidrs=0.0.0.0/0, or with the networks of your pool"
            return self.problem(f"{self.group_id} does not open port {self.port}", advice)
        return self.ok(f"{self.group_id} opens port {self.port}")


@dataclass(frozen=True)
class Subnets(Check):
    """The subnets that the stack names lead out: what from each one machines reach, and through what.

    Attributes:
        ways: what each subnet reaches, as ``find_ways`` returns it; None where it is gone.
        builds: whether the stack builds its image in them.
    """

    id = "subnets"
    subject = "subnets"

    ways: Mapping[str, Mapping[str, str] | None]
    builds: bool

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        named = stack_subnets(setup.deployed) if setup.deployed else []
        if setup.deployed is None or not named:
            return None
        with explained("checking the subnets"):
            # By a filter, which leaves out what is gone, where an ID would be an error.
            pages = setup.account.ec2.get_paginator("describe_subnets").paginate(
                Filters=[{"Name": "subnet-id", "Values": named}]
            )
            found = {subnet["SubnetId"]: subnet for page in pages for subnet in page["Subnets"]}
        ways: dict[str, Mapping[str, str] | None] = dict.fromkeys(named)
        # All are in one VPC: the stack's security group is there too.
        for vpc in sorted({subnet["VpcId"] for subnet in found.values()}):
            tables = route_tables(setup.account, vpc)
            if tables is None:
                raise UserError("these credentials may not read the route tables: grant ec2:DescribeRouteTables")
            for subnet_id, subnet in found.items():
                if subnet["VpcId"] == vpc:
                    ways[subnet_id] = find_ways(subnet_id, tables, public=subnet.get("MapPublicIpOnLaunch", False))
        return cls(ways, setup.deployed.parameters.get(Parameter.IMAGE) == IMAGE_YES)

    def judge(self) -> Finding:
        if gone := [subnet_id for subnet_id, ways in self.ways.items() if ways is None]:
            return self.problem(f"{', '.join(gone)} is gone", "deploy with --param SubnetIds= and those that are there")
        known = {subnet_id: ways for subnet_id, ways in self.ways.items() if ways is not None}
        detail = "; ".join(f"{subnet_id}: {_ways_in_words(ways)}" for subnet_id, ways in known.items())
        closed = [ways for ways in known.values() if EVERYWHERE not in ways]
        if not closed:
            return self.ok(detail)
        if self.builds or not all(closed):
            builder, image = (
                (f", and the image's builder {SYSTEM.name}'s packages", ", or --param Image= and an image of yours")
                if self.builds
                else ("", "")
            )
            return self.problem(
                detail,
                f"machines need EC2, S3 and the pool's port{builder}: add a NAT gateway, or deploy with "
                f"--param SubnetIds= and other subnets{image}",
            )
        return self.skipped(
            detail,
            "ask who runs the network whether EC2 (an interface endpoint), S3 (a gateway endpoint) and the pool's port"
            " are among these",
        )


def _ways_in_words(ways: Mapping[str, str]) -> str:
    if EVERYWHERE in ways:
        return f"everything, by {ways[EVERYWHERE]}"
    return ", ".join(f"only {destination}, by {target}" for destination, target in ways.items()) or "nothing"


@dataclass(frozen=True)
class Image(Check):
    """Machines can start from the stack's image.

    Attributes:
        image: None for a stack without one.
        now: the time.
    """

    id = "image"
    subject = "image"

    image: StackImage | None
    now: datetime

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        if setup.deployed is None:
            return None
        return cls(read_image(setup.account, setup.deployed), datetime.now(UTC))

    def judge(self) -> Finding:
        image = self.image
        if image is None:
            advice = "run annex-bootstrap deploy --param Image=yes"
            return self.skipped("the stack has none; machines start from HTCondor's own, which is years old", advice)
        advice = (
            "run annex-bootstrap image rebuild"
            if image.made_by_stack
            else "give another one: deploy --param Image=ami-..."
        )
        if image.state != "available":
            return self.problem(f"{image.image_id} is {image.state or 'gone'}", advice)
        if not image.made_by_stack:
            return self.ok(f"{image.image_id} is available; it is yours")
        detail = f"{image.image_id} has HTCondor {image.htcondor or 'unknown'} and is {image.days(self.now)} days old"
        newer = f"; {SYSTEM.name} has a newer image: {advice}" if image.newer_base else ""
        return self.ok(detail + newer)


@dataclass(frozen=True)
class PolicyHolders(Check):
    """Whoever deploys the stack gains nothing by rewriting the policies that people hold.

    Attributes:
        path: under which deployers may write policies, as the beginning of an ARN.
        boundary: the ARN of the users' boundary.
        people: the boundary of everyone who holds one of the policies, by ``user name`` or ``role name``; None where
            that may not be read.
    """

    id = "policy-holders"
    subject = "holders of the stack's policies"

    path: str
    boundary: str
    people: Mapping[str, str] | None

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        stack, account = setup.deployed, setup.account
        # Without a boundary of its roles, the stack's deployer can do anything in any case.
        if stack is None or not stack.parameters.get(Parameter.PERMISSIONS_BOUNDARY_ARN):
            return None
        path = f"arn:{account.partition}:iam::{account.account_id}:policy{ROLE_PATH}"
        boundary = users_boundary(stack.parameters[Parameter.PERMISSIONS_BOUNDARY_ARN], stack.name)
        try:
            return cls(path, boundary, find_people(account, list_holders(account, stack)))
        except DeniedError:
            return cls(path, boundary, None)

    def judge(self) -> Finding:
        if self.people is None:
            return self.skipped("they cannot be read", "let an administrator run annex-bootstrap doctor")
        unbounded = sorted(name for name, boundary in self.people.items() if not self._limits(boundary))
        if not unbounded:
            return self.ok("all have a permissions boundary" if self.people else "nobody has one yet")
        detail = (
            f"{', '.join(unbounded)}: no permissions boundary of your own, so whoever deploys the stack can give them "
            "any right"
        )
        advice = (
            "let an administrator set it, or grant what annex-bootstrap policy start or policy user prints in place of "
            "the stack's policy; roles of IAM Identity Center get it with their permission set:"
        )
        commands = tuple(
            f"aws iam put-{kind}-permissions-boundary --{kind}-name {name} --permissions-boundary {self.boundary}"
            for kind, _, name in (each.partition(" ") for each in unbounded)
        )
        return Finding(self.id, self.subject, Level.PROBLEM, detail, advice, commands)

    def _limits(self, boundary: str) -> bool:
        """Tell whether a boundary limits something: it is no policy of AWS's, and no deployer can write it."""
        return bool(boundary) and ":iam::aws:" not in boundary and not boundary.startswith(self.path)


def _unlinked(account: Account) -> list[str]:
    unlinked = []
    for name, service in SPOT_SERVICE_LINKED_ROLES.items():
        with contextlib.suppress(DeniedError):
            if _unless_gone(partial(account.iam.get_role, RoleName=name)) is None:
                unlinked.append(service)
    return unlinked


def trusted_services(document: Mapping[str, Any]) -> list[str]:
    """Return the services that a role's trust policy names."""
    statements = document["Statement"]
    services: list[str] = []
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal", {})
        named = principal.get("Service", []) if isinstance(principal, dict) else []
        if statement.get("Effect") == "Allow":
            services += [named] if isinstance(named, str) else named
    return services


def log_message(line: str) -> str:
    """Return what a line of a function's log says: the error in our functions' JSON, else the line, truncated."""
    try:
        text = str(json.loads(line)["error"])
    except (ValueError, TypeError, KeyError):
        text = line.strip()
    return text[:LINE_LENGTH]


def _unless_gone(call: Callable[[], Answer]) -> Answer | None:
    try:
        with explained("looking for a resource"):
            return call()
    except AwsError as error:
        if error.code in GONE:
            return None
        raise


def _name(arn: str) -> str:
    return arn.rpartition("/")[2]


def _times(count: float) -> str:
    return "once" if count == 1 else f"{count:.0f} times"
