"""What ``start`` promises in accounts that are not as one wishes: no surprise on the bill, and no job lost."""

from __future__ import annotations

import json
import re
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.httpsession import URLLib3Session

from annex_bootstrap.commands.start import start
from annex_bootstrap.errors import UserError
from annex_bootstrap.target import Target
from annex_contract.stack import ANNEX_TAG, STACK_TAG, Output
from local_aws.launcher import Credentials
from tests.local_aws.cli_user import CliUser
from tests.local_aws.commands import fake_htcondor
from tests.local_aws.commands.annexes import COUNT, NAME, OTHER, REGION, leases_of, machines_of
from tests.local_aws.commands.recording_screen import RecordingScreen
from tests.local_aws.commands.test_start_faults import refusal
from tests.local_aws.custom_resources.account import Account
from tests.local_aws.stack import DeployedStack

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

pytestmark = pytest.mark.slow

OPTIONS = COUNT[2:]
"""Without a number of machines."""

SetAccount = Callable[..., None]
SetMachines = Callable[..., None]
Stacks = Mapping[str, DeployedStack]


@pytest.fixture
def ec2(root: boto3.Session) -> EC2Client:
    return root.client("ec2")


@pytest.fixture
def isolated(ec2: EC2Client) -> Iterator[str]:
    """The emptiest subnet of the default VPC, in its first zone, without an address or a way out: of a database."""
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    subnet = ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock="172.31.128.0/18", AvailabilityZone=f"{REGION}a")["Subnet"]
    table = ec2.create_route_table(VpcId=vpc["VpcId"])["RouteTable"]["RouteTableId"]
    association = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet["SubnetId"])["AssociationId"]
    # More room than any other has, and an address that leads nowhere.
    ec2.modify_subnet_attribute(SubnetId=subnet["SubnetId"], MapPublicIpOnLaunch={"Value": True})
    yield subnet["SubnetId"]
    ec2.disassociate_route_table(AssociationId=association)
    ec2.delete_route_table(RouteTableId=table)
    for machine in machines_of_subnet(ec2, subnet["SubnetId"]):
        ec2.terminate_instances(InstanceIds=[machine])
    ec2.delete_subnet(SubnetId=subnet["SubnetId"])


def machines_of_subnet(ec2: EC2Client, subnet: str) -> list[str]:
    found = ec2.describe_instances(Filters=[{"Name": "subnet-id", "Values": [subnet]}])["Reservations"]
    return [machine["InstanceId"] for held in found for machine in held["Instances"]]


def subnets_of(starter: CliUser, *arguments: str) -> list[str]:
    """The subnets of a preview."""
    result = starter.must("start", "placed", *COUNT, "--dry-run", "--output", "json", *arguments).document["result"]
    (plan,) = result["plans"]
    subnets: list[str] = plan["subnets"]
    return subnets


def test_machines_do_not_start_where_nothing_leads_out(starter: CliUser, isolated: str, ec2: EC2Client) -> None:
    assert isolated not in subnets_of(starter)
    starter.must("start", "placed", *COUNT)
    assert machines_of_subnet(ec2, isolated) == []


def test_a_subnet_that_is_named_is_taken_and_said_to_lead_nowhere_before_the_start(
    starter: CliUser, isolated: str, root: boto3.Session
) -> None:
    result = starter.run("start", "placed", *COUNT[:-1], "--subnet", isolated, text="n\n")
    assert f"the subnet {isolated} has no way out" in result.stderr
    starter.must("start", "placed", *COUNT, "--subnet", isolated)
    assert {machine["SubnetId"] for machine in machines_of(root)} == {isolated}


def test_a_subnet_goes_with_one_region(starter: CliUser) -> None:
    regions = ("--region", REGION, "--region", OTHER)
    result = starter.run("start", "placed", *COUNT, *regions, "--subnet", "subnet-1")
    assert result.returncode == 2
    assert "--subnet goes with one --region" in result.stderr


def plan_of(starter: CliUser, *arguments: str) -> dict[str, Any]:
    result = starter.must("start", "planned", *arguments, *OPTIONS, "--dry-run", "--output", "json").document["result"]
    (plan,) = result["plans"]
    found: dict[str, Any] = plan
    return found


def types_of(root: boto3.Session) -> Counter[str]:
    return Counter(machine["InstanceType"] for machine in machines_of(root))


def sizes(root: boto3.Session) -> dict[str, int]:
    """The vCPUs of each type."""
    pages = root.client("ec2").get_paginator("describe_instance_types").paginate()
    return {kind["InstanceType"]: kind["VCpuInfo"]["DefaultVCpus"] for page in pages for kind in page["InstanceTypes"]}


def vcpus_of(root: boto3.Session) -> int:
    return sum(sizes(root)[name] * count for name, count in types_of(root).items())


@pytest.fixture
def fifth_zone(ec2: EC2Client) -> Iterator[None]:
    """Two more subnets, so that the default VPC has five zones with one."""
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    made = [
        ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock=f"172.31.{third}.0/24", AvailabilityZone=f"{REGION}{letter}")
        for third, letter in ((200, "d"), (201, "e"), (202, "f"))
    ]
    yield
    for subnet in made:
        ec2.delete_subnet(SubnetId=subnet["Subnet"]["SubnetId"])


@pytest.mark.usefixtures("fifth_zone")
def test_cores_start_in_a_network_of_more_than_four_subnets(starter: CliUser, root: boto3.Session) -> None:
    starter.must("start", "wide", "--cores", "8", *OPTIONS)
    assert vcpus_of(root) == 8


@pytest.mark.parametrize("market", [(), ("--spot",)])
@pytest.mark.parametrize("cores", [3, 20, 200])
def test_what_the_preview_names_is_what_starts_and_less_than_a_machine_more_than_was_asked(
    starter: CliUser, root: boto3.Session, cores: int, market: tuple[str, ...]
) -> None:
    if cores == 200 and market:
        cores = 100
    plan = plan_of(starter, "--cores", str(cores), *market)
    starter.must("start", "named", "--cores", str(cores), *market, *OPTIONS)
    started = types_of(root)
    assert set(started) <= set(plan["types"])
    vcpus, smallest = vcpus_of(root), min(sizes(root)[name] for name in plan["types"])
    assert cores <= vcpus < cores + smallest
    assert vcpus <= plan["vcpus_most"]
    assert plan["machines_least"] <= sum(started.values()) <= plan["machines_most"]


def test_a_type_that_is_gone_for_now_does_not_make_cores_overshoot(
    starter: CliUser, root: boto3.Session, set_machines: SetMachines
) -> None:
    set_machines(capacity={"c7i.large": 1})
    starter.must("start", "mixed", "--cores", "7", *OPTIONS)
    assert 7 <= vcpus_of(root) < 9


def test_many_cores_have_a_price_that_they_never_exceed_or_do_not_start(
    starter: CliUser, set_account: SetAccount
) -> None:
    set_account(vcpu_quotas={REGION: {"L-1216C47A": 20000.0}})
    plan = plan_of(starter, "--cores", "10000")
    assert plan["dollars_most"] is not None
    assert 10000 <= plan["vcpus_most"] < 10200
    set_account(vcpu_quotas={REGION: {"L-1216C47A": 9999.0}})
    refused = starter.run("start", "planned", "--cores", "10000", *OPTIONS)
    assert refused.returncode == 1
    assert "the quota of on-demand vCPUs in us-east-1 is 9999" in refused.stderr


def test_an_exotic_type_does_not_switch_the_check_of_the_quota_off(starter: CliUser, set_account: SetAccount) -> None:
    set_account(vcpu_quotas={REGION: {"L-1216C47A": 5.0}})
    types = ("--type", "c7i.large", "--type", "x8i.large")
    refused = starter.run("start", "exotic", "--count", "3", *types, *OPTIONS)
    assert refused.returncode == 1
    assert (
        "the quota of on-demand vCPUs in us-east-1 is 5, of which 0 are in use, and this would take 6" in refused.stderr
    )


def test_the_most_that_it_costs_counts_addresses_disks_and_the_tick_by_which_a_lease_ends_late(
    starter: CliUser,
) -> None:
    plan = plan_of(starter, "--count", "2", "--duration", "1h")
    machines = 2 * Decimal("0.1008")
    hour, late = Decimal(str(plan["dollars_per_hour_most"])), Decimal(5) / 60
    assert hour > machines + 2 * Decimal("0.005")
    assert Decimal(str(plan["dollars_most"])) >= hour * (1 + late)
    said = starter.must("start", "planned", "--count", "2", *OPTIONS, "--dry-run", "--duration", "1h").stdout
    (shown,) = re.findall(r"at most \$([0-9.]+) until the lease ends", said)
    assert Decimal(shown) >= Decimal(str(plan["dollars_most"]))


def test_spot_machines_are_started_with_a_cap_and_the_most_is_reckoned_with_it(
    starter: CliUser, root: boto3.Session
) -> None:
    plan = plan_of(starter, "--count", "2", "--spot")
    # Prices on the spot market here are 40% of those on demand.
    assert Decimal(str(plan["dollars_per_hour_most"])) > 2 * Decimal("0.1008")
    starter.must("start", "capped", "--count", "2", "--spot", *OPTIONS)
    (fleet,) = {
        tag["Value"] for machine in machines_of(root) for tag in machine["Tags"] if tag["Key"] == "aws:ec2:fleet-id"
    }
    described = root.client("ec2").describe_fleets(FleetIds=[fleet])["Fleets"][0]
    overrides = described["LaunchTemplateConfigs"][0]["Overrides"]
    assert {override["MaxPrice"] for override in overrides} == {"0.10080"}


DYING = {"Code": "Client.InternalError", "Message": "Client.InternalError: Client error on launch"}


def test_a_machine_that_dies_at_once_has_not_started(starter: CliUser, set_account: SetAccount) -> None:
    set_account(launch_failure=DYING)
    result = starter.run("start", "dying", *COUNT)
    assert result.returncode == 1
    assert "Started" not in result.stdout
    assert "no machine started in us-east-1: Client.InternalError: Client error on launch" in result.stderr
    assert "an encryption key that may not be used" in result.stderr
    set_account()
    starter.must("start", "dying", *COUNT)
    shown = starter.must("leases", "--output", "json").document["result"]["leases"]
    assert [lease["failures"] for lease in shown] == [{"Client.InternalError: Client error on launch": 2}]
    assert "2 machines of dying ended in the last hour: Client.InternalError" in starter.run("leases").stderr
    watching = subprocess.Popen(
        starter.command("watch", "--interval", "1"),
        env=starter.environ(),
        stderr=subprocess.PIPE,
        text=True,
        stdout=subprocess.DEVNULL,
    )
    assert watching.stderr is not None
    assert "2 machines of dying ended in the last hour: Client.InternalError" in watching.stderr.readline()
    watching.terminate()
    watching.wait(30)


def other_user(starter: CliUser, tmp_path: Path) -> CliUser:
    """The same principal on another machine, with a home directory of its own."""
    home = tmp_path / "other"
    home.mkdir(mode=0o700)
    fake_htcondor.install(home)
    return replace(starter, home=home)


def start_with(monkeypatch: pytest.MonkeyPatch, starter: CliUser, annex: str, meanwhile: Callable[[Any], Any]) -> None:
    """Start two machines in this process; while it asks for them, something else happens.

    Args:
        monkeypatch: to undo it.
        starter: who starts them.
        annex: for which.
        meanwhile: is called with the request of CreateFleet, and returns an answer, or None where AWS shall give it.
    """
    for name, value in starter.environ().items():
        monkeypatch.setenv(name, value)
    send = URLLib3Session.send

    def hooked(session: URLLib3Session, request: Any) -> Any:
        if "Action=CreateFleet" not in str(request.body):
            return send(session, request)
        monkeypatch.setattr(URLLib3Session, "send", send)
        return meanwhile(request) or send(session, request)

    monkeypatch.setattr(URLLib3Session, "send", hooked)
    start(RecordingScreen(answer=True), Target(NAME), annex, count=2, owner="alice", skip_pool_check=True, yes=True)


def test_a_start_that_fails_does_not_end_the_machines_that_somebody_else_added_meanwhile(
    starter: CliUser, root: boto3.Session, stacks: Stacks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = other_user(starter, tmp_path)

    def meanwhile(request: Any) -> Any:
        # Their lease is no longer than ours, so that nothing would have to be put.
        other.must("start", "shared", "--count", "2", *OPTIONS, "--duration", "1h")
        return refusal(request, 403, "UnauthorizedOperation")

    with pytest.raises(UserError, match="UnauthorizedOperation"):
        start_with(monkeypatch, starter, "shared", meanwhile)
    assert len(machines_of(root)) == 2
    assert leases_of(root, REGION, stacks[REGION])["shared"] > time.time() + 3600


def test_a_start_of_an_annex_that_is_being_started_adds_its_own_machines(
    starter: CliUser, root: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    second: list[str] = []

    def meanwhile(_request: Any) -> None:
        second.append(starter.must("start", "crowd", *COUNT).stdout)

    start_with(monkeypatch, starter, "crowd", meanwhile)
    assert "was interrupted" not in second[0]
    assert "Started 2 m7i.large" in second[0]
    assert types_of(root) == {"m7i.large": 4}


def test_starts_of_one_annex_at_once_each_start_their_own(starter: CliUser, root: boto3.Session) -> None:
    starts = [
        subprocess.Popen(
            starter.command("start", "crowd", *COUNT),
            env=starter.environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for starting in starts:
        said, errors = starting.communicate(timeout=240)
        assert starting.returncode == 0, errors
        assert "Started 2 m7i.large" in said
    assert types_of(root) == {"m7i.large": 6}


@pytest.fixture
def broken(root: boto3.Session, stacks: Stacks) -> Iterator[Callable[[str], None]]:
    """Return a function that breaks the lease function in some way; it is whole again afterwards."""
    awslambda, arn = root.client("lambda"), stacks[REGION].outputs[Output.LEASE_FUNCTION_ARN]
    configuration = awslambda.get_function_configuration(FunctionName=arn)
    policy = json.loads(awslambda.get_policy(FunctionName=arn)["Policy"])["Statement"]
    repairs: list[Callable[[], object]] = []

    def break_(how: str) -> None:
        if how == "permission":
            for statement in policy:
                awslambda.remove_permission(FunctionName=arn, StatementId=statement["Sid"])
                repairs.append(
                    partial(
                        awslambda.add_permission,
                        FunctionName=arn,
                        StatementId=statement["Sid"],
                        Action="lambda:InvokeFunction",
                        Principal="events.amazonaws.com",
                        SourceArn=statement["Condition"]["ArnLike"]["AWS:SourceArn"],
                    )
                )
        else:
            awslambda.update_function_configuration(FunctionName=arn, Handler="nothing.handler")
            repairs.append(
                lambda: awslambda.update_function_configuration(FunctionName=arn, Handler=configuration["Handler"])
            )

    yield break_
    for repair in repairs:
        repair()


@pytest.mark.parametrize(("how", "reason"), [("permission", "EventBridge may not run it"), ("handler", "it fails")])
def test_without_a_lease_function_that_works_nothing_starts(
    starter: CliUser, root: boto3.Session, broken: Callable[[str], None], stacks: Stacks, how: str, reason: str
) -> None:
    broken(how)
    result = starter.run("start", "unending", *COUNT)
    assert result.returncode == 1
    assert "the lease function in us-east-1 would not end the machines, so none is started" in result.stderr
    assert reason in result.stderr
    assert machines_of(root) == []
    assert leases_of(root, REGION, stacks[REGION]) == {}


def test_where_the_lease_function_does_not_work_leases_end_ends_the_machines(
    starter: CliUser, root: boto3.Session, broken: Callable[[str], None]
) -> None:
    starter.must("start", "ending", *COUNT)
    broken("handler")
    result = starter.must("leases", "end", "ending", "--yes")
    assert "so this command ended the machines of ending" in result.stderr
    assert machines_of(root) == []


@pytest.mark.parametrize(
    ("account", "reason"),
    [
        ({"vcpu_quotas": {REGION: {"L-1216C47A": 1.0}}}, "the quota of on-demand vCPUs in us-east-1 is 1"),
        ({"unverified_regions": [REGION]}, "PendingVerification"),
        ({"unverified_regions": [REGION], "fleet_refusals_in_answer": False}, "PendingVerification"),
        ({"throttled_regions": [REGION], "fleet_refusals_in_answer": False}, "RequestLimitExceeded"),
        (
            {
                "service_control_policies": [
                    {
                        "Version": "2012-10-17",
                        "Statement": [
                            {
                                "Effect": "Deny",
                                "NotAction": ["iam:*", "sts:*", "pricing:*"],
                                "Resource": "*",
                                "Condition": {"StringNotEquals": {"aws:RequestedRegion": [OTHER]}},
                            }
                        ],
                    }
                ]
            },
            "explicit deny",
        ),
    ],
)
def test_the_next_region_is_tried_whatever_keeps_the_first_one_from_it(
    starter: CliUser, root: boto3.Session, set_account: SetAccount, account: dict[str, Any], reason: str
) -> None:
    set_account(**account)
    result = starter.must("start", "moving", *COUNT, "--region", REGION, "--region", OTHER)
    set_account()
    assert reason in result.stdout + result.stderr
    assert "Started 2 m7i.large in eu-west-1" in result.stdout
    assert len(machines_of(root, OTHER)) == 2


@pytest.mark.parametrize("in_answer", [False, True])
def test_an_organisation_that_denies_untagged_machines_is_named_and_stops_no_tagged_ones(
    starter: CliUser, root: boto3.Session, set_account: SetAccount, stacks: Stacks, in_answer: bool
) -> None:
    untagged = {"Null": {"aws:RequestTag/cost-center": "true"}}
    kinds = [f"arn:aws:ec2:*:*:{kind}/*" for kind in ("fleet", "instance", "network-interface", "volume")]
    deny = {"Effect": "Deny", "Action": ["ec2:CreateFleet", "ec2:RunInstances"], "Resource": kinds}
    policy = {"Version": "2012-10-17", "Statement": [deny | {"Condition": untagged}]}
    set_account(service_control_policies=[policy], fleet_denials_in_answer=in_answer)
    result = starter.run("start", "untagged", *COUNT)
    starter.must("start", "tagged", *COUNT, "--tag", "cost-center=42")
    set_account()
    assert result.returncode == 1
    said = " ".join(result.stderr.split())
    assert "explicit deny in a service control policy" in said
    assert "Encoded authorization failure message" not in said
    machines = machines_of(root)
    assert len(machines) == 2
    for machine in machines:
        tags = {tag["Key"]: tag["Value"] for tag in machine["Tags"]}
        assert (tags["cost-center"], tags["htcondor:AnnexName"]) == ("42", "tagged")
    events = root.client("events")
    rule = events.describe_rule(Name="tagged")["Arn"]
    assert {tag["Key"]: tag["Value"] for tag in events.list_tags_for_resource(ResourceARN=rule)["Tags"]} == {
        "cost-center": "42",
        ANNEX_TAG: "tagged",
        STACK_TAG: stacks[REGION].stack_id,
    }


def test_a_first_region_without_its_image_is_left_out(starter: CliUser, root: boto3.Session, stacks: Stacks) -> None:
    ec2 = root.client("ec2")
    image = stacks[REGION].outputs[Output.IMAGE_ID]
    tags = ec2.describe_images(ImageIds=[image])["Images"][0]["Tags"]
    ec2.delete_tags(Resources=[image], Tags=[{"Key": "annex-bootstrap:image"}])
    result = starter.must("start", "moving", *COUNT, "--region", REGION, "--region", OTHER)
    ec2.create_tags(Resources=[image], Tags=[tag for tag in tags if not tag["Key"].startswith("aws:")])
    assert "us-east-1 is left out: the image" in result.stderr
    assert "Started 2 m7i.large in eu-west-1" in result.stdout


@pytest.mark.parametrize(
    ("account", "advice"),
    [
        ({"free_plan": True}, "use --count with --type and one of t3.small, c7i-flex.large, m7i-flex.large, t3.micro,"),
        ({"unverified_regions": [REGION]}, "try again in some minutes"),
    ],
)
def test_a_new_account_learns_what_starts_there(
    starter: CliUser, set_account: SetAccount, account: dict[str, Any], advice: str
) -> None:
    set_account(**account)
    refused = starter.run("start", "fresh", *COUNT)
    assert refused.returncode == 1
    assert advice in refused.stderr
    if "free_plan" in account:
        starter.must("start", "fresh", *COUNT, "--type", "t3.small")


def test_an_annex_of_another_stack_with_that_name_is_refused_before_anything_is_changed(
    starter: CliUser, root: boto3.Session, stacks: Stacks
) -> None:
    events, s3 = root.client("events"), root.client("s3")
    other = stacks[REGION].outputs[Output.LEASE_FUNCTION_ARN].replace("starter-", "other-")
    name = f"twin-{uuid.uuid4().hex[:6]}"
    events.put_rule(Name=name, ScheduleExpression="rate(5 minutes)")
    events.put_targets(Rule=name, Targets=[{"Id": name, "Arn": other, "Input": "{}"}])
    result = starter.run("start", name, *COUNT)
    events.remove_targets(Rule=name, Ids=[name])
    events.delete_rule(Name=name)
    assert result.returncode == 1
    assert f"the EventBridge rule {name} in us-east-1 is not the lease of an annex of this stack" in result.stderr
    assert "Annex    " not in result.stdout
    keys = s3.list_objects_v2(Bucket=stacks[REGION].outputs[Output.S3_BUCKET_NAME]).get("Contents", [])
    assert name not in json.dumps([item["Key"] for item in keys])


def test_where_eventbridge_has_no_room_for_a_rule_it_says_so_and_uploads_nothing(
    starter: CliUser, root: boto3.Session, stacks: Stacks, set_account: SetAccount
) -> None:
    set_account(event_rules=1)
    name = f"full-{uuid.uuid4().hex[:6]}"
    refused = starter.run("start", name, *COUNT)
    assert refused.returncode == 1
    assert "EventBridge has no room in us-east-1 for another rule, and each annex needs one" in refused.stderr
    bucket = stacks[REGION].outputs[Output.S3_BUCKET_NAME]
    keys = [item["Key"] for item in root.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]
    assert f"config-{name}.tar.gz" not in keys
    assert machines_of(root) == []


def test_where_nobody_may_make_awss_role_for_spot_machines_it_says_who_may_and_machines_start_on_demand(
    starter: CliUser, account: Account, set_account: SetAccount
) -> None:
    account.forget_service_linked_roles()
    statement = {"Effect": "Deny", "Action": "iam:CreateServiceLinkedRole", "Resource": "*"}
    set_account(service_control_policies=[{"Version": "2012-10-17", "Statement": [statement]}])
    try:
        refused = starter.run("start", "cheap", *COUNT, "--spot")
        assert refused.returncode == 1
        assert "AuthFailure.ServiceLinkedRoleCreationNotPermitted" in refused.stderr
        assert "run aws iam create-service-linked-role --aws-service-name spot.amazonaws.com" in refused.stderr
        starter.must("start", "cheap", *COUNT)
    finally:
        set_account()
        account.make_service_linked_roles()


def test_a_user_whose_policy_reads_no_routes_still_starts(
    starter: CliUser, root: boto3.Session, stacks: Stacks, new_user: Callable[[str], Credentials]
) -> None:
    version = root.client("iam").get_policy(PolicyArn=stacks[REGION].outputs[Output.START_POLICY_ARN])["Policy"]
    document = root.client("iam").get_policy_version(PolicyArn=version["Arn"], VersionId=version["DefaultVersionId"])[
        "PolicyVersion"
    ]["Document"]
    deny = {"Effect": "Deny", "Action": ["ec2:DescribeRouteTables", "lambda:GetPolicy"], "Resource": "*"}
    statements = [*document["Statement"], deny]  # type: ignore[index]  # a document, as boto3 decodes it
    credentials = new_user(json.dumps({"Version": "2012-10-17", "Statement": statements}))
    replace(starter, credentials=credentials).must("start", "earlier", *COUNT)
    assert len(machines_of(root)) == 2
