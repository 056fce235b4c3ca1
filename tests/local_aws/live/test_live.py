"""The live test itself, in full, against the local AWS: its principals may do what is printed, and no more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest

from annex_bootstrap.policies.boundary import boundary, boundary_arn
from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.operator import operator_policy
from annex_contract.boundaries import Holder, boundary_name
from annex_contract.stack import SPOT_ROLE
from local_aws.launcher import ACCOUNT, REGION, Credentials, LocalAws
from tests.live.census import take_census
from tests.live.checks import CHECKS
from tests.live.options import STACK, helper_policy
from tests.live.run import ANNEXES

pytestmark = pytest.mark.slow

AGREED = (
    *("--yes-this-costs-money", "--without-pool", "--owner", "alice", "--images", "2"),
    *("--type", "t3.medium"),
    *("--lease-seconds", "20", "--poll-seconds", "0.3"),
)

NOT_SHOWN_HERE = {
    *("ValidatePolicy", "SimulateCustomPolicy", "the functions run", "the image is built"),
    *("it joins and runs a job", "it powers off when it is idle", "what CloudTrail recorded"),
}
"""Steps that only AWS can show, or only machines that boot."""

TIMEOUT = 600
"""Seconds that a run may take here, where five minutes of EventBridge's are one."""


class Person:
    """Anyone who runs the live test: three profiles, and a directory for the report."""

    def __init__(self, local: LocalAws, root: boto3.Session, directory: Path, keys: dict[str, Credentials]) -> None:
        """Write the profiles."""
        self.root, self.report = root, directory / "report.md"
        sessions = {name: boto3.Session(key.access_key_id, key.secret_access_key) for name, key in keys.items()}
        identities = {name: made.client("sts").get_caller_identity()["Arn"] for name, made in sessions.items()}
        self.names = {name: arn.rpartition("/")[2] for name, arn in identities.items()}
        profiles = directory / "credentials"
        profiles.write_text(
            "".join(
                f"[{name}]\naws_access_key_id = {key.access_key_id}\naws_secret_access_key = {key.secret_access_key}\n"
                for name, key in keys.items()
            )
        )
        aws = local.environ(local.root)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            del aws[name]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self.environ = clean | aws | {"AWS_SHARED_CREDENTIALS_FILE": str(profiles), "HOME": str(directory)}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the live test."""
        people = ("deployer", "operator", "auditor", "helper")
        profiles = [text for name in people for text in (f"--{name}", name)]
        return subprocess.Popen(
            [sys.executable, "-u", "-m", "tests.live", "--report", str(self.report), *profiles, *arguments],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run the live test to its end, and return its exit code and what it printed."""
        process = self.start(*arguments)
        said, _ = process.communicate(timeout=TIMEOUT)
        return process.returncode, said

    def census(self) -> list[str]:
        """Return what there is of the test."""
        return take_census(self.root, REGION, ANNEXES)


@pytest.fixture
def person(
    local: LocalAws,
    root: boto3.Session,
    template: str,  # noqa: ARG001 (`deploy` deploys what is built)
    new_user: Callable[[str], Credentials],
    tmp_path: Path,
) -> Iterator[Person]:
    iam = root.client("iam")
    boundaries = {holder: boundary_arn("aws", ACCOUNT, holder, STACK) for holder in Holder}
    for holder in Holder:
        document = json.dumps(boundary("aws", ACCOUNT, holder, STACK, condor_annex=holder is Holder.ROLES))
        iam.create_policy(PolicyName=boundary_name(holder, STACK), PolicyDocument=document)
    granted = {
        "deployer": deployer_policy("aws", ACCOUNT, STACK, boundaries[Holder.ROLES]),
        "operator": operator_policy("aws", ACCOUNT, STACK, boundaries[Holder.USERS]),
        "helper": helper_policy("aws", ACCOUNT),
    }
    keys = {name: new_user(json.dumps(policy)) for name, policy in granted.items()} | {"auditor": local.root}
    made = Person(local, root, tmp_path, keys)
    before = set(made.census())
    try:
        yield made
        # The staging bucket may be that of an earlier test's stack.
        assert not set(made.census()) - before
    finally:
        for arn in boundaries.values():
            iam.delete_policy(PolicyArn=arn)


def test_without_the_long_option_it_says_everything_and_does_nothing(person: Person) -> None:
    code, said = person.run()
    assert code == 2
    assert f"account {ACCOUNT}" in said
    assert "US cents" in said
    assert "up to 10 minutes after its lease" in said
    for holder in Holder:
        option = " --condor-annex" if holder is Holder.ROLES else ""
        command = f"annex-bootstrap policy boundary --stack-name {STACK} --for {holder}{option}"
        assert f"{boundary_name(holder, STACK)}  {command}\n" in said
    for person_asked, holder in (("deployer", Holder.ROLES), ("operator", Holder.USERS)):
        command = f"annex-bootstrap policy {person_asked} --stack-name {STACK}"
        assert f"{command} --boundary {boundary_arn('aws', ACCOUNT, holder, STACK)}\n" in said
    assert said.endswith("Nothing was done: it costs money. Give --yes-this-costs-money to go ahead.\n")
    assert not person.report.exists()


@pytest.fixture
def isolated(root: boto3.Session) -> Iterator[str]:
    """A subnet without a way out: its own route table leads to S3 only."""
    ec2 = root.client("ec2")
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="172.31.252.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    associated = ec2.associate_route_table(SubnetId=subnet, RouteTableId=table)["AssociationId"]
    endpoint = ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName=f"com.amazonaws.{REGION}.s3", VpcEndpointType="Gateway", RouteTableIds=[table]
    )["VpcEndpoint"]["VpcEndpointId"]
    yield subnet
    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])
    ec2.disassociate_route_table(AssociationId=associated)
    ec2.delete_route_table(RouteTableId=table)
    ec2.delete_subnet(SubnetId=subnet)


@pytest.fixture
def default_key(root: boto3.Session) -> Iterator[str]:
    """The ARN of a key that encrypts every volume that names none, and that none of our policies allows."""
    ec2, key = root.client("ec2"), str(root.client("kms").create_key()["KeyMetadata"]["Arn"])
    ec2.modify_ebs_default_kms_key_id(KmsKeyId=key)
    ec2.enable_ebs_encryption_by_default()
    yield key
    ec2.disable_ebs_encryption_by_default()
    ec2.reset_ebs_default_kms_key_id()


def test_a_whole_run_passes_and_its_report_names_every_step_and_no_account(
    person: Person, root: boto3.Session, isolated: str, default_key: str
) -> None:
    # Whatever ran here before may have made it.
    roles = {role["RoleName"] for role in root.client("iam").list_roles()["Roles"]}
    known = {"the spot role comes with the stack"} if SPOT_ROLE in roles else set()
    code, said = person.run(*AGREED, "--isolated-subnet", isolated, "--default-key")
    assert code == 0, said
    report = person.report.read_text()
    assert report.startswith("## annex-bootstrap live test: passed\n")
    assert "FAILED" not in report
    results = {cells[1]: cells[2] for line in report.splitlines() if len(cells := line.split(" | ")) > 4}
    del results["Step"], results["---"]
    assert set(results) == set(CHECKS)
    assert {name for name, result in results.items() if result == "not shown"} == NOT_SHOWN_HERE | known
    assert set(results.values()) == {"ok", "not shown"}
    assert "- Not AWS: 127.0.0.1 answered" in report
    assert "The answer to a repeated CreateFleet: the same fleet, with its machine" in report
    assert "iam:PassedToService of the fleet's role: ec2.amazonaws.com" in report
    assert f"{default_key.rpartition('/')[2]} |" in report
    assert "| AWS::IAM::Role |" in report
    assert ACCOUNT not in report
    assert report.count("Left over, besides the account's service-linked roles: nothing") == 1


MOMENTS = ("image", "start one machine", "start a spot machine", "delete")
"""Steps in which the run is ended."""


def reach(process: subprocess.Popen[str], step: str) -> None:
    """Read until a step has begun."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        if line == f"- {step}\n":
            return
        said.append(line)
    raise AssertionError(f"the run never came to {step}, and said:\n{''.join(said)}")


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_at_any_moment_leaves_nothing_and_still_reports(person: Person, moment: str) -> None:
    process = person.start(*AGREED)
    reach(process, moment)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130, said
    assert "Ctrl-C |" in person.report.read_text()
    assert person.census() == []


def test_after_a_crash_clean_up_leaves_nothing(person: Person) -> None:
    process = person.start(*AGREED)
    # The annex before it runs.
    reach(process, "start --cores")
    time.sleep(1.5)
    process.kill()
    process.communicate(timeout=TIMEOUT)
    assert person.census() != []
    code, said = person.run("--clean-up", "--poll-seconds", "0.3")
    assert code == 0, said
    assert person.census() == []


def test_a_step_that_fails_is_reported_and_everything_is_deleted(person: Person, root: boto3.Session) -> None:
    process = person.start(*AGREED)
    reach(process, "start --cores")
    denied = {"Effect": "Deny", "Action": "lambda:InvokeFunction", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [denied]})
    iam = root.client("iam")
    iam.put_user_policy(UserName=person.names["operator"], PolicyName="denied", PolicyDocument=document)
    said, _ = process.communicate(timeout=TIMEOUT)
    iam.delete_user_policy(UserName=person.names["operator"], PolicyName="denied")
    report = person.report.read_text()
    assert process.returncode == 1, said
    assert "| sweep | FAILED |" in report
    assert "AccessDenied" in report
    assert person.census() == []
