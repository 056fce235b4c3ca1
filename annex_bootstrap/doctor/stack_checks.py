"""What can be wrong with the stack, and with what it made: bucket, key, security group, subnets and image."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Any, Self

from annex_bootstrap.annexes.starting import may_be_scheduled
from annex_bootstrap.aws import explained, physical_id
from annex_bootstrap.doctor.check import DEPLOY_AGAIN, Check, Finding, Level, Setup, unless_gone
from annex_bootstrap.errors import AwsError, DeniedError, UserError
from annex_bootstrap.machines.subnets import (
    EVERYWHERE,
    Endpoint,
    find_endpoints,
    find_ways,
    route_tables,
    stack_subnets,
)
from annex_bootstrap.policies.key import key_policy, missing
from annex_bootstrap.stack.image import StackImage, read_image
from annex_bootstrap.stack.read import Stack
from annex_contract import __version__
from annex_contract.image import IMAGE_YES
from annex_contract.knobs import DEFAULT_PORT
from annex_contract.lease import SWEEP_EVENT, SWEEP_RATE
from annex_contract.operating_system import SYSTEM
from annex_contract.resources import CUSTOM_RESOURCES
from annex_contract.stack import (
    LogicalId,
    Output,
    Parameter,
    function_of,
    sweep_rule_name,
)


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
    for_starters = True

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
            return self.problem(f"{self.name} is gone", f"{DEPLOY_AGAIN}: annexes need a bucket")
        open_blocks = sorted(key for key, value in self.blocks.items() if value is not True)
        if len(self.blocks) < 4 or open_blocks:
            detail = f"{self.name} is not closed to the public ({', '.join(open_blocks) or 'no block is set'})"
            return self.problem(detail, "switch on Block all public access: it holds the pool password for a while")
        return self.ok(f"{self.name} is closed to the public")


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
                return not unless_gone(find)
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
            advice.append(f"without the launch template annex-bootstrap start starts nothing: {DEPLOY_AGAIN}")
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
                found = unless_gone(lambda: account.kms.describe_key(KeyId=arn))
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
            found = unless_gone(lambda: ec2.describe_security_groups(GroupIds=[group_id]))
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
            return self.problem(f"{self.group_id} is gone", DEPLOY_AGAIN)
        if self.closed:
            detail = f"{self.group_id} closes port {self.port}; annex-bootstrap start needs none, condor_annex does"
            return self.ok(detail)
        if not any(first <= self.port <= last for first, last in self.ports):
            advice = "deploy with --param CondorCidrs=0.0.0.0/0, or with the networks of your pool"
            return self.problem(f"{self.group_id} does not open port {self.port}", advice)
        return self.ok(f"{self.group_id} opens port {self.port}")


NEEDED = {"ec2": "EC2 (an interface endpoint)", "s3": "S3 (a gateway endpoint)"}
"""The services of AWS that machines need, and the endpoint for each that a network without a way out has."""


@dataclass(frozen=True)
class Subnets(Check):
    """The subnets that the stack names lead out: what from each one machines reach, and through what.

    Attributes:
        ways: what each subnet reaches, as ``find_ways`` returns it; None where it is gone.
        builds: whether the stack builds its image in them.
        proxy: through which builder and machines reach others by HTTP; empty for none.
        endpoints: of their VPC, where one of them does not lead everywhere; None where nobody knows.
        asks: whether the connectivity function runs in them.
    """

    id = "subnets"
    subject = "subnets"

    ways: Mapping[str, Mapping[str, str] | None]
    builds: bool
    proxy: str = ""
    endpoints: Sequence[Endpoint] | None = ()
    asks: bool = False

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
        endpoints: Sequence[Endpoint] | None = ()
        # All are in one VPC: the stack's security group is there too.
        for vpc in sorted({subnet["VpcId"] for subnet in found.values()}):
            tables = route_tables(setup.account, vpc)
            if tables is None:
                raise UserError("these credentials may not read the route tables: grant ec2:DescribeRouteTables")
            for subnet_id, subnet in found.items():
                if subnet["VpcId"] == vpc:
                    ways[subnet_id] = find_ways(subnet_id, tables, public=subnet.get("MapPublicIpOnLaunch", False))
            if any(way is not None and EVERYWHERE not in way for way in ways.values()):
                endpoints = find_endpoints(setup.account, vpc)
        builds = setup.deployed.parameters.get(Parameter.IMAGE) == IMAGE_YES
        proxy = setup.deployed.parameters.get(Parameter.HTTP_PROXY, "") if builds else ""
        asks = setup.deployed.parameters.get(Parameter.CONNECTIVITY_VPC) == "yes"
        return cls(ways, builds, proxy, endpoints, asks)

    def judge(self) -> Finding:
        if gone := [subnet_id for subnet_id, ways in self.ways.items() if ways is None]:
            return self.problem(f"{', '.join(gone)} is gone", "deploy with --param SubnetIds= and those that are there")
        known = {subnet_id: ways for subnet_id, ways in self.ways.items() if ways is not None}
        detail = "; ".join(f"{subnet_id}: {self._in_words(ways)}" for subnet_id, ways in known.items())
        closed = [ways for ways in known.values() if EVERYWHERE not in ways]
        if not closed:
            return self.ok(detail)
        if self.proxy:
            return self.skipped(
                detail, f"ask who runs the network whether {self.proxy} and the pool's port are reached from there"
            )
        missing = [name for name in NEEDED if any(name not in self._services(ways) for ways in closed)]
        if self.builds or any(self._is_shut(ways) for ways in closed):
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
        unknown = "".join(f"{NEEDED[name]}{', ' if name != missing[-1] else ' and '}" for name in missing)
        verb = "are" if missing else "is"
        return self.skipped(detail, f"ask who runs the network whether {unknown}the pool's port {verb} among these")

    def _services(self, ways: Mapping[str, str]) -> dict[str, str]:
        """Return the endpoints by which a subnet reaches what machines need, by service."""
        return {
            each.service: each.endpoint_id
            for each in self.endpoints or ()
            if each.service in NEEDED and (not each.gateway or each.endpoint_id in ways.values())
        }

    def _is_shut(self, ways: Mapping[str, str]) -> bool:
        """Tell whether nothing leads to a service that machines need."""
        if self.endpoints is None:
            return not ways
        elsewhere = set(ways.values()) - {each.endpoint_id for each in self.endpoints}
        return not elsewhere and not NEEDED.keys() <= self._services(ways).keys()

    def _in_words(self, ways: Mapping[str, str]) -> str:
        if EVERYWHERE in ways:
            # https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc-internet.html
            but = " except from the connectivity function, which has no public address"
            everything = f"everything by {ways[EVERYWHERE]}"
            return everything + (but if self.asks and ways[EVERYWHERE].startswith("igw-") else "")
        services = self._services(ways)
        reached = [f"{name.upper()} by {services[name]}" for name in NEEDED if name in services]
        reached += [f"{where} by {target}" for where, target in ways.items() if target not in services.values()]
        return f"only {', '.join(reached)}" if reached else "nothing"


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
