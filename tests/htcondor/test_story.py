"""The whole story, told by a real condor_annex: each step stands on those before it.

condor_annex exits with 0 after many failures, so every step looks at what it says and at what AWS has.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from annex_bootstrap.contract import DEFAULT_STACK_NAME, Output
from annex_bootstrap.demo.inventory import is_service_linked, take_inventory
from annex_bootstrap.deployer_policy import deployer_policy
from annex_bootstrap.local_aws import ACCOUNT, STAND_IN_TAG
from tests.htcondor import story as scene
from tests.htcondor.machine import BOOT_RESULT, BOOT_SCRIPT, Machine
from tests.htcondor.pool import USER
from tests.htcondor.story import CONDOR, DEPLOYER, HOME, USER_CONFIG, Story
from tests.htcondor.world import OTHER_REGION, REGION, REGIONS

POOL_LINES = [
    "SEC_DAEMON_INTEGRITY = REQUIRED",
    "SEC_DAEMON_AUTHENTICATION = REQUIRED",
    "SEC_DAEMON_AUTHENTICATION_METHODS = PASSWORD",
    "SEC_NEGOTIATOR_INTEGRITY = REQUIRED",
    "SEC_NEGOTIATOR_AUTHENTICATION = REQUIRED",
    "SEC_NEGOTIATOR_AUTHENTICATION_METHODS = PASSWORD",
    "SEC_CLIENT_AUTHENTICATION_METHODS = FS, PASSWORD",
    "ALLOW_DAEMON = condor_pool@*",
]

SOON = "0.003"
"""Hours, about ten seconds: a lease that is over before the next check but one."""

JOB = """\
executable = /bin/hostname
transfer_executable = False
should_transfer_files = YES
requirements = TARGET.AnnexName == MY.TargetAnnexName
+TargetAnnexName = "first"
+MayUseAWS = True
output = job.out
error = job.err
log = job.log
queue
"""


@pytest.fixture(scope="module")
def story(htcondor_root: Path) -> Iterator[Story]:
    with scene.tell(htcondor_root, POOL_LINES) as story:
        yield story


@pytest.fixture(autouse=True)
def _told(story: Story, request: pytest.FixtureRequest) -> None:
    story.transcript.step(request.function.__name__, request.function.__doc__)


def test_a_deployer_with_the_least_policy_makes_the_stack(story: Story) -> None:
    """An administrator gives a deployer what `annex-bootstrap policy deployer` prints, and no more.

    From here on everything runs in the pool, a Debian 13 with HTCondor 23.9.6, where AWS's own host names lead to the
    local AWS.
    """
    key = story.make_user(DEPLOYER, json.dumps(deployer_policy("aws", ACCOUNT, DEFAULT_STACK_NAME)))
    credentials, config = scene.aws_profile(DEPLOYER, key)
    story.pool.write(f"{HOME}/.aws/credentials", credentials)
    story.pool.write(f"{HOME}/.aws/config", config)
    story.pool.write(USER_CONFIG, scene.user_knobs(story.image(), {OTHER_REGION: story.image(OTHER_REGION)}))
    story.annex_bootstrap("deploy", "--yes", "--profile", DEPLOYER)
    outputs = story.read_outputs(REGION)
    story.checked("the stack is complete")
    written = story.pool.read(USER_CONFIG)
    story.transcript.file("~/.condor/user_config", written)
    assert outputs[Output.S3_BUCKET_NAME] in written
    assert "://" not in written
    story.checked("the configuration names what was made, and no URL")


def test_the_annex_user_has_one_policy_and_a_key_that_only_the_user_can_read(story: Story) -> None:
    """condor_annex gets a user that can run annexes and nothing else; everything below runs with this user's keys."""
    key_id, secret = story.make_user("annex-user")
    policy = story.outputs[REGION][Output.ANNEX_USER_POLICY_ARN]
    story.root.client("iam").attach_user_policy(UserName="annex-user", PolicyArn=policy)
    story.pool.write(f"{CONDOR}/access_key", key_id)
    story.pool.write(f"{CONDOR}/secret_key", secret)
    knobs = f"""
ANNEX_DEFAULT_ACCESS_KEY_FILE = {CONDOR}/access_key
ANNEX_DEFAULT_SECRET_KEY_FILE = {CONDOR}/secret_key
"""
    story.pool.write(USER_CONFIG, story.pool.read(USER_CONFIG) + knobs)


def test_a_user_without_the_policy_starts_nothing(story: Story) -> None:
    """IAM is enforced, so the steps that follow prove our policy too."""
    key_id, secret = story.make_user("stranger")
    files = {"ACCESS": key_id, "SECRET": secret}
    for kind, text in files.items():
        story.pool.write(f"{HOME}/stranger/{kind}", text)
    as_stranger = {f"_CONDOR_ANNEX_DEFAULT_{kind}_KEY_FILE": f"{HOME}/stranger/{kind}" for kind in files}
    said = story.condor_annex("-count", "1", "-annex-name", "refused", "-yes", env=as_stranger)
    assert "not authorized" in said
    assert not story.machines("refused")
    assert "refused" not in story.leases()
    story.checked("AWS refused; no machine, no rule")


def test_an_on_demand_annex_starts(story: Story) -> None:
    """condor_annex asks our connectivity function whether AWS reaches the pool, through the default shared port."""
    said = story.condor_annex("-count", "2", "-annex-name", "first", "-yes")
    assert "Annex started." in said
    outputs = story.outputs[REGION]
    machines = story.machines("first")
    assert len(machines) == 2
    for machine in machines:
        assert machine["IamInstanceProfile"]["Arn"] == outputs[Output.INSTANCE_CONFIGURATION_PROFILE]
        assert [each["GroupId"] for each in machine["SecurityGroups"]] == [outputs[Output.SECURITY_GROUP_ID]]
    story.checked("two machines run, tagged with the annex, with our profile and our security group")
    lease = story.lease("first")
    assert lease["S3BucketName"] == outputs[Output.S3_BUCKET_NAME]
    assert lease["LeaseExpiration"] > time.time()
    story.checked("the rule `first` has one target: our lease function, with bucket and expiry")
    assert story.tarballs() == {"config-first.tar.gz"}
    story.checked("the pool's configuration is in the bucket")


def test_annexes_with_similar_names_start_too(story: Story) -> None:
    """HTCondor's own lease function matches by prefix: these two would end together with `first`."""
    for name in ("first2", "first_x"):
        assert "Annex started." in story.condor_annex("-count", "1", "-annex-name", name, "-yes")
        assert len(story.machines(name)) == 1
    assert story.leases() == {"first", "first2", "first_x"}
    story.checked("each has its own machine and its own rule")


def test_a_spot_annex_starts_with_the_fleet_file(story: Story) -> None:
    """The fleet file says how many slots a machine has; condor_annex asks for slots."""
    outputs = story.outputs[REGION]
    fleet = {
        "SpotPrice": "0.10",
        "IamFleetRole": outputs[Output.IAM_FLEET_ROLE_ARN],
        "TargetCapacity": 1,
        "AllocationStrategy": "lowestPrice",
        "LaunchSpecifications": [
            {
                "ImageId": story.image(),
                "InstanceType": "m5.large",
                "SpotPrice": "0.10",
                "WeightedCapacity": "2",
                "IamInstanceProfile": {"Arn": outputs[Output.INSTANCE_CONFIGURATION_PROFILE]},
                "SecurityGroups": [{"GroupId": outputs[Output.SECURITY_GROUP_ID]}],
            }
        ],
    }
    story.pool.write(f"{CONDOR}/fleet.json", json.dumps(fleet))
    knob = f"ANNEX_DEFAULT_SFR_CONFIG_FILE = {CONDOR}/fleet.json\n"
    story.pool.write(USER_CONFIG, story.pool.read(USER_CONFIG) + knob)
    assert "Annex started." in story.condor_annex("-slots", "4", "-annex-name", "spot", "-yes")
    (request,) = story.root.client("ec2").describe_spot_fleet_requests()["SpotFleetRequestConfigs"]
    config = request["SpotFleetRequestConfig"]
    assert config["IamFleetRole"] == outputs[Output.IAM_FLEET_ROLE_ARN]
    weights = {each["WeightedCapacity"] for each in config["LaunchSpecifications"]}
    assert len(weights) == 1
    (weight,) = weights
    assert len(story.machines("spot")) == -(-4 // int(weight))
    story.checked(f"AWS has one fleet request for 4 slots, each machine counts {weight:.0f}: the weights arrived")
    assert story.lease("spot")["LeaseExpiration"] > time.time()
    story.checked("the rule `spot` has our lease function too: one function serves both kinds")


def test_condor_annex_lists_what_runs(story: Story) -> None:
    """Both forms of status find the machines by their tags."""
    said = story.condor_annex("-status")
    for annex_id in ("first", "first2", "first_x", "spot"):
        count = len(story.machines(annex_id))
        assert re.search(rf"^{annex_id} +{count} +{count}$", said, re.MULTILINE)
    story.checked("it lists the four annexes with their machines")
    said = story.condor_annex("-annex-name", "first", "status")
    for machine in story.machines("first"):
        assert machine["InstanceId"] in said
    story.checked("it lists the machines of `first`, not yet in the pool")


def test_a_machine_boots_joins_the_pool_and_runs_a_job(story: Story, htcondor_root: Path) -> None:
    """One of the machines is played by a second system, with the instance metadata service at 169.254.169.254.

    It boots with the stock script of HTCondor's package, as it is.
    """
    machine = story.machines("first")[0]
    instance_id = machine["InstanceId"]
    ec2 = story.root.client("ec2")
    ec2.create_tags(Resources=[instance_id], Tags=[{"Key": STAND_IN_TAG, "Value": "yes"}])
    ca_pem = story.local.ca_file.read_text()
    with Machine(htcondor_root, machine["PublicIpAddress"], hosts=story.pool.hosts, ca_pem=ca_pem) as stand_in:
        ended = stand_in.run([BOOT_SCRIPT, "start"], seconds=300)
        story.transcript.command(f"{BOOT_SCRIPT} start", ended.stdout + ended.stderr)
        wrote = stand_in.read(BOOT_RESULT)
        story.transcript.file(BOOT_RESULT, wrote)
        assert "Fetched 'config-first.tar.gz'" in wrote
        story.checked("the script found its tarball through our role and its one inline policy")
        stand_in.must(["condor_master"])
        story.wait_until(lambda: instance_id in story.pool.run(["condor_status", "-af", "EC2InstanceID"]).stdout, "it")
        said = story.condor_annex("-annex-name", "first", "status")
        assert "slot1@" in said
        story.checked("the machine is in the pool")
        story.pool.write(f"{HOME}/job.submit", JOB)
        story.transcript.file("job.submit", JOB)
        story.transcript.command(
            "condor_submit job.submit", story.pool.must(["condor_submit", "job.submit"], user=USER)
        )
        waited = story.pool.run(["condor_wait", "-wait", "120", "job.log"], seconds=150)
        story.transcript.command("condor_wait job.log", waited.stdout)
        said = story.pool.run(["cat", "job.out"]).stdout
        story.transcript.command("cat job.out", said)
        assert said == "machine.example.org\n"
        story.checked("the job ran on that machine")
    ec2.delete_tags(Resources=[instance_id], Tags=[{"Key": STAND_IN_TAG}])


@pytest.mark.parametrize("annex_id", ["first", "spot"])
def test_a_lease_is_extended(story: Story, annex_id: str) -> None:
    """For this condor_annex names no bucket, and takes every annex for one on demand."""
    before = story.lease(annex_id)["LeaseExpiration"]
    said = story.condor_annex("-annex-name", annex_id, "-duration", "2")
    assert "Lease updated." in said
    lease = story.lease(annex_id)
    assert lease["LeaseExpiration"] > before
    assert lease["S3BucketName"] == ""
    story.checked(f"the target of `{annex_id}` has a later expiry, an empty bucket name, and our one function")


def test_a_lease_that_runs_out_ends_its_annex_and_no_other(story: Story) -> None:
    """The schedule runs a hundred times faster than the clock: every five minutes is every three seconds."""
    _run_out(story, "first")
    assert len(story.machines("first2")) == len(story.machines("first_x")) == 1
    assert story.leases() == {"first2", "first_x", "spot"}
    assert story.tarballs() == {"config-first2.tar.gz", "config-first_x.tar.gz", "config-spot.tar.gz"}
    story.condor_annex("-status")
    story.checked("`first2` and `first_x` live on, with their rules and tarballs")


def test_a_lease_that_runs_out_ends_a_spot_annex_with_its_fleet(story: Story) -> None:
    """Its target is the on-demand lease function since the extension; ours serves both kinds."""
    _run_out(story, "spot")
    (request,) = story.root.client("ec2").describe_spot_fleet_requests()["SpotFleetRequestConfigs"]
    assert request["SpotFleetRequestState"].startswith("cancelled")
    story.checked("the fleet request is cancelled")


def _run_out(story: Story, annex_id: str) -> None:
    count = len(story.machines(annex_id))
    assert "Lease updated." in story.condor_annex("-annex-name", annex_id, "-duration", SOON)
    story.wait_until(lambda: not story.machines(annex_id), f"{annex_id} is ended")
    story.checked(f"no machine of `{annex_id}` runs any more")
    story.wait_until(lambda: annex_id not in story.leases(), f"the rule {annex_id} is gone")
    assert f"config-{annex_id}.tar.gz" not in story.tarballs()
    story.checked("its rule, its target and its tarball are gone")


def test_deleting_the_stack_leaves_nothing_of_ours(story: Story) -> None:
    """The deployer takes it all away."""
    for annex_id in ("first2", "first_x"):
        _run_out(story, annex_id)
    story.annex_bootstrap("delete", "--yes", "--profile", DEPLOYER)
    for region in REGIONS:
        left = take_inventory(boto3.Session(region_name=region)) - story.before[region]
        assert {each for each in left if not is_service_linked(each)} == set()
    story.checked("the account has what it had before, and the service-linked roles of spot, which are the account's")
    assert "annex-bootstrap" not in story.pool.read(USER_CONFIG)
    story.checked("the configuration is the scientist's own again")
