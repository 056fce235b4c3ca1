"""The doctor's run: read the facts on this machine and in AWS, and pass them to every check."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.doctor import checks
from annex_bootstrap.doctor.checks import Finding
from annex_bootstrap.doctor.pool_checks import Machine
from annex_bootstrap.doctor.pool_run import PoolRun
from annex_bootstrap.errors import AwsError, UserError
from annex_bootstrap.machines.instance_types import offered_zones
from annex_bootstrap.machines.quotas import read_quota
from annex_bootstrap.pool.collector import collector_address
from annex_bootstrap.pool.htcondor import version
from annex_bootstrap.pool.private_files import read_private
from annex_bootstrap.stack import metrics, read
from annex_bootstrap.stack.image import read_image
from annex_contract import __version__
from annex_contract.knobs import DEFAULT_PORT
from annex_contract.lease import annex_of_machine
from annex_contract.stack import Output, Parameter, sweep_rule_name

GONE = {
    "404",
    "InvalidGroup.NotFound",
    "NoSuchBucket",
    "NoSuchEntity",
    "NoSuchPublicAccessBlockConfiguration",
    "ResourceNotFoundException",
}
"""Error codes that mean that something does not exist."""

Answer = TypeVar("Answer")

DAY = 86400
TIMEOUT = 5
"""Seconds that the connectivity function waits, as condor_annex has it."""

FAILURES = "?ERROR ?timed"
"""The filter for log lines that report a failure: ERROR, as our functions and Python write it, or a timeout."""

LINE_LENGTH = 200


@dataclass(frozen=True)
class DoctorRun:
    """One run of the doctor.

    Attributes:
        account: where the stack is.
        stack_name: of the stack.
        config: the user's configuration file.
        collector: ``host`` or ``host:port``; empty to ask HTCondor.
    """

    account: Account
    stack_name: str
    config: Path
    collector: str = ""

    def run(self) -> Iterator[Finding]:
        """Run every check, one after another.

        Yields:
            Their findings, as they come.
        """
        yield checks.ok("AWS credentials", f"account {self.account.account_id}, region {self.account.region}")
        yield check_quotas(self.account)
        stack: list[read.Stack] = []
        yield _checked("stack", lambda: self._stack(stack))
        content = read_private(self.config) or b""
        if stack:
            yield from self._in_aws(stack[0])
            yield checks.check_knobs(self.config, content, self.account.region, stack[0].outputs)
        yield _checked("credentials of condor_annex", lambda: checks.check_keys(content, self.account.region))
        pool = PoolRun(version(), content, self.account.region)
        yield from pool.run()
        if stack:
            yield _checked("collector from AWS", lambda: self._collector(stack[0].outputs, pool.collector))
            yield _checked("machines", lambda: pool.check_joined(self._machines(stack[0].outputs)))
        yield from self._fleet_file(content)

    def _stack(self, found: list[read.Stack]) -> Finding:
        with explained(f"reading the stack {self.stack_name}"):
            stack = read.find(self.account.cloudformation, self.stack_name)
        if stack is not None and stack.version:
            found.append(stack)
        return checks.check_stack(self.stack_name, stack, __version__)

    def _in_aws(self, stack: read.Stack) -> Iterator[Finding]:
        outputs = stack.outputs
        yield _checked("bucket", lambda: self._bucket(outputs[Output.S3_BUCKET_NAME]))
        yield self._function("lease function", outputs[Output.LEASE_FUNCTION_ARN])
        yield _checked("orphan check", lambda: self._sweep(stack))
        yield self._function("connectivity function", outputs[Output.CONNECTIVITY_FUNCTION_ARN])
        yield _checked("instance profile", lambda: self._profile(outputs))
        yield _checked("fleet role", lambda: self._fleet_role(outputs[Output.IAM_FLEET_ROLE_ARN]))
        yield _checked("security group", lambda: self._group(stack))
        yield _checked("image", lambda: checks.check_image(read_image(self.account, stack), datetime.now(UTC)))

    def _bucket(self, name: str) -> Finding:
        s3 = self.account.s3
        with explained(f"checking the bucket {name}"):
            if _unless_gone(lambda: s3.head_bucket(Bucket=name)) is None:
                return checks.check_bucket(name, None)
            blocks = _unless_gone(lambda: s3.get_public_access_block(Bucket=name))
        return checks.check_bucket(name, dict(blocks["PublicAccessBlockConfiguration"]) if blocks else {})

    def _function(self, subject: str, arn: str) -> Finding:
        return _checked(subject, lambda: self._function_state(subject, arn))

    def _function_state(self, subject: str, arn: str) -> Finding:
        with explained(f"checking the {subject}"):
            found = _unless_gone(lambda: self.account.lambda_.get_function_configuration(FunctionName=arn))
            if found is None:
                return checks.check_function(subject, "", "", [])
            group = found.get("LoggingConfig", {}).get("LogGroup", f"/aws/lambda/{found['FunctionName']}")
            errors = self._errors(group)
        return checks.check_function(subject, found.get("State", "Active"), found.get("StateReason", ""), errors)

    def _errors(self, group: str) -> list[str]:
        pages = self.account.logs.get_paginator("filter_log_events").paginate(
            logGroupName=group, startTime=int(time.time() - DAY) * 1000, filterPattern=FAILURES
        )
        return [log_message(event["message"]) for page in pages for event in page["events"]]

    def _sweep(self, stack: read.Stack) -> Finding:
        with explained("counting the calls of the lease function"):
            function = stack.outputs[Output.LEASE_FUNCTION_ARN].rpartition(":")[2]
            calls = metrics.sums(self.account, "AWS/Lambda", "Invocations", FunctionName=function)
            rule = sweep_rule_name(stack.name)
            refused = metrics.sums(self.account, "AWS/Events", "FailedInvocations", RuleName=rule)
        age = (datetime.now(UTC) - stack.changed).total_seconds()
        # What was refused before is over: a deployment mends it, and an older stack's rule had the same name.
        since = [point for point in refused if point["Timestamp"] >= stack.changed]
        return checks.check_sweep(age, sum(each["Sum"] for each in calls), sum(each["Sum"] for each in since))

    def _profile(self, outputs: Mapping[str, str]) -> Finding:
        arn = outputs[Output.INSTANCE_CONFIGURATION_PROFILE]
        with explained("checking the instance profile"):
            found = _unless_gone(lambda: self.account.iam.get_instance_profile(InstanceProfileName=_name(arn)))
        roles = [role["Arn"] for role in found["InstanceProfile"]["Roles"]] if found else None
        return checks.check_profile(arn, roles, outputs[Output.INSTANCE_ROLE_ARN])

    def _fleet_role(self, arn: str) -> Finding:
        with explained("checking the fleet role"):
            found = _unless_gone(lambda: self.account.iam.get_role(RoleName=_name(arn)))
        if found is None:
            return checks.check_fleet_role(arn, None)
        document: Any = found["Role"]["AssumeRolePolicyDocument"]
        return checks.check_fleet_role(arn, trusted_services(document))

    def _group(self, stack: read.Stack) -> Finding:
        group_id = stack.outputs[Output.SECURITY_GROUP_ID]
        port = int(stack.parameters.get(Parameter.CONDOR_PORT, DEFAULT_PORT))
        with explained("checking the security group"):
            found = _unless_gone(lambda: self.account.ec2.describe_security_groups(GroupIds=[group_id]))
        if found is None:
            return checks.check_group(group_id, None, port)
        ports = [
            (rule.get("FromPort", 0), rule.get("ToPort", 65535))
            for rule in found["SecurityGroups"][0]["IpPermissions"]
            if rule["IpProtocol"] in ("tcp", "-1")
        ]
        return checks.check_group(group_id, ports, port)

    def _collector(self, outputs: Mapping[str, str], known: str) -> Finding:
        host, port, socket_name = collector_address(self.collector or known)
        if not host:
            return checks.check_collector("", None)
        event: dict[str, object] = {"timeout": TIMEOUT, "condor_host": host, "condor_port": port}
        if socket_name:
            event["condor_socket"] = socket_name
        with explained("calling the connectivity function"):
            answer = self.account.lambda_.invoke(
                FunctionName=outputs[Output.CONNECTIVITY_FUNCTION_ARN], Payload=json.dumps(event).encode()
            )["Payload"].read()
        return checks.check_collector(f"{host}:{port}", json.loads(answer))

    def _machines(self, outputs: Mapping[str, str]) -> list[Machine]:
        profile_arn = outputs[Output.INSTANCE_CONFIGURATION_PROFILE]
        now = datetime.now(UTC)
        with explained("listing the machines of annexes"):
            return [
                Machine(machine["InstanceId"], annex_id, (now - machine["LaunchTime"]).total_seconds())
                for page in self.account.ec2.get_paginator("describe_instances").paginate(
                    Filters=[{"Name": "instance-state-name", "Values": ["running"]}]
                )
                for reservation in page["Reservations"]
                for machine in reservation["Instances"]
                if (annex_id := annex_of_machine(machine, profile_arn)) is not None
            ]

    def _fleet_file(self, content: bytes) -> Iterator[Finding]:
        path = checks.fleet_file(content, self.account.region)
        try:
            text = Path(path).read_text() if path else None
        except (OSError, UnicodeDecodeError):
            text = None
        form = checks.check_fleet_form(path, text)
        yield form
        if form.level is not checks.Level.OK or text is None:
            return
        images, types = checks.fleet_parts(text)
        yield _checked("images of the fleet file", lambda: self._images(images))
        yield _checked("types of the fleet file", lambda: self._types(types))

    def _images(self, wanted: set[str]) -> Finding:
        with explained("checking the fleet's images"):
            # By a filter, since one unknown ID in a list of IDs is an error of the whole call.
            found = self.account.ec2.describe_images(Filters=[{"Name": "image-id", "Values": sorted(wanted)}])["Images"]
        return checks.check_offered("images", wanted, [image["ImageId"] for image in found])

    def _types(self, wanted: set[str]) -> Finding:
        with explained("checking the fleet's subnets"):
            zones = {subnet["AvailabilityZone"] for subnet in self.account.ec2.describe_subnets()["Subnets"]}
        return checks.check_offered("types", wanted, offered_zones(self.account.ec2, zones))


def check_quotas(account: Account) -> Finding:
    """Read the account's quotas of vCPUs and check them."""
    try:
        on_demand, spot = (read_quota(account, spot=spot) for spot in (False, True))
    except UserError as error:
        return checks.unread_quota(error)
    return checks.check_quota(account.region, on_demand, spot)


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


def _checked(subject: str, check: Callable[[], Finding]) -> Finding:
    """Return a check's finding, or why it could not be made."""
    try:
        return check()
    except UserError as error:
        return checks.problem(subject, "it cannot be checked", str(error))


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
