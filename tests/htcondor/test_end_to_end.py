"""The life of annexes from deploy to delete, with a real condor_annex; each test builds on those before it.

condor_annex exits with 0 after many failures, so every test checks what it prints and what AWS holds.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.operator import operator_policy
from annex_bootstrap.pool.blocks import local_name
from annex_bootstrap.pool.htcondor import FIRST_HTCONDOR_ANNEX
from annex_contract.knobs import IMAGE_KNOB, REGIONS_WITH_IMAGE
from annex_contract.stack import DEFAULT_STACK_NAME, Output
from local_aws.demo.inventory import is_service_linked, take_inventory
from local_aws.launcher import ACCOUNT, STAND_IN_TAG
from tests.htcondor.machine import BOOT_RESULT, BOOT_SCRIPT, Machine
from tests.htcondor.namespaces import OTHER_REGION, POOL, REGION, REGIONS
from tests.htcondor.pool import USER
from tests.htcondor.root import SUITES, ensure_root, version
from tests.htcondor.stand_in import network_of
from tests.htcondor.testbed import (
    CONDOR,
    DEPLOYER,
    HOME,
    INSTANCE_TYPE,
    OPERATOR,
    USER_CONFIG,
    Testbed,
    aws_profiles,
)

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

STORED_PASSWORD = "/etc/condor/annex_pool_password"

USER_KNOBS = """\
SEC_PASSWORD_FILE = {condor}/annex_pool_password
ANNEX_DEFAULT_ODI_INSTANCE_TYPE = {type}
"""

IN_BOTH = [option for region in REGIONS for option in ("--region", region)]

SOON = "0.001"
"""Hours, about four seconds: a lease that ends at one of the next checks."""


def test_the_pool_is_prepared_with_one_command(testbed: Testbed) -> None:
    """A personal pool, HTCondor as Debian 13 installs it, gets a pool password and one port for everything."""
    testbed.annex_bootstrap("pool-config", "--collector", POOL, "--user", USER, user="root")
    testbed.transcript.command("condor_restart", testbed.pool.must(["condor_restart"]), user="root")
    ask = ["condor_status", "-schedd", "-af", "MyAddress"]
    testbed.wait_until(lambda: ":9618" in testbed.pool.run(ask).stdout, "the pool runs behind port 9618")
    joins = testbed.annex_collector
    testbed.wait_until(lambda: ":9618" in testbed.pool.run(ask, env=joins).stdout, "the schedd is where machines join")
    testbed.checked("the pool runs behind port 9618")
    copy = ["install", "-D", "-m", "600", "-o", USER, "-g", USER, STORED_PASSWORD, f"{CONDOR}/annex_pool_password"]
    testbed.transcript.command(" ".join(copy), testbed.pool.must(copy), user="root")
    testbed.pool.write(USER_CONFIG, USER_KNOBS.format(condor=CONDOR, type=INSTANCE_TYPE))


def test_a_deployer_with_the_minimal_policy_creates_a_stack_in_two_regions(testbed: Testbed) -> None:
    """An administrator grants the deployer what `annex-bootstrap policy deployer` prints, and no more.

    The operator gets what `annex-bootstrap policy operator` prints.
    """
    policies = {DEPLOYER: deployer_policy, OPERATOR: operator_policy}
    keys = {
        name: testbed.make_user(name, json.dumps(policy("aws", ACCOUNT, DEFAULT_STACK_NAME)))
        for name, policy in policies.items()
    }
    for path, text in aws_profiles(keys).items():
        testbed.pool.write(path, text)
    began = time.monotonic()
    testbed.annex_bootstrap("deploy", "--yes", "--profile", DEPLOYER, *IN_BOTH)
    testbed.transcript.note(f"It took {time.monotonic() - began:.0f} s")
    buckets = {region: testbed.read_outputs(region)[Output.S3_BUCKET_NAME] for region in REGIONS}
    testbed.checked("both stacks are complete")
    written = testbed.pool.read(USER_CONFIG)
    testbed.transcript.file("~/.condor/user_config", written)
    assert f"\nANNEX_DEFAULT_S3_BUCKET = {buckets[REGION]}\n" in written
    assert f"\n{local_name(OTHER_REGION)}.ANNEX_DEFAULT_S3_BUCKET = {buckets[OTHER_REGION]}\n" in written
    assert "://" not in written
    testbed.checked("the configuration has one region's knobs as they are, the other's with its prefix, and no URL")


def test_condor_annex_gets_a_user_that_can_run_annexes_and_nothing_else(testbed: Testbed) -> None:
    """The operator creates one for each region; condor_annex uses their keys for everything below."""
    iam = testbed.root.client("iam")
    for region in REGIONS:
        testbed.annex_bootstrap("credentials", "--profile", OPERATOR, "--region", region)
        user = f"{DEFAULT_STACK_NAME}-{region}"
        (policy,) = iam.list_attached_user_policies(UserName=user)["AttachedPolicies"]
        assert policy["PolicyArn"] == testbed.outputs[region][Output.ANNEX_USER_POLICY_ARN]
        assert not iam.list_user_policies(UserName=user)["PolicyNames"]
        testbed.checked(f"the user for {region} has the stack's policy and no other")


def test_an_on_demand_annex_starts(testbed: Testbed) -> None:
    """From HTCondor 24.11 on, a job must wait for the annex before it starts."""
    testbed.start_annex("first", count=2)
    outputs = testbed.outputs[REGION]
    machines = testbed.machines("first")
    assert len(machines) == 2
    for machine in machines:
        assert machine["IamInstanceProfile"]["Arn"] == outputs[Output.INSTANCE_CONFIGURATION_PROFILE]
        assert [group["GroupId"] for group in machine["SecurityGroups"]] == [outputs[Output.SECURITY_GROUP_ID]]
    testbed.checked("two machines run, tagged with the annex, with our profile and our security group")
    lease = testbed.lease("first")
    assert lease["S3BucketName"] == outputs[Output.S3_BUCKET_NAME]
    assert lease["LeaseExpiration"] > time.time()
    testbed.checked("the rule `first` has one target: our lease function, with bucket and expiry")
    assert testbed.tarballs() == {"config-first.tar.gz"}
    testbed.checked("the pool's configuration is in the bucket")


def test_a_user_without_the_policy_starts_nothing(testbed: Testbed) -> None:
    """IAM is enforced, so all other steps prove our policy too."""
    key_id, secret = testbed.make_user("stranger")
    options = []
    for kind, text in (("access", key_id), ("secret", secret)):
        path = f"{HOME}/stranger-{kind}-key"
        testbed.pool.write(path, text)
        options += [f"-aws-{kind}-key-file", path]
    output = testbed.condor_annex("-count", "1", "-annex-name", "refused", *options, "-yes")
    assert "not authorized" in output
    assert not testbed.machines("refused")
    assert "refused" not in testbed.leases()
    testbed.checked("AWS refused; no machine, no rule")


def test_annexes_with_similar_names_start_too(testbed: Testbed) -> None:
    """HTCondor's own lease function matches by prefix: these two would end together with `first`."""
    for name in ("first2", "first_x"):
        testbed.start_annex(name)
        assert len(testbed.machines(name)) == 1
    assert testbed.leases() == {"first", "first2", "first_x"}
    testbed.checked("each has its own machine and its own rule")


def test_a_spot_annex_starts_with_the_fleet_file(testbed: Testbed) -> None:
    """The fleet file says how many slots a machine has; condor_annex asks for slots."""
    testbed.annex_bootstrap(
        "fleet-config", "--types", "c7i.large,m7i.large", "--image", testbed.image(), "--profile", OPERATOR
    )
    outputs = testbed.outputs[REGION]
    tags = ("-tag", "cost-center", "42", "-tag", "project", "a/b")
    assert "Annex started." in testbed.condor_annex("-slots", "4", "-annex-name", "spot", "-yes", *tags)
    (request,) = testbed.root.client("ec2").describe_spot_fleet_requests()["SpotFleetRequestConfigs"]
    config = request["SpotFleetRequestConfig"]
    assert config["IamFleetRole"] == outputs[Output.IAM_FLEET_ROLE_ARN]
    written = json.loads(testbed.pool.read(f"{CONDOR}/annex-fleet-{REGION}.json"))["LaunchSpecifications"]
    weights = [specification["WeightedCapacity"] for specification in config["LaunchSpecifications"]]
    assert weights == [float(specification["WeightedCapacity"]) for specification in written]
    machines = testbed.machines("spot")
    assert len(machines) == math.ceil(4 / weights[0]) < 4
    testbed.checked(
        f"each machine counts {weights[0]:.0f} slots, as the file says, so 4 slots are {len(machines)} machines"
    )
    for machine in machines:
        given = {tag["Key"]: tag["Value"] for tag in machine["Tags"]}
        assert (given["cost-center"], given["project"]) == ("42", "a/b")
    testbed.checked("each machine has the tags that condor_annex was given with -tag")
    assert testbed.lease("spot")["LeaseExpiration"] > time.time()
    testbed.checked("the rule `spot` has our lease function too: one function serves both kinds")


def test_the_doctor_finds_no_problems(testbed: Testbed) -> None:
    """`doctor` checks the pool's files, the stack in AWS, and the connection from AWS to the collector."""
    output = testbed.annex_bootstrap("doctor", "--profile", OPERATOR)
    assert "No problems found" in output
    testbed.checked("there are no problems")
    if testbed.has_annex_command:
        assert re.search(r"^OK +token: the schedd knows scientist@pool.example.org by name$", output, re.MULTILINE)
        assert re.search(r"^OK +collector from AWS: pool.example.org:9618 answers", output, re.MULTILINE)


DOCTOR = ("annex-bootstrap", "doctor", "--profile", OPERATOR)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ({"HPC_ANNEX_ENABLED": "False"}, "htcondor annex: it is not switched on"),
        ({"ANNEX_USE_OLD_CREATE": "False"}, "htcondor annex: in [0-9.]+ it starts nothing on AWS"),
        ({"ANNEX_COLLECTOR": ":9618?sock=ap_collector"}, "access point's collector: ANNEX_COLLECTOR names no host"),
        (
            {"ANNEX_COLLECTOR": f"{POOL}:9618?sock=nobody"},
            "access point's collector: .* does not answer$(.|\\n)*^PROBLEM +collector from AWS: .* named nobody",
        ),
        ({"SEC_CLIENT_AUTHENTICATION_METHODS": "PASSWORD"}, "token: the schedd takes .* for condor@password"),
    ],
)
def test_the_doctor_names_what_keeps_htcondor_annex_from_working(
    testbed: Testbed, wrong: dict[str, str], found: str
) -> None:
    """One knob at a time is wrong, for the doctor only."""
    if not testbed.has_annex_command:
        pytest.skip("This HTCondor starts annexes with condor_annex.")
    code, output = testbed.command(*DOCTOR, env={f"_CONDOR_{knob}": value for knob, value in wrong.items()})
    assert code == 1
    assert re.search(rf"^PROBLEM +{found}", output, re.MULTILINE), output
    testbed.checked("the doctor says what is wrong, and what to type")


def test_the_doctor_names_an_annex_password_that_others_can_read(testbed: Testbed) -> None:
    """It is what machines of `condor_annex` since 24.11 authenticate with."""
    if not testbed.has_annex_command:
        pytest.skip("This HTCondor has no annex password.")
    path = f"{CONDOR}/annex_password_file"
    testbed.pool.must(["chmod", "644", path])
    code, output = testbed.command(*DOCTOR)
    testbed.pool.must(["chmod", "400", path])
    assert code == 1
    assert f"PROBLEM  annex password: {path} has mode 0644" in output
    testbed.checked("the doctor says so")


def test_an_image_without_the_regions_prefix_is_not_what_starts(testbed: Testbed) -> None:
    """HTCondor's own image for the region goes before it, in every version."""
    plain = f"{CONDOR}/plain_config"
    testbed.pool.write(plain, "ANNEX_DEFAULT_ODI_IMAGE_ID = ami-12345678\n")
    _, output = testbed.command(*DOCTOR, "--config", plain)
    assert "PROBLEM  image: ami-12345678 is not what starts" in output
    ask = ["condor_config_val", "-local-name", local_name(REGION), IMAGE_KNOB]
    assert "ami-12345678" not in testbed.pool.run(ask, env={f"_CONDOR_{IMAGE_KNOB}": "ami-12345678"}).stdout
    (image,) = {machine["ImageId"] for machine in testbed.machines("first")}
    assert image == testbed.outputs[REGION][Output.IMAGE_ID]
    testbed.checked("the doctor says so; with the prefix, as our block has it, `first` runs the stack's image")


def test_htcondor_has_an_image_of_its_own_in_the_regions_that_we_know(testbed: Testbed) -> None:
    """A newer HTCondor may know others."""
    regions = boto3.Session().get_available_regions("ec2")
    ask = "for region; do condor_config_val $region.ANNEX_DEFAULT_ODI_IMAGE_ID >/dev/null 2>&1 && echo $region; done"
    own = testbed.pool.run(["sh", "-c", ask, "sh", *(local_name(region) for region in regions)]).stdout.split()
    assert set(own) == {local_name(region) for region in REGIONS_WITH_IMAGE}


def test_an_annex_starts_in_the_other_region(testbed: Testbed) -> None:
    """condor_annex reads the knobs with the region's prefix."""
    testbed.start_annex("west", region=OTHER_REGION)
    (machine,) = testbed.machines("west", OTHER_REGION)
    outputs = testbed.outputs[OTHER_REGION]
    assert machine["IamInstanceProfile"]["Arn"] == outputs[Output.INSTANCE_CONFIGURATION_PROFILE]
    assert testbed.lease("west", OTHER_REGION)["S3BucketName"] == outputs[Output.S3_BUCKET_NAME]
    assert testbed.tarballs(OTHER_REGION) == {"config-west.tar.gz"}
    assert not testbed.machines("west")
    assert "west" not in testbed.leases()
    testbed.checked(f"machine, rule and tarball are in {OTHER_REGION}, with that stack's profile, and not in {REGION}")
    assert machine["InstanceId"] in testbed.condor_annex("-aws-region", OTHER_REGION, "-status")
    testbed.checked("condor_annex lists it there")


def test_condor_annex_lists_what_runs(testbed: Testbed) -> None:
    """Both forms of status find the machines by their tags."""
    output = testbed.condor_annex("-status")
    for annex_id in ("first", "first2", "first_x", "spot"):
        count = len(testbed.machines(annex_id))
        assert re.search(rf"^{annex_id} +{count} +{count}$", output, re.MULTILINE)
    testbed.checked("it lists the four annexes with their machines")
    output = testbed.condor_annex("-annex-name", "first", "status")
    for machine in testbed.machines("first"):
        assert machine["InstanceId"] in output
    testbed.checked("it lists the machines of `first`, not yet in the pool")


def test_a_machine_boots_and_joins_the_pool_and_runs_a_job(testbed: Testbed, htcondor_root: Path) -> None:
    """A second system stands in for one of the machines, with the instance metadata service at 169.254.169.254.

    It boots with the unmodified script of HTCondor's package.
    """
    machine = testbed.machines("first")[0]
    instance_id = machine["InstanceId"]
    with stand_in_for(testbed, machine, htcondor_root) as stand_in:
        ended = stand_in.run([BOOT_SCRIPT, "start"], seconds=150)
        testbed.transcript.command(f"{BOOT_SCRIPT} start", ended.stdout + ended.stderr)
        wrote = stand_in.read(BOOT_RESULT)
        testbed.transcript.file(BOOT_RESULT, wrote)
        assert "Fetched 'config-first.tar.gz'" in wrote
        testbed.checked("the script found its tarball through our role and its one inline policy")
        stand_in.must(["condor_master"])
        ask = ["condor_status", "-af", "EC2InstanceID"]
        joined = testbed.annex_collector
        testbed.wait_until(
            lambda: instance_id in testbed.pool.run(ask, env=joined).stdout, "the machine is in the pool"
        )
        output = testbed.condor_annex("-annex-name", "first", "status")
        assert "slot1@" in output
        testbed.checked("the machine is in the pool")
        if not testbed.has_annex_command:
            testbed.submit_job("first")
        testbed.command("condor_wait", "-wait", "120", "first.log")
        _, output = testbed.command("cat", "first.out")
        assert output == "machine.example.org\n"
        testbed.checked("the job ran on that machine")


def test_a_machine_of_the_other_side_of_24_11_does_not_join_and_the_doctor_says_why(
    testbed: Testbed, htcondor_root: Path
) -> None:
    """Its boot script unpacks the annex's configuration where its own HTCondor does not look for it."""
    (other,) = (
        root
        for root in map(ensure_root, SUITES)
        if root != htcondor_root and (version(root) >= FIRST_HTCONDOR_ANNEX) != testbed.has_annex_command
    )
    (machine,) = testbed.machines("first2")
    with stand_in_for(testbed, machine, other) as stand_in:
        ended = stand_in.run([BOOT_SCRIPT, "start"], seconds=150)
        testbed.transcript.command(f"{BOOT_SCRIPT} start", ended.stdout + ended.stderr)
        assert "Fetched 'config-first2.tar.gz'" in stand_in.read(BOOT_RESULT)
        assert stand_in.run(["condor_config_val", "AnnexName"]).returncode != 0
    testbed.checked("the script says `done.`, but the machine does not know its annex")
    output = testbed.annex_bootstrap("doctor", "--profile", OPERATOR)
    assert re.search(rf"machines: not in the pool yet: .*{machine['InstanceId']} of first2", output)
    side = "24.11 or later" if testbed.has_annex_command else "older than 24.11"
    assert f"the HTCondor in their image must be {side}" in output
    testbed.checked("the doctor names the machine, and which HTCondor its image must have")


@contextmanager
def stand_in_for(testbed: Testbed, machine: InstanceTypeDef, root: Path) -> Iterator[Machine]:
    """Run a second system in the place of a machine, which the metadata service answers as that machine."""
    ec2 = testbed.root.client("ec2")
    ec2.create_tags(Resources=[machine["InstanceId"]], Tags=[{"Key": STAND_IN_TAG, "Value": "yes"}])
    ca_pem = testbed.local.ca_file.read_text()
    network = network_of(testbed, machine["InstanceId"])
    with Machine(root, network, hosts=testbed.pool.hosts, ca_pem=ca_pem) as stand_in:
        yield stand_in
    ec2.delete_tags(Resources=[machine["InstanceId"]], Tags=[{"Key": STAND_IN_TAG}])


@pytest.mark.parametrize("annex_id", ["first", "spot"])
def test_a_lease_is_extended(testbed: Testbed, annex_id: str) -> None:
    """condor_annex names no bucket when it does this, and treats every annex as on-demand."""
    before = testbed.lease(annex_id)["LeaseExpiration"]
    output = testbed.condor_annex("-annex-name", annex_id, "-duration", "2")
    assert "Lease updated." in output
    lease = testbed.lease(annex_id)
    assert lease["LeaseExpiration"] > before
    assert lease["S3BucketName"] == ""
    testbed.checked(f"the target of `{annex_id}` has a later expiry, an empty bucket name, and our one function")


def test_an_expired_lease_ends_its_annex_and_no_other(testbed: Testbed) -> None:
    """The schedule runs a hundred times faster than the clock: five minutes become three seconds."""
    _expire(testbed, "first")
    assert len(testbed.machines("first2")) == len(testbed.machines("first_x")) == 1
    assert testbed.leases() == {"first2", "first_x", "spot"}
    assert testbed.tarballs() == {"config-first2.tar.gz", "config-first_x.tar.gz", "config-spot.tar.gz"}
    testbed.condor_annex("-status")
    testbed.checked("`first2` and `first_x` are still running, with their rules and tarballs")


def test_an_expired_lease_ends_a_spot_annex_with_its_fleet(testbed: Testbed) -> None:
    """Its target is the on-demand lease function since the extension; ours serves both kinds."""
    _expire(testbed, "spot")
    (request,) = testbed.root.client("ec2").describe_spot_fleet_requests()["SpotFleetRequestConfigs"]
    assert request["SpotFleetRequestState"].startswith("cancelled")
    testbed.checked("the fleet request is cancelled")


def _expire(testbed: Testbed, annex_id: str, region: str = REGION) -> None:
    options = ["-aws-region", region] if region != REGION else []
    output = testbed.condor_annex(*options, "-annex-name", annex_id, "-duration", SOON)
    assert "Lease updated." in output
    _check_end(testbed, annex_id, region)


def _check_end(testbed: Testbed, annex_id: str, region: str = REGION) -> None:
    testbed.wait_until(lambda: not testbed.machines(annex_id, region), f"{annex_id} is ended")
    testbed.checked(f"no machine of `{annex_id}` is running")
    testbed.wait_until(lambda: annex_id not in testbed.leases(region), f"the rule {annex_id} is deleted")
    assert f"config-{annex_id}.tar.gz" not in testbed.tarballs(region)
    testbed.checked("its rule, its target and its tarball are deleted")


def test_a_lease_in_the_other_region_expires_there(testbed: Testbed) -> None:
    """Each region has its own lease function."""
    _expire(testbed, "west", OTHER_REGION)


def test_our_leases_command_controls_what_condor_annex_started(testbed: Testbed) -> None:
    """`leases` reads and changes the leases that condor_annex wrote."""
    output = testbed.annex_bootstrap("leases", "--profile", OPERATOR)
    assert re.search(r"^first2 +on demand +1 ", output, re.MULTILINE)
    assert re.search(r"^first_x +on demand +1 ", output, re.MULTILINE)
    testbed.checked("it lists both annexes")
    before = testbed.lease("first2")["LeaseExpiration"]
    testbed.annex_bootstrap("leases", "--profile", OPERATOR, "extend", "first2", "3h")
    assert testbed.lease("first2")["LeaseExpiration"] > before
    testbed.checked("`first2` has a later expiry")
    for annex_id in ("first2", "first_x"):
        said = testbed.annex_bootstrap("leases", "--profile", OPERATOR, "end", annex_id, "--yes")
        forget = f"condor_rm -constraint 'hpc_annex_name == \"{annex_id}\"'"
        assert (forget in said) == testbed.has_annex_command
        _check_end(testbed, annex_id)


def test_start_and_htcondors_own_command_share_one_lease(testbed: Testbed) -> None:
    """Each adds a machine to what the other one started. `start` never lets an annex end earlier."""
    iam, policy = testbed.root.client("iam"), testbed.outputs[REGION][Output.START_POLICY_ARN]
    iam.attach_user_policy(UserName=OPERATOR, PolicyArn=policy)
    start = ["start", "shared", "--count", "1", "--type", INSTANCE_TYPE, "--yes", "--profile", OPERATOR]
    with testbed.stopwatch("shared") as ours:
        testbed.annex_bootstrap(*start, "--duration", "30m")
    theirs = testbed.start_annex("shared")
    lease = testbed.lease("shared")
    said = testbed.annex_bootstrap(*start, "--duration", "10m")
    assert "Adds to  2 machines" in said
    assert testbed.lease("shared")["LeaseExpiration"] == lease["LeaseExpiration"]
    assert len(testbed.machines("shared")) == 3
    testbed.checked("the annex has three machines, and its lease ends when HTCondor's command said")
    testbed.annex_bootstrap(*start, "--duration", "3h")
    assert testbed.lease("shared")["LeaseExpiration"] > lease["LeaseExpiration"]
    testbed.checked("a longer lease is for all of its machines")
    testbed.annex_bootstrap("leases", "--profile", OPERATOR, "end", "shared", "--yes")
    _check_end(testbed, "shared")
    iam.detach_user_policy(UserName=OPERATOR, PolicyArn=policy)
    command = "htcondor annex create" if testbed.has_annex_command else "condor_annex"
    testbed.transcript.note(
        f"Seconds from Enter until AWS had a machine: {ours[0]:.1f} with annex-bootstrap start, {theirs:.1f} with "
        f"{command}, so ours takes {ours[0] / theirs:.1f} times as long"
    )


def test_deleting_leaves_nothing_behind(testbed: Testbed) -> None:
    """The operator deletes the users, the deployer everything else."""
    for region in REGIONS:
        testbed.annex_bootstrap("credentials", "--remove", "--yes", "--profile", OPERATOR, "--region", region)
    testbed.annex_bootstrap("delete", "--yes", "--profile", DEPLOYER, *IN_BOTH)
    for region in REGIONS:
        left = take_inventory(boto3.Session(region_name=region)) - testbed.before[region]
        assert {resource for resource in left if not is_service_linked(resource)} == set()
    testbed.checked(
        "the account holds what it held before, and the service-linked roles for spot, which belong to the account"
    )
    configuration = testbed.pool.read(USER_CONFIG)
    assert "ANNEX_DEFAULT_S3_BUCKET" not in configuration
    assert "KEY_FILE" not in configuration
    testbed.checked("the configuration no longer names the stack or the keys")
