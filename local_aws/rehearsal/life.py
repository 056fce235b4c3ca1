"""What ``annex-bootstrap rehearse`` does: our commands, one after another, under an institution's documents."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3

from annex_bootstrap.errors import UserError
from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.rehearsed import Denial, Document, Kind, Page, Rights, Step
from annex_bootstrap.policies.roles import DEPLOY_POLICY, RolesTemplate
from annex_bootstrap.stack.template import built_template, parse_template
from annex_bootstrap.words import SUMMARIES, TYPES
from annex_contract.boundaries import Holder, boundary_name
from annex_contract.lease import MACHINE_RUNNING
from annex_contract.operating_system import SYSTEM
from annex_contract.resources import FLEET_ROLE, INSTANCE_ROLE, START_ROLE
from annex_contract.stack import DEFAULT_STACK_NAME, ROLE_PATH, Output, Parameter, sweep_rule_name
from local_aws.demo.inventory import Inventory, is_service_linked, take_inventory
from local_aws.launcher import ACCOUNT, REGION, Credentials, LocalAws, local_aws
from local_aws.rehearsal import pool
from local_aws.server_settings import ACCOUNT as SETTINGS

SPEED = 100
"""How many times faster than real time schedules run."""

TIMEOUT = 120.0
"""Seconds to wait for the lease function."""

ANNEX = "rehearsal"

BOUNDARY = "institution-boundary"

ROLES_STACK = f"{DEFAULT_STACK_NAME}-roles"
"""The stack in which an administrator makes the roles."""

ALIAS = "iam:ListAccountAliases"
"""A call that nothing depends on: the account's alias is shown where it may be read, so its denial is none to name."""

DEPLOYER, STARTER = "deployer", "starter"
"""The IAM users who play the deployer and the annex user."""

PEOPLE = {DEPLOYER: "the deployer", STARTER: "the annex user"}

FULL_ACCESS = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}

UPDATE = {Parameter.SSH_CIDRS: "192.0.2.0/24", Parameter.END_ORPHANS: "yes", Parameter.LOG_RETENTION_DAYS: "60"}
"""Parameters whose change updates a custom resource, a function and a log group."""


@dataclass(frozen=True)
class Rehearsal:
    """What came of it.

    Attributes:
        steps: in their order; those after a failed one are missing, but for the last.
        page: of the stack; None where it was not deployed.
        unseen: the condition keys that no call had a value for, with the files that name them.
        left: what was not deleted.
    """

    steps: tuple[Step, ...]
    page: Page | None
    unseen: Mapping[str, tuple[str, ...]]
    left: tuple[str, ...]


def rehearse(
    documents: Sequence[Document],
    parameters: Mapping[str, str],
    region: str,
    tell: Callable[[Step], None],
    *,
    given_roles: bool = False,
) -> Rehearsal:
    """Run the whole life of a stack.

    Args:
        documents: of the institution.
        parameters: of the stack.
        region: where.
        tell: is called with each step as it is done.
        given_roles: whether an administrator makes the roles before the documents hold.

    Raises:
        UserError: the local AWS does not start.
    """
    with tempfile.TemporaryDirectory(prefix="annex-bootstrap-rehearse-") as name:
        home, records = Path(name, "home"), Path(name, "records")
        for directory in (home, records):
            directory.mkdir(mode=0o700)
        pool.install(home)
        with local_aws(SPEED, records=records) as local:
            return _Life(local, home, records, documents, parameters, region).run(tell, given_roles)


class _Life:
    """The rehearsal, one step a method."""

    def __init__(
        self,
        local: LocalAws,
        home: Path,
        records: Path,
        documents: Sequence[Document],
        parameters: Mapping[str, str],
        region: str,
    ) -> None:
        self.local, self.home, self.records, self.documents = local, home, records, documents
        self.parameters, self.region = dict(parameters), region
        # From here on, the local AWS is all that boto3 sees in this process.
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(local.environ(local.root))
        self.root = boto3.Session(local.root.access_key_id, local.root.secret_access_key, region_name=region)
        self.told = 0

    def run(self, tell: Callable[[Step], None], given_roles: bool) -> Rehearsal:
        deployer = self._prepare(given_roles)
        before = take_inventory(self.root)
        steps: list[Step] = []

        def do(name: str, work: Callable[[], None]) -> bool:
            error = None
            try:
                work()
            except UserError as problem:
                error = str(problem)
            steps.append(Step(name, tuple(self._denials(name)), error))
            tell(steps[-1])
            return error is None

        given = [part for name, value in self.parameters.items() for part in ("--param", f"{name}={value}")]
        changed = [part for name, value in UPDATE.items() for part in ("--param", f"{name}={value}")]
        page = None
        if do("deploy", lambda: self._command(deployer, "deploy", "--yes", *given)):
            outputs = self._outputs()
            if Output.START_POLICY_ARN in outputs:
                starter = self._user(STARTER, outputs[Output.START_POLICY_ARN])
                do("image", lambda: self._command(deployer, "image", "rebuild", "--yes"))
                if do("start", lambda: self._start(starter)):
                    do("lease", lambda: self._end(starter))
            do("update", lambda: self._command(deployer, "deploy", "--yes", *changed))
            page = self._page(self._outputs())
            self._forget_starter()
        do("delete", lambda: self._command(deployer, "delete", "--yes"))
        return Rehearsal(tuple(steps), page, self._unseen(), self._left(before))

    def _prepare(self, given_roles: bool) -> Credentials:
        boundary = self._of(Kind.BOUNDARY)
        if boundary:
            content, own = json.dumps(boundary[0].content), boundary_name(Holder.ROLES, DEFAULT_STACK_NAME)
            # What `policy boundary` prints names itself.
            name = own if f":policy/{own}" in content else BOUNDARY
            made = self.root.client("iam").create_policy(PolicyName=name, PolicyDocument=content)
            self.parameters[Parameter.PERMISSIONS_BOUNDARY_ARN] = made["Policy"]["Arn"]
        policies = [document.content for document in self._of(Kind.POLICY)]
        limit = self.parameters.get(Parameter.PERMISSIONS_BOUNDARY_ARN, "")
        held = policies or [deployer_policy("aws", ACCOUNT, DEFAULT_STACK_NAME, limit)]
        deployer = self._user(DEPLOYER)
        for number, document in enumerate(held):
            # Inline, because AWS's own policies are longer than a managed policy of an account may be.
            self.root.client("iam").put_user_policy(
                UserName=DEPLOYER, PolicyName=f"{DEPLOYER}-{number}", PolicyDocument=json.dumps(document)
            )
        if given_roles:
            outputs = self._make_roles()
            self.parameters[Parameter.GIVEN_ROLES] = outputs[Parameter.GIVEN_ROLES]
            self.root.client("iam").attach_user_policy(UserName=DEPLOYER, PolicyArn=outputs[f"{DEPLOY_POLICY}ARN"])
        settings = {
            "service_control_policies": [document.content for document in self._of(Kind.SCP)],
            "tag_policies": [document.content for document in self._of(Kind.TAG_POLICY)],
            "rehearsed": [
                {"file": str(file), "document": document}
                # The first one denies nothing: rights are asked for without a document as well.
                for file, document in [("", FULL_ACCESS), *((each.file, each.content) for each in self.documents)]
            ],
        }
        ssm = self.root.client("ssm", region_name=REGION)
        ssm.put_parameter(Name=SETTINGS, Type="String", Tier="Advanced", Value=json.dumps(settings))
        return deployer

    def _make_roles(self) -> dict[str, str]:
        """Make the roles as an administrator does, and return the outputs of their stack."""
        template = parse_template(built_template())
        roles = RolesTemplate(template, "aws", ACCOUNT, self.region, DEFAULT_STACK_NAME, self.parameters)
        cloudformation = self.root.client("cloudformation")
        cloudformation.create_stack(
            StackName=ROLES_STACK, TemplateBody=roles.text(), Capabilities=["CAPABILITY_NAMED_IAM"]
        )
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName=ROLES_STACK, WaiterConfig={"Delay": 1, "MaxAttempts": int(TIMEOUT)}
        )
        return self._outputs(ROLES_STACK)

    def _of(self, kind: Kind) -> list[Document]:
        return [document for document in self.documents if document.kind is kind]

    def _user(self, name: str, *policies: str) -> Credentials:
        iam = self.root.client("iam")
        iam.create_user(UserName=name)
        for policy in policies:
            iam.attach_user_policy(UserName=name, PolicyArn=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    def _outputs(self, name: str = DEFAULT_STACK_NAME) -> dict[str, str]:
        stack = self.root.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def _command(self, credentials: Credentials, *arguments: str) -> None:
        """Run one of our commands as a person would.

        Raises:
            UserError: it failed.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "_CONDOR_"))}
        environ = inherited | self.local.environ(credentials)
        environ |= {"HOME": str(self.home), "AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region}
        # The deployer has no HTCondor; for the annex user pool.py plays it.
        environ["PATH"] = str(self.home if arguments[0] == "start" else self.records)
        done = subprocess.run(
            [sys.executable, "-m", "annex_bootstrap", *arguments, "--output", "json"],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            try:
                said = json.loads(done.stdout)["error"]
            except ValueError:
                said = None
            raise UserError(said or (done.stderr.strip().splitlines() or ["it said nothing"])[-1])

    def _start(self, starter: Credentials) -> None:
        options = ("--count", "1", "--duration", "1h", "--owner", ANNEX, "--skip-pool-check", "--yes")
        self._command(starter, "start", ANNEX, *options)

    def _end(self, starter: Credentials) -> None:
        self._command(starter, "leases", "extend", ANNEX, "2h")
        self._command(starter, "leases", "end", ANNEX, "--yes")
        give_up = time.monotonic() + TIMEOUT
        while self._runs():
            if time.monotonic() > give_up:
                raise UserError("the lease function did not end the annex, which is a defect: please report it")
            time.sleep(0.2)

        self._check_hourly()

    def _check_hourly(self) -> None:
        """Run the lease function as its hourly rule does, whenever that comes."""
        events, functions = self.root.client("events"), self.root.client("lambda")
        for target in events.list_targets_by_rule(Rule=sweep_rule_name(DEFAULT_STACK_NAME))["Targets"]:
            answer = functions.invoke(FunctionName=target["Arn"], Payload=target["Input"])
            if "FunctionError" in answer:
                raise UserError(f"the hourly check failed: {answer['Payload'].read().decode(errors='replace')}")

    def _runs(self) -> bool:
        running = self.root.client("ec2").describe_instances(
            Filters=[{"Name": "instance-state-name", "Values": MACHINE_RUNNING}]
        )["Reservations"]
        return bool(running or self.root.client("events").list_rules(NamePrefix=ANNEX)["Rules"])

    def _forget_starter(self) -> None:
        iam = self.root.client("iam")
        for user in iam.list_users()["Users"]:
            if user["UserName"] == STARTER:
                for policy in iam.list_attached_user_policies(UserName=STARTER)["AttachedPolicies"]:
                    iam.detach_user_policy(UserName=STARTER, PolicyArn=policy["PolicyArn"])

    def _left(self, before: Inventory) -> tuple[str, ...]:
        left = take_inventory(self.root) - before
        return tuple(f"{kind} {name}" for kind, name in sorted(left) if not is_service_linked((kind, name)))

    def _denials(self, step: str) -> Iterator[Denial]:
        """Yield what was denied since the last call, each statement once for each call, caller and type of resource."""
        lines = _read(self.records / "denials.jsonl")
        seen = set()
        for line in lines[self.told :]:
            if line["action"] == ALIAS:
                continue
            who = _who(line["principal"])
            for by in line["by"]:
                statement = None if by["statement"] is None else str(by["statement"])
                denial = Denial(step, who, line["action"], line["resource"], by["file"], by["kind"], statement)
                key = replace(denial, resource_arn=denial.resource_type)
                if key not in seen:
                    seen.add(key)
                    yield denial
        self.told = len(lines)

    def _unseen(self) -> dict[str, tuple[str, ...]]:
        lines = _read(self.records / "condition_keys.jsonl")
        known = {line["key"].lower() for line in lines if line["known"]}
        unseen: dict[str, set[str]] = {}
        for line in lines:
            key = line["key"]
            if key.lower() not in known and not key.lower().startswith("aws:requesttag/"):
                unseen.setdefault(key, set()).add(line["file"])
        return {key: tuple(sorted(files)) for key, files in sorted(unseen.items())}

    def _page(self, outputs: Mapping[str, str]) -> Page:
        cloudformation = self.root.client("cloudformation")
        template: Any = cloudformation.get_template(StackName=DEFAULT_STACK_NAME)["TemplateBody"]
        declared = _document(template)["Resources"]
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=DEFAULT_STACK_NAME)
        made = [resource for page in pages for resource in page["StackResourceSummaries"]]
        if self.parameters.get(Parameter.GIVEN_ROLES):
            looked_at = {custom.resource_type for custom in (INSTANCE_ROLE, START_ROLE, FLEET_ROLE)}
            made = [resource for resource in made if resource["ResourceType"] not in looked_at]
        counts = Counter(SUMMARIES.get(each["LogicalResourceId"], TYPES[each["ResourceType"]].summary) for each in made)
        return Page(
            dict(sorted(counts.items())),
            tuple(self._rights(declared, outputs)),
            tuple(self._ports(outputs)),
            tuple(self._data(outputs)),
            (
                "The lease function ends every machine of an annex when its lease expires: in this rehearsal it did.",
                "A machine without a job shuts down by itself, after 15 minutes where start says nothing else.",
                "Every hour the lease function reports machines of annexes without a lease, or ends them (EndOrphans).",
                "annex-bootstrap delete removes all of the above.",
            ),
        )

    def _rights(self, declared: Mapping[str, Any], outputs: Mapping[str, str]) -> Iterator[Rights]:
        iam = self.root.client("iam")
        for page in iam.get_paginator("list_roles").paginate(PathPrefix=ROLE_PATH):
            for role in page["Roles"]:
                name = role["RoleName"]
                policies = [
                    _document(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
                    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
                ]
                yield _granted(*_holder(name, declared), policies)
        for output, title in (
            (Output.ANNEX_USER_POLICY_ARN, "AnnexUserPolicy"),
            (Output.START_POLICY_ARN, "StartPolicy"),
        ):
            if output in outputs:
                version = iam.get_policy(PolicyArn=outputs[output])["Policy"]["DefaultVersionId"]
                held = iam.get_policy_version(PolicyArn=outputs[output], VersionId=version)["PolicyVersion"]["Document"]
                yield _granted(title, declared[title]["Properties"]["Description"], [_document(held)])

    def _ports(self, outputs: Mapping[str, str]) -> Iterator[str]:
        ec2 = self.root.client("ec2")
        group = ec2.describe_security_groups(GroupIds=[outputs[Output.SECURITY_GROUP_ID]])["SecurityGroups"][0]
        for rule in group["IpPermissions"]:
            ranges = [each["CidrIp"] for each in rule.get("IpRanges", [])]
            ranges += [each["CidrIpv6"] for each in rule.get("Ipv6Ranges", [])]
            yield f"{rule['IpProtocol']} {rule.get('FromPort', 'all')}: {', '.join(sorted(ranges))}"

    def _data(self, outputs: Mapping[str, str]) -> Iterator[str]:
        bucket = outputs[Output.S3_BUCKET_NAME]
        s3 = self.root.client("s3")
        block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        kinds = sorted({rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] for rule in rules})
        public = "public access is blocked" if all(block.values()) else "public access is not blocked"
        yield f"bucket {bucket}: the pool's configuration for machines; {public}, encrypted with {', '.join(kinds)}"
        groups = self.root.client("logs").describe_log_groups(logGroupNamePrefix=DEFAULT_STACK_NAME)["logGroups"]
        for days, count in sorted(Counter(group.get("retentionInDays", 0) for group in groups).items()):
            yield f"{count} log groups of the functions: kept for {days} days"
        if Output.LAUNCH_TEMPLATE_ID in outputs:
            yield f"image {outputs[Output.IMAGE_ID]}: {SYSTEM.name} with HTCondor"
            data = self.root.client("ec2").describe_launch_template_versions(
                LaunchTemplateId=outputs[Output.LAUNCH_TEMPLATE_ID], Versions=["$Latest"]
            )["LaunchTemplateVersions"][0]["LaunchTemplateData"]
            for disk in data["BlockDeviceMappings"]:
                encrypted = "encrypted" if disk["Ebs"].get("Encrypted") else "not encrypted"
                yield f"disks of the machines of annex-bootstrap start: {encrypted}"


MADE = {
    "instance-start-": (START_ROLE.logical_id, "the machines of annex-bootstrap start"),
    "instance-": (INSTANCE_ROLE.logical_id, "condor_annex's machines"),
    "fleet-": (FLEET_ROLE.logical_id, "spot fleets"),
}
"""The roles that functions make, by a part of their names: what makes them, and who has them."""


def _holder(role: str, declared: Mapping[str, Any]) -> tuple[str, str]:
    """Return the logical ID of a role, and what its holder is or does.

    Args:
        role: its name.
        declared: the template's resources.
    """
    for title, resource in declared.items():
        if resource["Type"] == "AWS::IAM::Role" and f"-{title}-" in role:
            return title, resource["Properties"]["Description"].rpartition(": ")[2]
    return next((made for part, made in MADE.items() if part in role), (role, ""))


def _granted(name: str, purpose: str, policies: Sequence[Mapping[str, Any]]) -> Rights:
    statements = [statement for policy in policies for statement in policy["Statement"]]
    return Rights(
        name,
        purpose,
        {
            statement["Sid"]: tuple(_listed(statement["Action"]))
            for statement in statements
            if statement["Effect"] == "Allow"
        },
    )


def _document(document: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document) if isinstance(document, str) else document
    return found


def _who(principal: str) -> str:
    """Return who made a call, by the ARN of the principal."""
    kind, _, name = principal.rpartition(":")[2].partition("/")
    name = name.split("/")[0]
    if kind == "user":
        return PEOPLE.get(name, name)
    for part, (_, holder) in MADE.items():
        if part in name:
            return holder
    return f"the function {name.removeprefix(f'{DEFAULT_STACK_NAME}-').partition('ExecRole')[0]}Function"


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
