"""The lifecycle of custom resources: requests to them in the order in which CloudFormation sends them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import boto3
import pytest

from tests.local_aws.custom_resources.account import Account
from tests.local_aws.custom_resources.provider import MODULES, Answer, FaultKind, Provider

BUCKET = "adopted-or-created-by-name"
OTHER_BUCKET = "another-bucket-of-the-user"
ROLE = "role-of-the-user"
OTHER_ROLE = "another-role-of-the-user"
BOUNDARY = "arn:aws:iam::123456789012:policy/swept-boundary"
OTHER_VPC = "vpc-made-by-the-fixture"

MACHINE_LIFE = 20.0
"""Seconds that a machine in the security group keeps running: several looks, and less than a Delete waits."""

Parameters = Mapping[str, str]


@dataclass(frozen=True)
class Scenario:
    """One request to sweep, and what comes before it.

    Attributes:
        resource: the custom resource.
        request: which request is swept. ``Rollback`` is the Update back after one that never answered.
        first: the parameters of the stack.
        then: those that it is updated to.
        adopted: the name of the user's resource that must not change.
    """

    resource: str
    request: Literal["Create", "Update", "Rollback", "Delete"]
    first: Parameters = field(default_factory=dict)
    then: Parameters = field(default_factory=dict)
    adopted: str = ""

    def __str__(self) -> str:
        """Its name among the tests."""
        change = ",".join(f"{key}" for key in self.then)
        return "-".join(filter(None, (self.resource, self.request, change, self.adopted and "adopted")))


RULES = {"CondorCidrs": "192.0.2.0/24,2001:db8::/32", "SshCidrs": "", "CondorPort": "9700"}
PATTERN = {"ConfigKeyPattern": "config-site-*.tar.gz"}
BOUND = {"PermissionsBoundaryArn": BOUNDARY}

SCENARIOS = [
    *(Scenario(resource, request) for resource in MODULES for request in ("Create", "Delete")),
    Scenario("Bucket", "Update", {}, {"ExpirationDays": "7"}),
    Scenario("Bucket", "Update", {}, {"BucketName": "free-name-of-the-user"}),
    Scenario("Bucket", "Rollback", {}, {"BucketName": "free-name-of-the-user"}),
    Scenario("Bucket", "Create", {"BucketName": BUCKET}, adopted=BUCKET),
    Scenario("Bucket", "Update", {"BucketName": BUCKET}, {"BucketName": ""}, adopted=BUCKET),
    Scenario("Bucket", "Delete", {"BucketName": BUCKET}, adopted=BUCKET),
    Scenario("FleetRole", "Update", {}, BOUND | {"TrustedService": "spotfleet.example.org"}),
    Scenario("FleetRole", "Update", BOUND, {"PermissionsBoundaryArn": ""}),
    Scenario("FleetRole", "Update", {}, {"FleetRoleName": "free-name-of-the-user"}),
    Scenario("FleetRole", "Rollback", {}, {"FleetRoleName": "free-name-of-the-user"}),
    Scenario("FleetRole", "Create", {"FleetRoleName": ROLE}, adopted=ROLE),
    Scenario("FleetRole", "Update", {"FleetRoleName": ROLE}, {"FleetRoleName": ""}, adopted=ROLE),
    Scenario("FleetRole", "Delete", {"FleetRoleName": ROLE}, adopted=ROLE),
    Scenario("InstanceRole", "Update", {}, PATTERN | BOUND | {"TrustedService": "ec2.example.org"}),
    Scenario("InstanceRole", "Update", BOUND, {"PermissionsBoundaryArn": ""}),
    Scenario("InstanceRole", "Rollback", {}, PATTERN | BOUND),
    Scenario("StartRole", "Update", {}, BOUND | {"TrustedService": "ec2.example.org"}),
    Scenario("StartRole", "Update", BOUND, {"PermissionsBoundaryArn": ""}),
    Scenario("StartRole", "Rollback", {}, BOUND),
    *(
        Scenario(resource, request, {}, {"ImageRevision": "2"})
        for resource in ("ImageBuilder", "MachineImage")
        for request in ("Update", "Rollback")
    ),
    Scenario("ImageBuilder", "Update", {}, {"BaseImage": "ami-0deb13000000b0001", "ImageCommands": "true"}),
    Scenario("SecurityGroup", "Update", {}, RULES),
    Scenario("SecurityGroup", "Update", {}, {"VpcId": OTHER_VPC}),
    Scenario("SecurityGroup", "Rollback", {}, {"VpcId": OTHER_VPC}),
    Scenario("SecurityGroup", "Rollback", {}, RULES),
]


@pytest.fixture(scope="session")
def account(root: boto3.Session) -> Iterator[Account]:
    """An account with resources of its own: a bucket, a fleet role, a policy and a second VPC."""
    account = Account(root)
    account.s3.create_bucket(Bucket=BUCKET)
    account.s3.put_public_access_block(
        Bucket=BUCKET,
        PublicAccessBlockConfiguration={"IgnorePublicAcls": True, "RestrictPublicBuckets": True},
    )
    account.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    account.s3.put_object(Bucket=BUCKET, Key="config-of-the-user.tar.gz", Body=b"made up")
    account.iam.create_role(
        RoleName=ROLE,
        Path="/ops/",
        AssumeRolePolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": {
                    "Effect": "Allow",
                    "Principal": {"Service": ["ec2.amazonaws.com", "spotfleet.amazonaws.com"]},
                    "Action": "sts:AssumeRole",
                },
            }
        ),
    )
    account.iam.create_policy(
        PolicyName="swept-boundary",
        PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        ),
    )
    yield account
    account.iam.delete_role(RoleName=ROLE)
    account.iam.delete_policy(PolicyArn=BOUNDARY)


@pytest.fixture(scope="session")
def vpc(account: Account) -> str:
    """The ID of a second VPC."""
    return account.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]


class Stack:
    """A stack as one of its custom resources sees it."""

    def __init__(self, provider: Provider, account: Account, scenario: Scenario, vpc: str) -> None:
        """Remember the initial state."""
        self.provider, self.account, self.scenario = provider, account, scenario
        self.first = self._placed(scenario.first, vpc)
        self.then = self._placed({**scenario.first, **scenario.then}, vpc)
        self.physical_id = ""
        self.parameters = self.first
        self.calls: list[str] = []
        self.without = ""
        self.machine_life = MACHINE_LIFE
        if scenario.request == "Create":
            account.forget_service_linked_roles()
        self._build(self.first, self.then)

    @staticmethod
    def _placed(parameters: Parameters, vpc: str) -> Parameters:
        return {key: vpc if value == OTHER_VPC else value for key, value in parameters.items()}

    def _build(self, *parameters: Parameters) -> None:
        """Run the builders that the images of a scenario are made of."""
        if self.scenario.resource != "MachineImage":
            return
        for given in parameters:
            self.provider.hold(self.provider.policies("ImageBuilder", given))
            answer = self.provider.send("Create", "ImageBuilder", given)
            assert answer is not None
            assert answer.status == "SUCCESS", answer

    def end(self) -> None:
        """Delete what was built for the scenario, and make what other tests need of what it forgot."""
        self.account.make_service_linked_roles()
        if self.scenario.resource != "MachineImage":
            return
        for given in (self.first, self.then):
            self.provider.hold(self.provider.policies("ImageBuilder", given))
            name = self.provider.name("ImageBuilder", given)
            answer = self.provider.send("Delete", "ImageBuilder", given, name)
            assert answer is not None
            assert answer.status == "SUCCESS", answer

    def hold(self, *parameters: Parameters) -> None:
        """Act with the policies that a stack has with these parameters, less the action ``without``."""
        policies = self.provider.policies(self.scenario.resource, *parameters)
        for document in policies.values():
            for statement in document["Statement"]:
                statement["Action"] = [action for action in statement["Action"] if action != self.without]
            document["Statement"] = [statement for statement in document["Statement"] if statement["Action"]]
        self.provider.hold(policies)

    def request(
        self,
        kind: Literal["Create", "Update", "Delete"],
        parameters: Parameters,
        before: Parameters | None = None,
        physical_id: str = "",
        fault: FaultKind | None = None,
        at: int = -1,
    ) -> Answer | None:
        """Send one request, with the policies in force at that moment."""
        resource = self.scenario.resource
        self.hold(*([before] if before is not None else []), parameters)
        return self.provider.send(
            kind, resource, parameters, physical_id or self.physical_id, before, fault=fault, at=at
        )

    def must(
        self,
        kind: Literal["Create", "Update", "Delete"],
        parameters: Parameters,
        before: Parameters | None = None,
        physical_id: str = "",
    ) -> Answer:
        """Send one request without a fault; it must succeed."""
        answer = self.request(kind, parameters, before, physical_id)
        assert answer is not None
        assert answer.status == "SUCCESS", answer
        return answer

    def create(self, fault: FaultKind | None = None, at: int = -1, repeat: bool = False) -> Answer | None:
        """Create, and roll back if that fails."""
        answer = outcome = self.request("Create", self.first, fault=fault, at=at)
        self.calls = self.provider.faults.calls
        if answer is None and repeat:
            answer = self.must("Create", self.first)
        if answer is not None and answer.status == "SUCCESS":
            self.physical_id = answer.physical_id
        else:
            made_up = f"swept-{self.scenario.resource}-1ABCDEFGHIJKL"
            self.must("Delete", self.first, physical_id=answer.physical_id if answer else made_up)
        return outcome

    def update(self, fault: FaultKind | None = None, at: int = -1, repeat: bool = False) -> Answer | None:
        """Update, and roll back if that fails."""
        resource, old_id = self.scenario.resource, self.physical_id
        as_it_was = self.account.details(resource, old_id)
        answer = outcome = self.request("Update", self.then, self.first, fault=fault, at=at)
        self.calls = self.provider.faults.calls
        if answer is None and repeat:
            answer = self.must("Update", self.then, self.first)
        if answer is not None and answer.status == "SUCCESS":
            self.physical_id, self.parameters = answer.physical_id, self.then
            if self.physical_id != old_id:
                # CloudFormation deletes the old one only now, when the new one exists.
                assert self.account.details(resource, old_id) == as_it_was
                self.hold(self.first, self.then)
                deleted = self.provider.send("Delete", resource, self.first, old_id)
                assert deleted is not None
                assert deleted.status == "SUCCESS", deleted
        else:
            assert self.must("Update", self.first, self.then).physical_id == old_id
            assert self.account.details(resource, old_id) == as_it_was
        return outcome

    def roll_back(self, fault: FaultKind | None = None, at: int = -1) -> Answer | None:
        """Roll back an Update that did everything and never answered."""
        resource = self.scenario.resource
        as_it_was = self.account.details(resource, self.physical_id)
        assert self.request("Update", self.then, self.first, fault="kill", at=self.calls_of_update()) is None
        outcome = self.request("Update", self.first, self.then, fault=fault, at=at)
        self.calls = self.provider.faults.calls
        if outcome is None or outcome.status == "FAILED":
            self.must("Update", self.first, self.then)
        assert self.account.details(resource, self.physical_id) == as_it_was
        return outcome

    def calls_of_update(self) -> int:
        """Return how many calls an Update without faults makes before it answers; roll it back."""
        self.must("Update", self.then, self.first)
        calls = len(self.provider.faults.calls) - 1
        self.must("Update", self.first, self.then)
        self._build(self.then)
        return calls

    def delete(self, fault: FaultKind | None = None, at: int = -1) -> Answer | None:
        """Delete, and delete again if that fails."""
        outcome = self.request("Delete", self.parameters, fault=fault, at=at)
        self.calls = self.provider.faults.calls
        if outcome is None or outcome.status == "FAILED":
            self.must("Delete", self.parameters)
        self.physical_id = ""
        return outcome

    def run(self, fault: FaultKind | None, at: int, repeat: bool) -> tuple[Answer | None, list[str]]:
        """Run the whole lifecycle of a stack.

        Returns:
            What the swept request answered, and the calls that it made.
        """
        outcome = self.create(*((fault, at, repeat) if self.scenario.request == "Create" else ()))
        calls = self.calls
        if self.scenario.request != "Create":
            self.fill()
            outcome = self.send_swept(fault, at, repeat)
            calls = self.calls
        if self.physical_id:
            self.delete()
        self.end()
        return outcome, calls

    def send_swept(self, fault: FaultKind | None, at: int, repeat: bool) -> Answer | None:
        """Send the scenario's request, which is not a Create."""
        match self.scenario.request:
            case "Update":
                return self.update(fault, at, repeat)
            case "Rollback":
                return self.roll_back(fault, at)
        return self.delete(fault, at)

    def fill(self) -> None:
        """Leave what use leaves: configurations, an unfinished upload, foreign policies, a running machine."""
        resource, name = self.scenario.resource, self.physical_id
        if self.scenario.adopted or self.scenario.request != "Delete":
            return
        if resource == "Bucket":
            self.account.s3.put_object(Bucket=name, Key="config-left.tar.gz", Body=b"made up")
            self.account.s3.create_multipart_upload(Bucket=name, Key="config-unfinished.tar.gz")
        elif resource in ("ImageBuilder", "SecurityGroup"):
            self.use_group(name)
        elif resource.endswith("Role"):
            self.account.iam.attach_role_policy(RoleName=name, PolicyArn=BOUNDARY)
            document = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
            self.account.iam.put_role_policy(RoleName=name, PolicyName="foreign", PolicyDocument=json.dumps(document))

    def use_group(self, name: str) -> str:
        """Start a machine in the group that keeps running for a while; return its ID."""
        ec2 = self.account.ec2
        (group,) = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [name]}])["SecurityGroups"]
        (machine,) = ec2.run_instances(
            ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1, SecurityGroupIds=[group["GroupId"]]
        )["Instances"]
        ends = self.provider.clock.now + self.machine_life
        self.provider.clock.meanwhile.append(
            (ends, lambda: ec2.terminate_instances(InstanceIds=[machine["InstanceId"]]))
        )
        return machine["InstanceId"]
