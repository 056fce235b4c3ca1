"""``annex-bootstrap setup`` from nothing: by a user who may not change the pool, and by root, who may."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator

import pytest

from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.operator import operator_policy
from annex_contract.stack import DEFAULT_STACK_NAME
from local_aws.launcher import ACCOUNT
from tests.htcondor.namespaces import POOL, REGION
from tests.htcondor.pool import USER
from tests.htcondor.testbed import CONDOR, HOME, USER_CONFIG, Testbed, aws_profiles, bucket_names

BUCKET = "made-up-annexes"
"""Named, so that the pool can resolve it before it exists."""

SETUP = ("annex-bootstrap", "setup", "--yes", "--collector", POOL, "--param", f"BucketName={BUCKET}")

STORED_PASSWORD = "/etc/condor/annex_pool_password"
POOL_FILE = "/etc/condor/config.d/90-annex-pool.config"

STEPS = ["AWS account", "Stack", "Who starts annexes", "Pool", "Check"]


@pytest.fixture(autouse=True)
def _owner(testbed: Testbed) -> Iterator[None]:
    """Give root and the user of the pool the keys of one IAM user who may deploy and operate; undo what they did."""
    testbed.pool.resolve(bucket_names(BUCKET, REGION))
    iam, name = testbed.root.client("iam"), "owner"
    keys = testbed.make_user(name, json.dumps(deployer_policy("aws", ACCOUNT, DEFAULT_STACK_NAME)))
    operator = json.dumps(operator_policy("aws", ACCOUNT, DEFAULT_STACK_NAME))
    iam.put_user_policy(UserName=name, PolicyName="operator", PolicyDocument=operator)
    for path, text in aws_profiles({"default": keys}).items():
        default = text.replace("[profile default]", "[default]")
        testbed.pool.write(path, default)
        testbed.pool.write(path.replace(HOME, "/root"), default, user="root")
    yield
    for command in ("credentials --remove --yes", "delete --yes"):
        testbed.annex_bootstrap(*command.split(), user="root")
    testbed.pool.must(["rm", POOL_FILE, STORED_PASSWORD])
    for policy in (name, "operator"):
        iam.delete_user_policy(UserName=name, PolicyName=policy)
    iam.delete_access_key(UserName=name, AccessKeyId=keys[0])
    iam.delete_user(UserName=name)


def set_up(testbed: Testbed, *, user: str) -> subprocess.CompletedProcess[str]:
    """Run setup as a user of the pool's machine."""
    # Real root starts no annexes, so it says who does.
    command = SETUP if user == USER else (*SETUP, "--user", USER)
    ended = testbed.pool.run(command, user=user, seconds=300)
    testbed.transcript.command(" ".join(command), ended.stdout + ended.stderr, user=user)
    return ended


def steps_of(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the steps that a run of setup began."""
    return re.findall(r"^Step \d of 5: (.*)$", ended.stdout, re.MULTILINE)


def restart(testbed: Testbed) -> None:
    """Restart the pool, as setup says, and wait until its daemons know each other again."""
    testbed.transcript.command("condor_restart", testbed.pool.must(["condor_restart"]), user="root")
    ask = ["condor_status", "-schedd", "-af", "MyAddress"]
    testbed.wait_until(lambda: ":9618" in testbed.pool.run(ask).stdout, "the pool runs behind port 9618")
    joins = testbed.annex_collector
    testbed.wait_until(lambda: ":9618" in testbed.pool.run(ask, env=joins).stdout, "the schedd is where machines join")


def check_complete(testbed: Testbed, *, user: str) -> None:
    """Check that setup ends with no problem, and that another run changes nothing."""
    ended = set_up(testbed, user=user)
    assert ended.returncode == 0, ended
    assert steps_of(ended) == STEPS
    assert "\nNo problems found" in ended.stdout
    keys = testbed.root.client("iam").list_access_keys(UserName=f"{DEFAULT_STACK_NAME}-{REGION}")["AccessKeyMetadata"]
    files = (POOL_FILE, USER_CONFIG if user == USER else "/root/.condor/user_config")
    written = [testbed.pool.read(path) for path in files]
    again = set_up(testbed, user=user)
    assert again.returncode == 0, again
    for done in ("is up to date.", "already names the stack", "already has its key here.", " already lets "):
        assert done in again.stdout
    assert "Next: condor_" not in again.stdout
    assert written == [testbed.pool.read(path) for path in files]
    unchanged = testbed.root.client("iam").list_access_keys(UserName=f"{DEFAULT_STACK_NAME}-{REGION}")
    assert unchanged["AccessKeyMetadata"] == keys
    testbed.checked("there are no problems, and another run leaves all as it is")


def test_setup_by_a_user_gives_the_lines_for_root_and_then_finds_no_problem(testbed: Testbed) -> None:
    """The pool's configuration belongs to root, so the user hands the lines over that setup prints."""
    first = set_up(testbed, user=USER)
    assert first.returncode == 1
    assert steps_of(first) == STEPS
    assert "Skipped: /etc/condor/config.d belongs to somebody else." in first.stdout
    preview, line = re.findall(r"^  (annex-bootstrap pool-config .*)$", first.stdout, re.MULTILINE)
    assert (line, preview) == (
        f"annex-bootstrap pool-config --collector {POOL} --user {USER}",
        f"{line} --print  # shows what it changes",
    )
    assert "# USE_SHARED_PORT: False -> True\n" in testbed.pool.must(["sh", "-c", preview])
    testbed.transcript.command(line, testbed.pool.must(line.split()), user="root")
    restart(testbed)
    if not testbed.has_annex_command:
        # As pool-config says to root: condor_annex reads the password as its user.
        copy = f"{CONDOR}/annex_pool_password"
        testbed.pool.must(["install", "-m", "600", "-o", USER, "-g", USER, STORED_PASSWORD, copy])
        testbed.pool.write(USER_CONFIG, f"{testbed.pool.read(USER_CONFIG)}SEC_PASSWORD_FILE = {copy}\n")
    check_complete(testbed, user=USER)


def test_setup_by_root_writes_the_pools_configuration_and_then_finds_no_problem(testbed: Testbed) -> None:
    """Anyone who owns the pool's configuration restarts HTCondor in between, and runs the same command again."""
    first = set_up(testbed, user="root")
    assert first.returncode == 1
    assert steps_of(first) == STEPS[:-1]
    assert f"{POOL_FILE} now lets annexes join through port 9618.\n" in first.stdout
    assert "\nNext: condor_restart, so that the pool uses it." in first.stdout
    assert f"\nStopped. annex-bootstrap setup --collector {POOL} --user {USER} goes on from here.\n" in first.stdout
    assert f" {USER}@$(UID_DOMAIN)\n" in testbed.pool.read(POOL_FILE)
    assert f"{POOL_FILE} says so to all users of this machine.\n" in first.stdout
    restart(testbed)
    check_complete(testbed, user="root")
    check_member(testbed)


def check_member(testbed: Testbed) -> None:
    """Check that somebody who has set up nothing finds the stack, and that the doctor knows them by that."""
    cloud, iam = testbed.root.client("cloudformation"), testbed.root.client("iam")
    (stack,) = cloud.describe_stacks(StackName=DEFAULT_STACK_NAME)["Stacks"]
    (policy,) = [each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == "StartPolicyARN"]
    # What an earlier test has left there.
    testbed.pool.run(["rm", "-f", USER_CONFIG])
    said = testbed.annex_bootstrap()
    assert f"The stack {DEFAULT_STACK_NAME} in {REGION} is named in this machine's HTCondor configuration." in said
    denied = testbed.pool.run(["annex-bootstrap", "doctor"])
    assert denied.returncode == 1, denied
    assert "PROBLEM  right to start annexes" in denied.stdout
    iam.attach_user_policy(UserName="owner", PolicyArn=policy)
    try:
        found = testbed.annex_bootstrap("doctor")
    finally:
        iam.detach_user_policy(UserName="owner", PolicyArn=policy)
    assert "OK       right to start annexes" in found
    assert f"OK       users who may start annexes: the pool lets {USER} start annexes" in found
    assert "\nNo problems found" in found
    assert "\nThese are the checks for those who start annexes." in found
    testbed.checked("a user of the pool finds the stack that root has set up, and no problems of others")
