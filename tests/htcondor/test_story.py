"""The whole story, told by a real condor_annex: each step stands on those before it.

condor_annex exits with 0 after many failures, so every step looks at what it says and at what AWS has.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.operator import operator_policy
from annex_bootstrap.pool.blocks import local_name
from annex_contract.stack import DEFAULT_STACK_NAME, Output
from local_aws.demo.inventory import is_service_linked, take_inventory
from local_aws.launcher import ACCOUNT, STAND_IN_TAG
from tests.htcondor import story as scene
from tests.htcondor.machine import BOOT_RESULT, BOOT_SCRIPT, Machine
from tests.htcondor.pool import USER
from tests.htcondor.story import CONDOR, DEPLOYER, HOME, OPERATOR, USER_CONFIG, Story
from tests.htcondor.world import OTHER_REGION, POOL, REGION, REGIONS, inside

STORED_PASSWORD = "/etc/condor/annex_pool_password"

USER_KNOBS = """\
SEC_PASSWORD_FILE = {condor}/annex_pool_password
ANNEX_DEFAULT_ODI_IMAGE_ID = {image}
ANNEX_DEFAULT_ODI_INSTANCE_TYPE = m7i.large
"""

IN_BOTH = [option for region in REGIONS for option in ("--region", region)]

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
    if not inside():
        pytest.fail("The story needs a network of its own: run make e2e.", pytrace=False)
    with scene.tell(htcondor_root) as story:
        yield story


@pytest.fixture(autouse=True)
def _told(story: Story, request: pytest.FixtureRequest) -> None:
    story.transcript.step(request.function.__name__, request.function.__doc__)


def test_the_pool_is_prepared_with_one_command(story: Story) -> None:
    """A personal pool, Debian 13's HTCondor as it is installed, gets a pool password and one port for everything."""
    story.annex_bootstrap("pool-config", "--collector", POOL, user="root")
    story.transcript.command("condor_restart", story.pool.must(["condor_restart"]), user="root")
    ask = ["condor_status", "-schedd", "-af", "MyAddress"]
    story.wait_until(lambda: ":9618" in story.pool.run(ask).stdout, "the pool runs behind port 9618")
    story.checked("the pool runs behind port 9618")
    copy = ["install", "-D", "-m", "600", "-o", USER, "-g", USER, STORED_PASSWORD, f"{CONDOR}/annex_pool_password"]
    story.transcript.command(" ".join(copy), story.pool.must(copy), user="root")
    story.pool.write(USER_CONFIG, USER_KNOBS.format(condor=CONDOR, image=story.image()))


def test_a_deployer_with_the_least_policy_makes_a_stack_in_two_regions(story: Story) -> None:
    """An administrator gives the deployer what `annex-bootstrap policy deployer` prints, and no more.

    The operator gets what `annex-bootstrap policy operator` prints.
    """
    policies = {DEPLOYER: deployer_policy, OPERATOR: operator_policy}
    keys = {
        name: story.make_user(name, json.dumps(policy("aws", ACCOUNT, DEFAULT_STACK_NAME)))
        for name, policy in policies.items()
    }
    for path, text in scene.aws_profiles(keys).items():
        story.pool.write(path, text)
    began = time.monotonic()
    story.annex_bootstrap("deploy", "--yes", "--profile", DEPLOYER, *IN_BOTH)
    story.transcript.note(f"It took {time.monotonic() - began:.0f} s")
    buckets = {region: story.read_outputs(region)[Output.S3_BUCKET_NAME] for region in REGIONS}
    story.checked("both stacks are complete")
    written = story.pool.read(USER_CONFIG)
    story.transcript.file("~/.condor/user_config", written)
    assert f"\nANNEX_DEFAULT_S3_BUCKET = {buckets[REGION]}\n" in written
    assert f"\n{local_name(OTHER_REGION)}.ANNEX_DEFAULT_S3_BUCKET = {buckets[OTHER_REGION]}\n" in written
    assert "://" not in written
    story.checked("the configuration has one region's knobs as they are, the other's with its prefix, and no URL")


def test_condor_annex_gets_a_user_that_can_run_annexes_and_nothing_else(story: Story) -> None:
    """The operator makes one for each region; whatever condor_annex does below, it does with their keys."""
    iam = story.root.client("iam")
    for region in REGIONS:
        story.annex_bootstrap("credentials", "--profile", OPERATOR, "--region", region)
        user = f"{DEFAULT_STACK_NAME}-{region}"
        (policy,) = iam.list_attached_user_policies(UserName=user)["AttachedPolicies"]
        assert policy["PolicyArn"] == story.outputs[region][Output.ANNEX_USER_POLICY_ARN]
        assert not iam.list_user_policies(UserName=user)["PolicyNames"]
        story.checked(f"the user for {region} has the stack's policy and no other")


def test_a_user_without_the_policy_starts_nothing(story: Story) -> None:
    """IAM is enforced, so the steps that follow prove our policy too."""
    key_id, secret = story.make_user("stranger")
    options = []
    for kind, text in (("access", key_id), ("secret", secret)):
        path = f"{HOME}/stranger-{kind}-key"
        story.pool.write(path, text)
        options += [f"-aws-{kind}-key-file", path]
    said = story.condor_annex("-count", "1", "-annex-name", "refused", *options, "-yes")
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
    story.annex_bootstrap(
        "fleet-config", "--types", "c7i.large,m7i.large", "--image", story.image(), "--profile", OPERATOR
    )
    outputs = story.outputs[REGION]
    assert "Annex started." in story.condor_annex("-slots", "4", "-annex-name", "spot", "-yes")
    (request,) = story.root.client("ec2").describe_spot_fleet_requests()["SpotFleetRequestConfigs"]
    config = request["SpotFleetRequestConfig"]
    assert config["IamFleetRole"] == outputs[Output.IAM_FLEET_ROLE_ARN]
    written = json.loads(story.pool.read(f"{CONDOR}/annex-fleet-{REGION}.json"))["LaunchSpecifications"]
    weights = [each["WeightedCapacity"] for each in config["LaunchSpecifications"]]
    assert weights == [float(each["WeightedCapacity"]) for each in written]
    machines = story.machines("spot")
    assert len(machines) == math.ceil(4 / weights[0]) < 4
    story.checked(
        f"each machine counts {weights[0]:.0f} slots, as the file says, so 4 slots are {len(machines)} machines"
    )
    assert story.lease("spot")["LeaseExpiration"] > time.time()
    story.checked("the rule `spot` has our lease function too: one function serves both kinds")


def test_the_doctor_finds_nothing_wrong(story: Story) -> None:
    """`doctor` looks at both sides: the pool's files here, the stack in AWS, and the way from AWS to the collector."""
    said = story.annex_bootstrap("doctor", "--profile", OPERATOR)
    assert "No problems." in said
    story.checked("everything is as it must be")


def test_an_annex_starts_in_the_other_region(story: Story) -> None:
    """condor_annex reads the knobs with the region's prefix."""
    said = story.condor_annex("-aws-region", OTHER_REGION, "-count", "1", "-annex-name", "west", "-yes")
    assert "Annex started." in said
    (machine,) = story.machines("west", OTHER_REGION)
    outputs = story.outputs[OTHER_REGION]
    assert machine["IamInstanceProfile"]["Arn"] == outputs[Output.INSTANCE_CONFIGURATION_PROFILE]
    assert story.lease("west", OTHER_REGION)["S3BucketName"] == outputs[Output.S3_BUCKET_NAME]
    assert story.tarballs(OTHER_REGION) == {"config-west.tar.gz"}
    assert not story.machines("west")
    assert "west" not in story.leases()
    story.checked(f"machine, rule and tarball are in {OTHER_REGION}, with that stack's profile, and not in {REGION}")
    assert machine["InstanceId"] in story.condor_annex("-aws-region", OTHER_REGION, "-status")
    story.checked("condor_annex lists it there")


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


def test_a_machine_boots_and_joins_the_pool_and_runs_a_job(story: Story, htcondor_root: Path) -> None:
    """One of the machines is played by a second system, with the instance metadata service at 169.254.169.254.

    It boots with the stock script of HTCondor's package, as it is.
    """
    machine = story.machines("first")[0]
    instance_id = machine["InstanceId"]
    ec2 = story.root.client("ec2")
    ec2.create_tags(Resources=[instance_id], Tags=[{"Key": STAND_IN_TAG, "Value": "yes"}])
    ca_pem = story.local.ca_file.read_text()
    with Machine(htcondor_root, machine["PublicIpAddress"], hosts=story.pool.hosts, ca_pem=ca_pem) as stand_in:
        ended = stand_in.run([BOOT_SCRIPT, "start"], seconds=150)
        story.transcript.command(f"{BOOT_SCRIPT} start", ended.stdout + ended.stderr)
        wrote = stand_in.read(BOOT_RESULT)
        story.transcript.file(BOOT_RESULT, wrote)
        assert "Fetched 'config-first.tar.gz'" in wrote
        story.checked("the script found its tarball through our role and its one inline policy")
        stand_in.must(["condor_master"])
        ask = ["condor_status", "-af", "EC2InstanceID"]
        story.wait_until(lambda: instance_id in story.pool.run(ask).stdout, "the machine is in the pool")
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


def _run_out(story: Story, annex_id: str, region: str = REGION) -> None:
    options = ["-aws-region", region] if region != REGION else []
    said = story.condor_annex(*options, "-annex-name", annex_id, "-duration", SOON)
    assert "Lease updated." in said
    _check_end(story, annex_id, region)


def _check_end(story: Story, annex_id: str, region: str = REGION) -> None:
    story.wait_until(lambda: not story.machines(annex_id, region), f"{annex_id} is ended")
    story.checked(f"no machine of `{annex_id}` runs any more")
    story.wait_until(lambda: annex_id not in story.leases(region), f"the rule {annex_id} is gone")
    assert f"config-{annex_id}.tar.gz" not in story.tarballs(region)
    story.checked("its rule, its target and its tarball are gone")


def test_a_lease_in_the_other_region_runs_out_there(story: Story) -> None:
    """Each region has its own lease function."""
    _run_out(story, "west", OTHER_REGION)


def test_our_leases_command_steers_what_condor_annex_started(story: Story) -> None:
    """`leases` reads and writes what condor_annex wrote."""
    said = story.annex_bootstrap("leases", "--profile", OPERATOR)
    assert re.search(r"^first2 +on demand +1 ", said, re.MULTILINE)
    assert re.search(r"^first_x +on demand +1 ", said, re.MULTILINE)
    story.checked("it lists both annexes")
    before = story.lease("first2")["LeaseExpiration"]
    story.annex_bootstrap("leases", "--profile", OPERATOR, "extend", "first2", "3h")
    assert story.lease("first2")["LeaseExpiration"] > before
    story.checked("`first2` has a later expiry")
    for annex_id in ("first2", "first_x"):
        story.annex_bootstrap("leases", "--profile", OPERATOR, "end", annex_id, "--yes")
        _check_end(story, annex_id)


def test_deleting_leaves_nothing_of_ours(story: Story) -> None:
    """The operator takes the user away, the deployer the rest."""
    for region in REGIONS:
        story.annex_bootstrap("credentials", "--remove", "--yes", "--profile", OPERATOR, "--region", region)
    story.annex_bootstrap("delete", "--yes", "--profile", DEPLOYER, *IN_BOTH)
    for region in REGIONS:
        left = take_inventory(boto3.Session(region_name=region)) - story.before[region]
        assert {each for each in left if not is_service_linked(each)} == set()
    story.checked("the account has what it had before, and the service-linked roles of spot, which are the account's")
    configuration = story.pool.read(USER_CONFIG)
    assert "ANNEX_DEFAULT_S3_BUCKET" not in configuration
    assert "KEY_FILE" not in configuration
    story.checked("the configuration names neither the stack nor the keys any more")
