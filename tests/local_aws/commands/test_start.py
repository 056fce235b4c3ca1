"""``annex-bootstrap start`` under the stack's own policy for it, and nothing else."""

from __future__ import annotations

import gzip
import io
import json
import re
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.operator import operator_policy
from annex_contract.lease import SWEEP_EVENT, machine_key
from annex_contract.stack import ANNEX_TAG, REQUEST_TAG, STACK_TAG, STARTED_BY_TAG, Output
from local_aws.launcher import ACCOUNT, Credentials
from tests.local_aws.cli_user import CliUser
from tests.local_aws.commands import fake_htcondor
from tests.local_aws.commands.annexes import COUNT, NAME, OTHER, REGION, leases_of, machines_of
from tests.local_aws.stack import DeployedStack

pytestmark = pytest.mark.slow

PATIENCE = 60
"""Seconds to wait for anything."""


def configuration_of(root: boto3.Session, made: DeployedStack, annex: str, machine: str) -> dict[str, str]:
    """The members of the tarball of a machine of an annex."""
    bucket, key = made.outputs[Output.S3_BUCKET_NAME], machine_key(annex, made.outputs[Output.START_ROLE_ID], machine)
    body = root.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(body))) as archive:
        return {member.name: archive.extractfile(member).read().decode() for member in archive}  # type: ignore[union-attr]  # all are files


def test_machines_start_with_a_lease_a_configuration_each_and_our_template(
    starter: CliUser, root: boto3.Session, stacks: Mapping[str, DeployedStack]
) -> None:
    began = int(time.time())
    said = starter.must("start", "first", *COUNT, "--duration", "2h", "--idle", "10m").stdout
    made = stacks[REGION]
    assert "Started 2 m7i.large in us-east-1 for the annex first." in said
    assert "Price    $0.20/hour; at most $0.46 until the lease ends, with disks and addresses" in said
    assert "0 of 256 vCPUs in use" in said
    two = machines_of(root)
    assert len(two) == 2
    for machine in two:
        tags = {tag["Key"]: tag["Value"] for tag in machine["Tags"]}
        assert tags[ANNEX_TAG] == "first"
        assert tags[STARTED_BY_TAG] == starter.extra["LOGNAME"]
        assert tags["annex-bootstrap:stack"] == made.stack_id
        assert machine["ImageId"] == made.outputs[Output.IMAGE_ID]
        assert machine["IamInstanceProfile"]["Arn"] == made.outputs[Output.START_INSTANCE_PROFILE]
        volumes = [mapping["Ebs"]["VolumeId"] for mapping in machine["BlockDeviceMappings"]]
        for volume in root.client("ec2").describe_volumes(VolumeIds=volumes)["Volumes"]:
            on_volume = {tag["Key"]: tag["Value"] for tag in volume["Tags"]}
            assert (on_volume[ANNEX_TAG], on_volume["annex-bootstrap:stack"]) == ("first", made.stack_id)
        assert [group["GroupId"] for group in machine["SecurityGroups"]] == [made.outputs[Output.SECURITY_GROUP_ID]]
    assert began + 7200 <= leases_of(root, REGION, made)["first"] <= time.time() + 7200
    files, other = (configuration_of(root, made, "first", machine["InstanceId"]) for machine in two)
    assert files == other
    config = files["config.d/50-annex-bootstrap.config"]
    assert f"COLLECTOR_HOST = {fake_htcondor.POOL}:9618\n" in config
    assert "STARTD_NOCLAIM_SHUTDOWN = 600\n" in config
    assert config.endswith('&& TARGET.Owner =?= "alice"\n')
    assert set(files) == {"config.d/50-annex-bootstrap.config", "tokens.d/annex-bootstrap"}
    row = starter.must("leases", "--output", "json").document["result"]["leases"][0]
    assert (row["annex"], row["machines"], row["kind"]) == ("first", 2, "on demand")
    assert row["started_by"] == [starter.extra["LOGNAME"]]
    # The request is done, so nothing waits to be finished.
    assert list((starter.home / ".condor/annex-requests").iterdir()) == []


def test_an_administrator_gets_the_policy_for_it_as_the_stack_has_it(
    starter: CliUser, root: boto3.Session, stacks: Mapping[str, DeployedStack]
) -> None:
    administrator = replace(starter, credentials=starter.local.root)
    printed = administrator.must("policy", "start", "--region", REGION)
    iam, policy = root.client("iam"), stacks[REGION].outputs[Output.START_POLICY_ARN]
    version = iam.get_policy(PolicyArn=policy)["Policy"]["DefaultVersionId"]
    found = iam.get_policy_version(PolicyArn=policy, VersionId=version)["PolicyVersion"]["Document"]
    assert json.loads(printed.stdout) == found


def test_the_preview_says_which_jobs_will_run(starter: CliUser) -> None:
    own = starter.must("start", "mine", *COUNT, "--dry-run").stdout
    assert 'Jobs     of alice that say +TargetAnnexName = "mine"\n' in own
    everybody = starter.must("start", "ours", *COUNT, "--open", "--dry-run").stdout
    assert "Jobs     of everybody that say +MayUseAWS = True\n" in everybody
    for said, annex in ((own, "mine"), (everybody, "ours")):
        assert f'         and requirements = TARGET.AnnexName == "{annex}"\n' in said


def test_starting_again_adds_machines_and_never_shortens_the_lease(
    starter: CliUser, root: boto3.Session, stacks: Mapping[str, DeployedStack]
) -> None:
    starter.must("start", "grown", *COUNT, "--duration", "4h")
    before = leases_of(root, REGION, stacks[REGION])["grown"]
    said = starter.must("start", "grown", *COUNT, "--duration", "1h", "--type", "c7i.large").stdout
    assert "Adds to  2 machines" in said
    assert leases_of(root, REGION, stacks[REGION])["grown"] == before
    starter.must("start", "grown", "--count", "1", *COUNT[2:], "--duration", "9h")
    assert leases_of(root, REGION, stacks[REGION])["grown"] > before
    assert sorted(machine["InstanceType"] for machine in machines_of(root)) == ["c7i.large"] * 2 + ["m7i.large"] * 3


def test_money_ends_the_lease_and_more_machines_end_it_earlier(
    starter: CliUser, root: boto3.Session, stacks: Mapping[str, DeployedStack]
) -> None:
    made = stacks[REGION]
    began = int(time.time())
    said = starter.must("start", "paid", *COUNT, "--duration", "7d", "--max-dollars", "2").stdout
    assert re.search(r"Money +\$2 in all; lasts until .*, so the lease ends then; traffic and the stored", said)
    first = leases_of(root, REGION, made)["paid"]
    # Two machines at $0.1 an hour each, with disks and addresses.
    assert began + 8 * 3600 < first < began + 10 * 3600
    said = starter.must("start", "paid", *COUNT, "--duration", "7d").stdout
    assert re.search(r"Money +\$2 in all, at most \$0\.\d\d of it spent; lasts until ", said)
    second = leases_of(root, REGION, made)["paid"]
    assert began + 4 * 3600 < second < began + 5 * 3600
    listed = starter.must("leases")
    assert re.search(r"^paid: at most \$0\.\d\d of \$2 spent, and its lease ends before", listed.stdout, re.MULTILINE)
    refused = starter.run("leases", "extend", "paid", "8h")
    assert refused.returncode == 1
    assert "the $2 of paid may be spent by" in refused.stderr
    poor = starter.run("start", "paid", *COUNT, "--max-dollars", "0.10")
    assert poor.returncode == 1
    assert "may not last an hour" in poor.stderr
    assert leases_of(root, REGION, made)["paid"] == second
    assert len(machines_of(root)) == 4
    # An annex that ended, and one of the same name: it begins with all its money.
    starter.must("leases", "end", "paid", "--yes")
    said = starter.must("start", "paid", *COUNT, "--max-dollars", "3", "--dry-run").stdout
    assert re.search(r"Money +\$3 in all; lasts until ", said)


def test_cores_on_the_spot_market_are_chosen_by_attributes(starter: CliUser, root: boto3.Session) -> None:
    options = ("--cores", "20", "--memory-per-core", "2G", "--spot", *COUNT[2:])
    said = starter.must("start", "cheap", *options).stdout
    assert "cheap in us-east-1, spot" in said
    assert "HTCondor runs its jobs again elsewhere" in said
    found = machines_of(root)
    assert {machine["InstanceLifecycle"] for machine in found} == {"spot"}
    sizes = {"large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16}
    assert 20 <= sum(sizes[machine["InstanceType"].split(".")[1]] for machine in found) < 24


def test_a_dry_run_and_a_refusal_change_nothing(
    starter: CliUser, root: boto3.Session, stacks: Mapping[str, DeployedStack]
) -> None:
    said = starter.must("start", "dry", *COUNT, "--dry-run").stdout
    assert "Machines 2, at most 4 cores" in said
    refused = starter.run("start", "dry", *COUNT[:-1], text="n\n")
    assert refused.returncode == 0
    assert refused.stdout.endswith("Nothing was started.\n")
    assert machines_of(root) == []
    assert leases_of(root, REGION, stacks[REGION]) == {}


def test_a_dry_run_asks_ec2_whether_its_caller_may_start_and_names_the_line_that_lets_them(
    starter: CliUser,
    root: boto3.Session,
    stacks: Mapping[str, DeployedStack],
    new_user: Callable[[str], Credentials],
) -> None:
    administrator = replace(starter, credentials=starter.local.root)
    held = json.loads(administrator.must("policy", "start", "--region", REGION).stdout)
    held["Statement"] = [statement for statement in held["Statement"] if statement["Sid"] != "RunMachines"]
    other = replace(starter, credentials=new_user(json.dumps(held)))
    refused = other.run("start", "dry", *COUNT, "--dry-run")
    assert refused.returncode == 1
    assert "UnauthorizedOperation" in refused.stderr
    assert "ask your administrator for the policy that the stack's output StartPolicyARN names" in refused.stderr
    line = refused.stderr.splitlines()[-1].split()
    assert line[:4] == ["aws", "iam", "attach-user-policy", "--user-name"]
    root.client("iam").attach_user_policy(UserName=line[4], PolicyArn=line[6])
    assert line[6] == stacks[REGION].outputs[Output.START_POLICY_ARN]
    try:
        other.must("start", "dry", *COUNT, "--dry-run")
    finally:
        root.client("iam").detach_user_policy(UserName=line[4], PolicyArn=line[6])
    assert machines_of(root) == []


def test_a_partial_result_is_kept_and_reported(
    starter: CliUser, root: boto3.Session, set_machines: Callable[..., None]
) -> None:
    set_machines(capacity={"m7i.large": 1})
    result = starter.must("start", "short", *COUNT)
    assert "That is 1 of 2 machines: InsufficientInstanceCapacity" in result.stdout
    assert len(machines_of(root)) == 1


def test_without_any_machine_it_fails_and_the_lease_ends(
    starter: CliUser, root: boto3.Session, stacks: Mapping[str, DeployedStack], set_machines: Callable[..., None]
) -> None:
    set_machines(capacity={"m7i.large": 0})
    result = starter.run("start", "none", *COUNT)
    assert result.returncode == 1
    assert "no machine started in us-east-1: InsufficientInstanceCapacity" in result.stderr
    assert machines_of(root) == []
    end = time.monotonic() + PATIENCE
    while leases_of(root, REGION, stacks[REGION]):
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_quota_that_is_used_up_is_explained_with_the_command_that_asks_for_more(
    starter: CliUser, set_machines: Callable[..., None]
) -> None:
    known = starter.run("start", "large", "--count", "200", *COUNT[2:])
    assert known.returncode == 1
    assert "the quota of on-demand vCPUs in us-east-1 is 256, of which 0 are in use, and this would take 400" in (
        known.stderr
    )
    assert "--quota-code L-1216C47A --desired-value 400" in known.stderr
    set_machines(capacity={"m7i.large": 0}, fleet_error="VcpuLimitExceeded")
    refused = starter.run("start", "large", *COUNT)
    assert refused.returncode == 1
    assert "aws service-quotas request-service-quota-increase --region us-east-1" in refused.stderr


def test_a_quota_that_nobody_can_tell_stops_nothing(starter: CliUser) -> None:
    cut_off = replace(starter, extra=starter.extra | {"AWS_ENDPOINT_URL_SERVICE_QUOTAS": "https://127.0.0.1:1"})
    assert "at most 4 cores; quota not known" in cut_off.must("start", "dry", *COUNT, "--dry-run").stdout


def test_the_next_region_is_tried_where_one_has_no_machine(
    starter: CliUser, root: boto3.Session, set_machines: Callable[..., None]
) -> None:
    set_machines(capacity={"m7i.large": 0})
    said = starter.must("start", "moved", *COUNT, "--region", REGION, "--region", OTHER).stdout
    assert "us-east-1 has none: InsufficientInstanceCapacity" in said
    assert len(machines_of(root, OTHER)) == 2
    assert machines_of(root) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a b", *COUNT), "'a b' cannot name an annex"),
        (("x-SweepRule", *COUNT), "an annex's name cannot end in -SweepRule"),
        (("typed", *COUNT, "--type", "m9z.large"), "us-east-1 has no instance type m9z.large"),
        (("typed", *COUNT, "--type", "c7g.large"), "c7g.large is for arm64, and the stack's image for x86_64"),
        (("timed", *COUNT, "--duration", "soon"), "'soon' is not a duration"),
        (("both", *COUNT, "--cores", "4"), "give either --count or --cores"),
        (("cut", "--count", "1", "--owner", "alice", "--yes"), "cannot be reached from us-east-1"),
        (("root", "--count", "1", "--skip-pool-check", "--owner", "a b"), "'a b' is not a user name"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_changed(
    starter: CliUser, root: boto3.Session, stacks: Mapping[str, DeployedStack], arguments: tuple[str, ...], message: str
) -> None:
    result = starter.run("start", *arguments)
    assert result.returncode != 0
    assert message in result.stderr
    assert machines_of(root) == []
    assert leases_of(root, REGION, stacks[REGION]) == {}


def test_a_rule_of_somebody_else_is_not_a_lease(starter: CliUser, root: boto3.Session) -> None:
    events = root.client("events")
    events.put_rule(Name="nightly", ScheduleExpression="rate(1 day)")
    events.put_targets(Rule="nightly", Targets=[{"Id": "1", "Arn": "arn:aws:sns:us-east-1:123456789012:topic"}])
    result = starter.run("start", "nightly", *COUNT)
    events.remove_targets(Rule="nightly", Ids=["1"])
    events.delete_rule(Name="nightly")
    assert result.returncode == 1
    assert "the EventBridge rule nightly in us-east-1 is not the lease of an annex" in result.stderr
    assert machines_of(root) == []


def test_its_policy_starts_nothing_but_by_the_template(
    starter: CliUser, root: boto3.Session, stacks: Mapping[str, DeployedStack]
) -> None:
    made = stacks[REGION]
    keys = (starter.credentials.access_key_id, starter.credentials.secret_access_key)
    ec2 = boto3.Session(*keys, region_name=REGION).client("ec2")
    of_annex, of_stack = {"Key": ANNEX_TAG, "Value": "a"}, {"Key": STACK_TAG, "Value": made.stack_id}
    by_user = {"Key": STARTED_BY_TAG, "Value": starter.extra["LOGNAME"]}
    tags: Any = [
        {"ResourceType": "fleet", "Tags": [of_annex, of_stack, by_user]},
        {"ResourceType": "instance", "Tags": [of_annex, by_user]},
    ]
    other_stack: Any = [{"ResourceType": "fleet", "Tags": [of_annex, of_stack | {"Value": "b"}, by_user]}, tags[1]]
    template = {
        "LaunchTemplateId": made.outputs[Output.LAUNCH_TEMPLATE_ID],
        "Version": made.outputs[Output.LAUNCH_TEMPLATE_VERSION],
    }
    fleet: Any = {
        "Type": "instant",
        "LaunchTemplateConfigs": [
            {"LaunchTemplateSpecification": template, "Overrides": [{"InstanceType": "m7i.large"}]}
        ],
        "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"},
    }
    other = root.client("ec2").create_launch_template(
        LaunchTemplateName="other", LaunchTemplateData={"ImageId": "ami-0c2023a1b2c3d4e5f"}
    )["LaunchTemplate"]["LaunchTemplateId"]
    foreign = json.loads(
        json.dumps(fleet)
        .replace(made.outputs[Output.LAUNCH_TEMPLATE_ID], other)
        .replace(f'"Version": "{template["Version"]}"', '"Version": "1"')
    )
    profile = made.outputs[Output.START_INSTANCE_PROFILE]
    attempts: list[Callable[[], object]] = [
        # Without an annex, nobody would ever end it.
        lambda: ec2.create_fleet(**fleet),
        lambda: ec2.create_fleet(**fleet, TagSpecifications=tags[:1]),
        # Nor a fleet that replaces machines.
        lambda: ec2.create_fleet(**fleet, TagSpecifications=other_stack),
        lambda: ec2.create_fleet(**foreign, TagSpecifications=tags),
        lambda: ec2.run_instances(
            ImageId=made.outputs[Output.IMAGE_ID],
            MinCount=1,
            MaxCount=1,
            IamInstanceProfile={"Arn": profile},
            SecurityGroupIds=[made.outputs[Output.SECURITY_GROUP_ID]],
            TagSpecifications=tags[1:],
        ),
    ]
    for attempt in attempts:
        with pytest.raises(ec2.exceptions.ClientError, match="UnauthorizedOperation"):
            attempt()
    assert machines_of(root) == []
    assert ec2.create_fleet(**fleet, TagSpecifications=tags)["Instances"]
    assert REQUEST_TAG not in json.dumps(machines_of(root), default=str)
    root.client("ec2").delete_launch_template(LaunchTemplateId=other)


def watched(starter: CliUser, *arguments: str, lines: int) -> list[dict[str, str]]:
    """Watch until so many lines are there, then type Ctrl-C; return the cells of each by its column."""
    watching = subprocess.Popen(
        starter.command("watch", *arguments, "--interval", "1"),
        env=starter.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    printed = [watching.stdout.readline() for _ in range(lines)]
    watching.send_signal(signal.SIGINT)
    _, errors = watching.communicate(timeout=PATIENCE)
    assert watching.returncode == 0, errors
    return [dict(cell.split("=", 1) for cell in re.split(r"  +", line.strip())[1:]) for line in printed]


def test_watch_prints_a_line_for_each_change_and_ends_on_ctrl_c_without_touching_anything(
    starter: CliUser, root: boto3.Session, stacks: Mapping[str, DeployedStack]
) -> None:
    starter.must("start", "seen", *COUNT)
    before = leases_of(root, REGION, stacks[REGION])
    (shown,) = watched(starter, "seen", lines=1)
    assert (shown["annex"], shown["pending"], shown["running"], shown["joined"]) == ("seen", "0", "2", "0")
    assert (shown["dollars_per_hour"], shown["started_by"]) == ("0.20", starter.extra["LOGNAME"])
    assert leases_of(root, REGION, stacks[REGION]) == before
    assert len(machines_of(root)) == 2


def test_watch_refuses_an_annex_that_has_no_lease_and_ends_with_one_that_has(starter: CliUser) -> None:
    refused = starter.run("watch", "nosuch")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"No annex nosuch holds a lease in {REGION}. `annex-bootstrap leases` lists those that do." in refused.stderr
    starter.must("start", "short", *COUNT)
    command = starter.command("watch", "short", "--interval", "1")
    watching = subprocess.Popen(command, env=starter.environ(), stdout=subprocess.PIPE, text=True)
    assert watching.stdout is not None
    assert "annex=short" in watching.stdout.readline()
    starter.must("leases", "end", "short", "--yes")
    printed, _ = watching.communicate(timeout=PATIENCE)
    assert printed.endswith(f"No annex short holds a lease in {REGION}.\n")
    assert watching.returncode == 0


def test_watch_and_leases_say_what_several_annexes_come_to(starter: CliUser) -> None:
    for annex in ("one", "other"):
        starter.must("start", annex, *COUNT)
    assert "Total: $0.4032/hour" in starter.must("leases").stdout
    shown = {row["annex"]: row for row in watched(starter, lines=3)}
    assert shown.keys() == {"all annexes", "one", "other"}
    assert (shown["all annexes"]["running"], shown["all annexes"]["dollars_per_hour"]) == ("4", "0.40")


def test_status_says_what_annexes_cost_and_when_the_lease_function_ran_to_whom_may_know(
    starter: CliUser, root: boto3.Session, stacks: Mapping[str, DeployedStack], new_user: Callable[[str], Credentials]
) -> None:
    operator, deployer = (
        replace(starter, credentials=new_user(json.dumps(policy("aws", ACCOUNT, NAME))))
        for policy in (operator_policy, deployer_policy)
    )
    (idle,) = operator.must("status", "--output", "json").document["result"]["regions"]
    assert (idle["annexes"], idle["dollars_per_hour"]) == ([], 0)
    starter.must("start", "priced", *COUNT)
    asked = datetime.now(UTC).replace(second=0, microsecond=0)
    function = stacks[REGION].outputs[Output.LEASE_FUNCTION_ARN]
    root.client("lambda").invoke(FunctionName=function, Payload=json.dumps(SWEEP_EVENT))
    (state,) = operator.must("status", "--output", "json").document["result"]["regions"]
    assert (state["annexes"], state["dollars_per_hour"], state["denied"]) == (["priced"], 0.2016, [])
    assert datetime.fromisoformat(state["last_call"]["at"]) >= asked
    assert set(state["alarms"].values()) <= {"OK", "INSUFFICIENT_DATA"}
    assert datetime.now(UTC) - datetime.fromisoformat(state["image"]["created"]) < timedelta(days=1)

    (partly,) = deployer.must("status", "--output", "json").document["result"]["regions"]
    assert partly["denied"] == ["dollars_per_hour", "last_call"]
    answered = ("annexes", "alarms", "image", "outputs", "deployed")
    assert {name: partly[name] for name in answered} == {name: state[name] for name in answered}


def test_neither_doctor_nor_the_bare_command_asks_for_keys_that_start_does_not_need(starter: CliUser) -> None:
    # The tools of the other tests know no whole configuration.
    starter = replace(starter, extra=starter.extra | {"PATH": ""})
    starter.must("pull-config")
    keys = next(
        finding
        for finding in starter.run("doctor", "--output", "json").document["result"]["findings"]
        if finding["id"] == "annex-credentials"
    )
    assert (keys["level"], keys["detail"]) == ("SKIPPED", "none, and annex-bootstrap start needs none")
    bare = replace(starter, stack_name="").must().stdout
    assert "Ready. No annex runs." in bare
    assert f"annex-bootstrap start my-first-annex --count 1 --stack-name {NAME} --region us-east-1" in bare
    assert "credentials" not in bare
