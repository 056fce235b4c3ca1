"""Deployments, credentials, updates and deletions in a row, while AWS is at its worst."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError

from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.operator import operator_policy
from annex_contract.stack import LogicalId, Part
from local_aws.demo.inventory import is_service_linked, take_inventory
from local_aws.launcher import ACCOUNT, REGION, Credentials, LocalAws, Strictness, local_aws
from local_aws.server.recording import FAULTS
from tests.local_aws import hurry
from tests.local_aws.cli_user import CliUser
from tests.local_aws.second_opinions.record import judge

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

SPEED = 10.0
"""How many times faster than on AWS time passes, for the local AWS and for what is under test alike."""

LATEST = 30.0
"""Seconds until a change in IAM is in effect everywhere, at most."""

STACK = "worst-case"


@dataclass(frozen=True)
class WorstCase:
    """A local AWS at its worst.

    Attributes:
        local: the local AWS.
        root: its root.
        deployer: who has just the deployer's policy.
        operator: who has just the operator's policy.
    """

    local: LocalAws
    root: boto3.Session
    deployer: CliUser
    operator: CliUser


@pytest.fixture(scope="module")
def seed() -> int:
    """What decides when something goes wrong: a new one, or that of the run to repeat."""
    return int(os.environ.get("WORST_CASE_SEED", random.randrange(2**32)))


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the local AWS writes down."""
    return tmp_path_factory.mktemp("records")


@pytest.fixture(scope="module")
def worst(
    seed: int,
    records: Path,
    template: str,  # noqa: ARG001 (`deploy` deploys what is built)
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WorstCase]:
    """A local AWS at its worst, a deployer and an operator; others judge in the end what it exchanged."""
    faster = hurry.write(tmp_path_factory.mktemp("hurry"), SPEED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(faster), prepend=os.pathsep)
        with local_aws(records=records, strictness=Strictness(seed, SPEED)) as local:
            for name, value in local.environ(local.root).items():
                patch.setenv(name, value)
            root = boto3.Session(local.root.access_key_id, local.root.secret_access_key)
            users = [
                CliUser(local, _user(root, kind, policy("aws", ACCOUNT, STACK)), _home(tmp_path_factory, kind), STACK)
                for kind, policy in (("deployer", deployer_policy), ("operator", operator_policy))
            ]
            # An administrator made them long ago.
            time.sleep(LATEST / SPEED)
            yield WorstCase(local, root, *users)
    assert not judge(records).objections


def _user(root: boto3.Session, name: str, policy: object) -> Credentials:
    iam = root.client("iam")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="policy", PolicyDocument=json.dumps(policy))
    time.sleep(LATEST / SPEED)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


def _home(tmp_path_factory: pytest.TempPathFactory, name: str) -> Path:
    home = tmp_path_factory.mktemp(name)
    home.chmod(0o700)
    return home


def _faults(records: Path) -> Counter[str]:
    return Counter(json.loads(line)["fault"] for line in (records / FAULTS).read_text().splitlines())


def _wait_until_key_works(worst: WorstCase) -> None:
    directory = worst.operator.home / ".condor"
    access, secret = ((directory / f"annex-{kind}-key-{REGION}").read_text().strip() for kind in ("access", "secret"))
    client = boto3.Session(access, secret).client("ec2")
    late = time.monotonic() + 2 * LATEST / SPEED
    while refused := _refusal(client):
        assert refused in ("AuthFailure", "InvalidClientTokenId", "UnauthorizedOperation")
        assert time.monotonic() < late
        time.sleep(0.1)


def _refusal(client: EC2Client) -> str:
    try:
        client.describe_instances()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


def _live_once(worst: WorstCase, number: int) -> None:
    """Deploy, make and remove credentials, update and delete; every command must succeed at its first run."""
    before = take_inventory(worst.root)
    worst.deployer.must("deploy", "--dry-run")
    if number % 2:
        failed = worst.deployer.run("deploy", "--yes", "--param", "VpcId=vpc-00000000000000000")
        assert "the stack ended in ROLLBACK_COMPLETE" in failed.stderr
        assert "vpc-00000000000000000" in failed.stderr
    worst.deployer.must("deploy", "--yes", "--param", "VpcId=")
    worst.operator.must("credentials")
    _wait_until_key_works(worst)
    worst.deployer.must("deploy", "--yes", "--param", f"CondorPort={9700 + number}", "--param", "SshCidrs=")
    worst.operator.must("credentials", "--remove", "--yes")
    worst.deployer.must("delete", "--yes")
    # What is young may be there without being found.
    time.sleep(LATEST / SPEED)
    left = {entry for entry in take_inventory(worst.root) - before if not is_service_linked(entry)}
    assert left == set()


@pytest.mark.slow
def test_a_role_that_somebody_deleted_by_hand_does_not_block_the_deletion(worst: WorstCase, seed: int) -> None:
    print(f"WORST_CASE_SEED={seed}")  # noqa: T201 (pytest shows it with a failure)
    worst.deployer.must("deploy", "--yes")
    iam, cloudformation = worst.root.client("iam"), worst.root.client("cloudformation")
    logical_id = Part.ROLE.of(LogicalId.CONNECTIVITY_FUNCTION)
    described = cloudformation.describe_stack_resource(StackName=STACK, LogicalResourceId=logical_id)
    role = described["StackResourceDetail"]["PhysicalResourceId"]
    for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        iam.delete_role_policy(RoleName=role, PolicyName=policy)
    iam.delete_role(RoleName=role)
    worst.deployer.must("delete", "--yes")


@pytest.mark.slow
def test_stacks_live_in_a_row_while_aws_is_at_its_worst_and_leave_nothing(
    worst: WorstCase, seed: int, records: Path, record_property: Callable[[str, object], None]
) -> None:
    print(f"WORST_CASE_SEED={seed}")  # noqa: T201 (pytest shows it with a failure)
    lives = int(os.environ.get("WORST_CASE_LIVES", "10"))
    for number in range(lives):
        _live_once(worst, number)
    record_property("stacks that lived while AWS was at its worst", lives)
    faults = _faults(records)
    for fault, count in faults.items():
        record_property(fault, count)
    assert set(faults) >= EVERY_FAULT


EVERY_FAULT = {
    "a change in IAM that is not in effect yet",
    "a throttled call",
    "an access key that is not known yet",
    "an event that comes late",
    "the name of a deleted bucket that is not free yet",
}
"""What has to have gone wrong at least once, or else nothing was shown."""
