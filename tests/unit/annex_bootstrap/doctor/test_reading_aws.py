"""What the doctor's checks of AWS ask for, and the facts that they make of the answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap.annexes import leases
from annex_bootstrap.annexes.leases import Lease, Leases
from annex_bootstrap.annexes.leases import Machines as Running
from annex_bootstrap.aws import Account
from annex_bootstrap.doctor import account_checks, machine_checks, stack_checks
from annex_bootstrap.doctor.account_checks import AwsCredentials, PolicyHolders, Quota, RightToStart
from annex_bootstrap.doctor.check import Setup
from annex_bootstrap.doctor.function_checks import AlarmMail, LeaseFunction, OrphanCheck
from annex_bootstrap.doctor.machine_checks import Machine, Machines, Place, Replacements
from annex_bootstrap.doctor.stack_checks import Bucket, EncryptionKey, Image, Lost, Parts, SecurityGroup, StackCheck
from annex_bootstrap.errors import AwsError, DeniedError, UserError
from annex_bootstrap.machines.console import Console
from annex_bootstrap.policies.key import key_policy
from annex_bootstrap.pool.htcondor import AP_COLLECTOR, COLLECTOR, Daemon
from annex_bootstrap.stack import metrics
from annex_bootstrap.stack import read as module
from annex_bootstrap.stack.image import StackImage
from annex_bootstrap.stack.read import Stack
from annex_contract import __version__
from tests.unit.annex_bootstrap.commands.conftest import OUTPUTS, STACK_ID, a_stack
from tests.unit.annex_bootstrap.growth.cases import NOW
from tests.unit.recorded import Recorded, RefusedError

DENIED = RefusedError("AccessDeniedException", "not yours", 403)
LEASE_FUNCTION, NAME = OUTPUTS["LeaseFunctionARN"], "annex-bootstrap-LeaseFunction-A"
OLD, NEW = (23, 9, 6), (25, 14, 1)


def setup(aws: Recorded, stack: Stack | None = None, *, deployed: bool = True, **facts: Any) -> Setup:
    """Return a setup whose stack, and some other facts, were read already."""
    made = Setup(aws.account(), "annex-bootstrap", Path("user_config"))
    found = (stack or a_stack()) if deployed else None
    vars(made).update({"deployed": found, "stack": found, "wrong_output": "", **facts})
    return made


EACH = [AlarmMail, Bucket, EncryptionKey, Image, OrphanCheck, Parts, PolicyHolders, RightToStart, SecurityGroup]


@pytest.mark.parametrize("check", [*EACH, Replacements, Machines])
def test_without_a_stack_nothing_is_asked(check: Any) -> None:
    assert check.read(setup(Recorded(), deployed=False)) is None


def test_the_account_and_the_stack_are_taken_as_they_were_read() -> None:
    credentials = AwsCredentials.read(setup(Recorded()))
    assert credentials == AwsCredentials("123456789012", "us-east-1")
    assert credentials.judge().detail == "account 123456789012, region us-east-1"
    stack = a_stack()
    made = setup(Recorded(), stack, wrong_output="ImageId")
    assert StackCheck.read(made) == StackCheck("annex-bootstrap", stack, __version__, "ImageId")
    assert StackCheck.read(setup(Recorded(), deployed=False)) == StackCheck("annex-bootstrap", None, __version__)


def test_both_quotas_are_read() -> None:
    limits = {"L-1216C47A": 32.0, "L-34B43A08": 16.0}
    aws = Recorded(GetServiceQuota=lambda arguments: {"Quota": {"Value": limits[arguments["QuotaCode"]]}})
    assert Quota.read(setup(aws)) == Quota("us-east-1", 32, 16)
    denied = Quota.read(setup(Recorded(GetServiceQuota=DENIED)))
    assert (denied.region, denied.on_demand, denied.spot) == ("us-east-1", 0, 0)
    assert isinstance(denied.error, DeniedError)


BLOCK = dict.fromkeys(("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True)


@pytest.mark.parametrize(
    ("answer", "blocks"),
    [
        ({"PublicAccessBlockConfiguration": BLOCK}, BLOCK),
        (RefusedError("NoSuchBucket", "gone", 404), None),
        (RefusedError("NoSuchPublicAccessBlockConfiguration", "none", 404), {}),
    ],
)
def test_the_buckets_blocks_are_read(answer: Any, blocks: Mapping[str, bool] | None) -> None:
    aws = Recorded(GetPublicAccessBlock=answer)
    assert Bucket.read(setup(aws)) == Bucket(OUTPUTS["S3BucketName"], blocks)
    assert aws.of("GetPublicAccessBlock") == [{"Bucket": OUTPUTS["S3BucketName"]}]


def test_a_check_that_aws_refuses_says_what_it_looked_at() -> None:
    aws = Recorded(GetFunctionConfiguration=DENIED)
    with pytest.raises(DeniedError, match="looking for a resource"):
        LeaseFunction.read(setup(aws))
    logs = RefusedError("InternalFailure", "try again", 500)
    aws = Recorded(GetFunctionConfiguration={"FunctionName": "f"}, FilterLogEvents=logs)
    with pytest.raises(AwsError, match="checking the lease function"):
        LeaseFunction.read(setup(aws))


def test_a_bucket_that_may_not_be_looked_at_is_an_error() -> None:
    with pytest.raises(DeniedError):
        Bucket.read(setup(Recorded(GetPublicAccessBlock=RefusedError("AccessDenied", "no", 403))))


def test_the_orphan_check_counts_what_happened_since_the_last_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = a_stack()
    points = {
        ("AWS/Lambda", "Invocations", "FunctionName", NAME): [2.0, 1.0],
        ("AWS/Events", "FailedInvocations", "RuleName", "annex-bootstrap-SweepRule"): [8.0, 4.0, 1.0],
    }
    times = [stack.changed - timedelta(seconds=1), stack.changed, stack.changed + timedelta(hours=1)]

    def sums(account: Account, namespace: str, metric: str, **dimension: str) -> list[dict[str, Any]]:
        assert account.region == "us-east-1"
        ((name, value),) = dimension.items()
        counted = points[namespace, metric, name, value]
        return [{"Timestamp": at, "Sum": count} for at, count in zip(times, counted, strict=False)]

    monkeypatch.setattr(metrics, "sums", sums)
    read = OrphanCheck.read(setup(Recorded(), stack))
    assert read is not None
    # Calls count from before the deployment too, refusals do not.
    assert (read.calls, read.refused) == (3.0, 5.0)
    assert read.age == pytest.approx((datetime.now(UTC) - stack.changed).total_seconds(), abs=60)


def test_a_metric_is_summed_by_the_minute_over_some_hours() -> None:
    point = {"Timestamp": a_stack().changed, "Sum": 2.0}
    aws = Recorded(GetMetricStatistics={"Datapoints": [point]})
    assert metrics.sums(aws.account(), "AWS/Lambda", "Invocations", FunctionName=NAME) == [point]
    (asked,) = aws.of("GetMetricStatistics")
    begin, end = asked.pop("StartTime"), asked.pop("EndTime")
    assert end - begin == timedelta(hours=3)
    assert asked == {
        "Namespace": "AWS/Lambda",
        "MetricName": "Invocations",
        "Dimensions": [{"Name": "FunctionName", "Value": NAME}],
        "Period": 60,
        "Statistics": ["Sum"],
    }


POLICY = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}}]}
FUNCTIONS = [
    f"{resource}Function"
    for resource in (
        "Bucket",
        "InstanceRole",
        "StartRole",
        "FleetRole",
        "SecurityGroup",
        "ImageBuilder",
        "MachineImage",
    )
]


def parts(**answers: Any) -> tuple[Recorded, Parts]:
    """Return what is asked for, and what is read, where every part is there but for some answers."""
    known = [*FUNCTIONS, "LeasePermission"]

    def resource(arguments: dict[str, Any]) -> dict[str, Any]:
        assert arguments["StackName"] == STACK_ID
        name = arguments["LogicalResourceId"]
        if name not in known:
            raise RefusedError("ValidationError", "no such resource")
        return {
            "StackResourceDetail": {
                "LogicalResourceId": name,
                "ResourceType": "AWS::Lambda::Function",
                "PhysicalResourceId": f"physical-{name}",
                "ResourceStatus": "CREATE_COMPLETE",
                "LastUpdatedTimestamp": a_stack().changed,
            }
        }

    aws = Recorded(
        **{
            "DescribeRule": {"Name": "annex-bootstrap-SweepRule"},
            "GetPolicy": {"Policy": json.dumps(POLICY)},
            "DescribeLaunchTemplates": {"LaunchTemplates": [{"LaunchTemplateId": "lt-0a1b"}]},
            "DescribeStackResource": resource,
            "GetFunctionConfiguration": {"FunctionName": "f"},
            **answers,
        }
    )
    read = Parts.read(setup(aws))
    assert read is not None
    return aws, read


THERE = Parts("us-east-1", LEASE_FUNCTION, "annex-bootstrap-SweepRule", "physical-LeasePermission", [], [], [])


def test_the_parts_of_the_stack_are_looked_for() -> None:
    aws, read = parts()
    assert read == THERE
    assert aws.of("DescribeRule") == [{"Name": "annex-bootstrap-SweepRule"}]
    assert aws.of("GetPolicy") == [{"FunctionName": LEASE_FUNCTION}]
    assert aws.of("DescribeLaunchTemplates") == [{"LaunchTemplateIds": ["lt-0a1b"]}]
    names = [asked["FunctionName"] for asked in aws.of("GetFunctionConfiguration")]
    assert names == [f"physical-{name}" for name in FUNCTIONS]


def gone(code: str) -> RefusedError:
    return RefusedError(code, "gone", 404)


@pytest.mark.parametrize(
    ("answers", "lost", "functions"),
    [
        ({"DescribeRule": gone("ResourceNotFoundException")}, [Lost.SWEEP_RULE], []),
        ({"GetPolicy": gone("ResourceNotFoundException")}, [Lost.PERMISSION], []),
        ({"GetPolicy": {"Policy": '{"Statement": []}'}}, [Lost.PERMISSION], []),
        ({"DescribeLaunchTemplates": gone("InvalidLaunchTemplateId.NotFound")}, [Lost.LAUNCH_TEMPLATE], []),
        ({"DescribeLaunchTemplates": {"LaunchTemplates": []}}, [Lost.LAUNCH_TEMPLATE], []),
        ({"GetFunctionConfiguration": gone("ResourceNotFoundException")}, [], FUNCTIONS),
    ],
)
def test_a_part_that_is_gone_is_lost(answers: dict[str, Any], lost: list[Lost], functions: list[str]) -> None:
    _, read = parts(**answers)
    assert read == replace(THERE, lost=lost, functions=functions)


def test_parts_that_may_not_be_read_are_not_missed() -> None:
    denied = dict.fromkeys(("DescribeRule", "GetPolicy", "DescribeLaunchTemplates", "GetFunctionConfiguration"), DENIED)
    _, read = parts(**denied)
    assert read == replace(THERE, unread=[Lost.SWEEP_RULE, Lost.LAUNCH_TEMPLATE, *FUNCTIONS])


def test_a_part_that_cannot_be_read_for_another_reason_is_an_error() -> None:
    with pytest.raises(AwsError):
        parts(DescribeRule=RefusedError("InternalException", "try again", 500))


def test_a_stack_without_a_launch_template_misses_none() -> None:
    outputs = {name: value for name, value in OUTPUTS.items() if name != "LaunchTemplateId"}
    answers: dict[str, Any] = {"DescribeRule": {"Name": "r"}, "GetPolicy": {"Policy": json.dumps(POLICY)}}
    aws = Recorded(**answers, DescribeStackResource=RefusedError("ValidationError", "none"))
    read = Parts.read(setup(aws, replace(a_stack(), outputs=outputs)))
    # A function that the stack never had is not gone.
    assert read == replace(THERE, statement="")


KEY = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-1111-2222-3333-0a1b2c3d4e5f"


def test_the_key_is_read_with_what_its_policy_lacks() -> None:
    whole = key_policy("aws", "123456789012", "us-east-1", "annex-bootstrap")["Statement"]
    aws = Recorded(
        DescribeKey={"KeyMetadata": {"KeyId": KEY.rpartition("/")[2], "KeyState": "PendingDeletion"}},
        GetKeyPolicy=[{"Policy": json.dumps({"Statement": part})} for part in (whole, whole[1:])],
    )
    made = setup(aws, a_stack(parameters={"KmsKeyArn": KEY}))
    assert EncryptionKey.read(made) == EncryptionKey(KEY, "PendingDeletion", [])
    assert aws.calls == [("DescribeKey", {"KeyId": KEY}), ("GetKeyPolicy", {"KeyId": KEY, "PolicyName": "default"})]
    assert EncryptionKey.read(made) == EncryptionKey(KEY, "PendingDeletion", [whole[0]["Sid"]])


def test_a_key_that_is_gone_or_denied_or_not_there_is_read() -> None:
    stack = a_stack(parameters={"KmsKeyArn": KEY})
    assert EncryptionKey.read(setup(Recorded(DescribeKey=gone("NotFoundException")), stack)) == EncryptionKey(KEY)
    denied = EncryptionKey.read(setup(Recorded(DescribeKey=DENIED), stack))
    assert denied is not None
    assert (denied.arn, denied.state, isinstance(denied.error, DeniedError)) == (KEY, "", True)
    assert EncryptionKey.read(setup(Recorded())) is None


def test_the_mails_of_alarms_are_read_by_who_confirmed_them() -> None:
    topic = "arn:aws:sns:us-east-1:123456789012:annex-bootstrap-AlarmTopic-A"

    def subscription(address: str, arn: str) -> dict[str, str]:
        return {"SubscriptionArn": arn, "Owner": "123456789012", "Protocol": "email", "Endpoint": address}

    pages: list[Any] = [
        {
            "Subscriptions": [subscription("new@pool.example", "PendingConfirmation"), subscription("x", "Deleted")],
            "NextToken": "more",
        },
        {"Subscriptions": [subscription(name, f"{topic}:{name}") for name in ("one", "two")]},
    ]
    detail = {
        "LogicalResourceId": "AlarmTopic",
        "ResourceType": "AWS::SNS::Topic",
        "PhysicalResourceId": topic,
        "ResourceStatus": "CREATE_COMPLETE",
        "LastUpdatedTimestamp": a_stack().changed,
    }
    stack = a_stack(parameters={"NotificationEmail": "new@pool.example"})
    found = {"StackResourceDetail": detail}
    aws = Recorded(DescribeStackResource=found, ListSubscriptionsByTopic=pages)
    assert AlarmMail.read(setup(aws, stack)) == AlarmMail("new@pool.example", ["new@pool.example"], 2)
    assert aws.of("DescribeStackResource") == [{"StackName": STACK_ID, "LogicalResourceId": "AlarmTopic"}]
    assert [asked["TopicArn"] for asked in aws.of("ListSubscriptionsByTopic")] == [topic, topic]
    denied = RefusedError("AuthorizationError", "no", 403)
    read = AlarmMail.read(setup(Recorded(DescribeStackResource=found, ListSubscriptionsByTopic=denied), stack))
    assert read is not None
    assert (read.address, read.pending, read.confirmed) == ("new@pool.example", (), 0)
    assert isinstance(read.error, DeniedError)
    assert AlarmMail.read(setup(Recorded())) is None


@pytest.mark.parametrize(
    ("parameters", "port", "closed"),
    [({}, 9618, False), ({"CondorPort": "9000"}, 9000, False), ({"CondorCidrs": ""}, 9618, True)],
)
def test_the_security_groups_ports_are_read(parameters: dict[str, str], port: int, closed: bool) -> None:
    rules = [
        {"IpProtocol": "tcp", "FromPort": 9618, "ToPort": 9620},
        {"IpProtocol": "udp", "FromPort": 1, "ToPort": 2},
        {"IpProtocol": "-1"},
    ]
    aws = Recorded(DescribeSecurityGroups={"SecurityGroups": [{"GroupId": "sg-0a1b", "IpPermissions": rules}]})
    read = SecurityGroup.read(setup(aws, a_stack(parameters=parameters)))
    assert read == SecurityGroup("sg-0a1b", [(9618, 9620), (0, 65535)], port, closed)
    assert aws.of("DescribeSecurityGroups") == [{"GroupIds": ["sg-0a1b"]}]
    aws = Recorded(DescribeSecurityGroups=gone("InvalidGroup.NotFound"))
    assert SecurityGroup.read(setup(aws, a_stack(parameters=parameters))) == SecurityGroup(
        "sg-0a1b", None, port, closed
    )


def test_the_image_is_that_of_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    stack, image = a_stack(), StackImage("ami-0a1b", True, "available", a_stack().changed, "", "23.9.6", "")
    monkeypatch.setattr(stack_checks, "read_image", lambda _, of: image if of is stack else None)
    read = Image.read(setup(Recorded(), stack))
    assert read is not None
    assert read.image is image
    assert abs(datetime.now(UTC) - read.now) < timedelta(minutes=1)


def test_holders_of_policies_are_looked_for_where_the_stack_has_a_boundary(monkeypatch: pytest.MonkeyPatch) -> None:
    boundary = "arn:aws:iam::123456789012:policy/mine"
    stack = a_stack(parameters={"PermissionsBoundaryArn": boundary})
    holders = ["user alice"]

    def list_holders(account: Account, of: Stack) -> list[str]:
        assert (account.region, of) == ("us-east-1", stack)
        return holders

    def find_people(account: Account, found: list[str]) -> dict[str, str]:
        assert (account.region, found) == ("us-east-1", holders)
        return {"user alice": boundary}

    monkeypatch.setattr(account_checks, "list_holders", list_holders)
    monkeypatch.setattr(account_checks, "find_people", find_people)
    path = "arn:aws:iam::123456789012:policy/annex-bootstrap/"
    users = f"arn:aws:iam::123456789012:policy/annex-bootstrap-users-boundary-{stack.name}"
    read = PolicyHolders.read(setup(Recorded(), stack))
    assert read == PolicyHolders(path, users, {"user alice": boundary})
    assert PolicyHolders.read(setup(Recorded())) is None

    def denied(*_: object) -> Any:
        raise DeniedError("no", code="AccessDenied", reason="no")

    monkeypatch.setattr(account_checks, "find_people", denied)
    assert PolicyHolders.read(setup(Recorded(), stack)) == PolicyHolders(path, users, None)


def test_the_right_to_start_is_asked_of_ec2_with_the_line_for_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    denied = DeniedError("no", code="UnauthorizedOperation", reason="no")

    def find_refusal(account: Account, stack: Stack) -> AwsError:
        assert (account.region, stack) == ("us-east-1", a_stack())
        return denied

    monkeypatch.setattr(account_checks, "find_refusal", find_refusal)
    line = f"aws iam attach-user-policy --user-name alice --policy-arn {OUTPUTS['StartPolicyARN']}"
    assert RightToStart.read(setup(Recorded())) == RightToStart(denied, (line,))
    without = {name: value for name, value in OUTPUTS.items() if name != "StartPolicyARN"}
    assert RightToStart.read(setup(Recorded(), replace(a_stack(), outputs=without))) is None


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The annexes of the stack: the leases, and what runs for each of them."""
    answers: dict[str, Any] = {"leases": [Lease("first", NOW, {})], "machines": {}}

    def of(account: Account, stack: Stack) -> Leases:
        assert (account.region, stack) == ("us-east-1", a_stack())
        return made

    made = Leases.of(Recorded().account(), a_stack())
    monkeypatch.setattr(leases.Leases, "of", of)
    monkeypatch.setattr(leases.Leases, "list", lambda _: answers["leases"])
    monkeypatch.setattr(leases.Leases, "machines", lambda _: answers["machines"])
    return answers


def test_what_starts_machines_again_is_read_with_the_leases(held: dict[str, Any]) -> None:
    held["machines"] = {name: running(fleets=count) for name, count in (("first", 2), ("second", 0), ("third", 1))}
    assert Replacements.read(setup(Recorded())) == Replacements({"first": 2, "third": 1}, {"first"})
    held["machines"] = {"second": running(fleets=0)}
    assert Replacements.read(setup(Recorded())) is None


def running(**more: Any) -> Running:
    """Return what runs for an annex."""
    fields = {"types": {}, "spot": 0, "fleets": 0}
    return Running(**{**fields, **more})


LAUNCHED = datetime.fromtimestamp(NOW, UTC)


def described(instance_id: str, annex: str = "first", state: str = "running", **more: Any) -> dict[str, Any]:
    return {
        "InstanceId": instance_id,
        "LaunchTime": LAUNCHED,
        "State": {"Name": state},
        "IamInstanceProfile": {"Arn": OUTPUTS["StartInstanceProfile"]},
        "Tags": [{"Key": "htcondor:AnnexName", "Value": annex}],
        **more,
    }


SHUT_DOWN = {"StateReason": {"Code": "Client.InstanceInitiatedShutdown"}}
GAVE_UP = "annex-boot: giving up, the machine shuts down: no tarball"


@pytest.fixture
def consoles(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """The consoles that were read; each one gave up that ended."""
    read: list[tuple[str, bool]] = []

    def read_console(account: Account, instance_id: str, *, running: bool) -> Console:
        assert account.region == "us-east-1"
        read.append((instance_id, running))
        return Console("boots" if running else GAVE_UP if instance_id == "i-gave-up" else "")

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return LAUNCHED.astimezone(tz) + timedelta(seconds=90)

    monkeypatch.setattr(machine_checks, "read_console", read_console)
    monkeypatch.setattr(machine_checks, "datetime", Clock)
    return read


def collectors(monkeypatch: pytest.MonkeyPatch, answer: list[str] | None) -> list[tuple[str, str]]:
    """Let the collector answer; return what it is asked."""
    asked: list[tuple[str, str]] = []

    def ask_collector(address: str, attribute: str) -> list[str] | None:
        asked.append((address, attribute))
        return answer

    def log_path(daemon: Daemon) -> str:
        return {COLLECTOR: "/log/Collector", AP_COLLECTOR: "/log/AP"}[daemon]

    monkeypatch.setattr(machine_checks, "ask_collector", ask_collector)
    monkeypatch.setattr(machine_checks, "log_path", log_path)
    monkeypatch.setattr(machine_checks, "read_refusals", lambda path: [f"refused in {path}"])
    return asked


@pytest.mark.usefixtures("held")
def test_machines_are_read_with_the_consoles_of_those_that_are_not_in_the_pool(
    monkeypatch: pytest.MonkeyPatch, consoles: list[tuple[str, bool]]
) -> None:
    asked = collectors(monkeypatch, ["i-joined"])
    addresses = {"PublicIpAddress": "203.0.113.5", "PrivateIpAddress": "10.0.0.7", "Ipv6Address": "2001:db8::7"}
    pages = [
        described("i-joined", VpcId="vpc-1", **addresses),
        described("i-boots", "second", PrivateIpAddress="10.0.0.8"),
        described("i-gave-up", "third", "terminated", **SHUT_DOWN),
        described("i-shut", "third", "shutting-down", **SHUT_DOWN),
        # One that a lease ended, and one of another stack, say nothing.
        described("i-ended", "third", "terminated", StateReason={"Code": "Client.UserInitiatedShutdown"}),
        described("i-other", IamInstanceProfile={"Arn": "arn:aws:iam::123456789012:instance-profile/other"}),
    ]
    aws = Recorded(DescribeInstances={"Reservations": [{"Instances": pages[:1]}, {"Instances": pages[1:]}]})
    read = Machines.read(setup(aws, collector="pool:9000", condor=OLD))
    seen = ("203.0.113.5", "10.0.0.7", "2001:db8::7")
    joined = Machine("i-joined", "first", 90.0, True, seen, "vpc-1")
    boots = Machine("i-boots", "second", 90.0, True, ("10.0.0.8",), "", Console("boots"))
    gave_up = Machine("i-gave-up", "third", 90.0, False, (), "", Console(GAVE_UP))
    place = Place("us-east-1", "annex-bootstrap", 9000, "/log/Collector")
    assert read == Machines(OLD, [joined, boots, gave_up], ["i-joined"], place, ["refused in /log/Collector"])
    assert consoles == [("i-boots", True), ("i-gave-up", False), ("i-shut", False)]
    assert asked == [("pool:9000", "EC2InstanceID")]
    assert aws.of("DescribeInstances") == [
        {"Filters": [{"Name": "instance-state-name", "Values": ["running", "shutting-down", "terminated"]}]}
    ]
    newer = Machines.read(setup(aws, collector="pool:9000", condor=NEW))
    assert newer is not None
    assert (newer.place.log, newer.refusals) == ("/log/AP", ["refused in /log/AP"])
    without = Machines.read(setup(aws, collector="", condor=None))
    assert without is not None
    assert (without.place, without.refusals) == (Place("us-east-1", "annex-bootstrap", 9618, ""), None)


@pytest.mark.usefixtures("held")
def test_where_all_have_joined_no_console_and_no_log_is_read(
    monkeypatch: pytest.MonkeyPatch, consoles: list[tuple[str, bool]]
) -> None:
    asked = collectors(monkeypatch, ["i-joined"])
    aws = Recorded(DescribeInstances={"Reservations": [{"Instances": [described("i-joined")]}]})
    read = Machines.read(setup(aws, collector="pool:9000", condor=OLD))
    place = Place("us-east-1", "annex-bootstrap", 9618, "")
    assert read == Machines(OLD, [Machine("i-joined", "first", 90.0)], ["i-joined"], place, None)
    assert consoles == []
    asked.clear()
    read = Machines.read(setup(Recorded(DescribeInstances={"Reservations": []}), collector="pool:9000", condor=OLD))
    assert read == Machines(OLD, [], [], place, None)
    assert asked == []


@pytest.mark.usefixtures("held")
def test_of_many_machines_the_consoles_of_some_are_read(
    monkeypatch: pytest.MonkeyPatch, consoles: list[tuple[str, bool]]
) -> None:
    collectors(monkeypatch, None)
    found = [described(f"i-{number}") for number in range(12)]
    aws = Recorded(DescribeInstances={"Reservations": [{"Instances": found}]})
    made = setup(aws, collector="pool:9000", condor=OLD)
    again = replace(made, given_collector="given:9100")
    vars(again).update(deployed=made.deployed, collector="pool:9000", condor=OLD)
    read = Machines.read(again)
    assert read is not None
    assert consoles == [(f"i-{number}", True) for number in range(10)]
    assert (read.joined, len(read.machines), read.place.port) == (None, 12, 9100)


def stack_of(read: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> Setup:
    """Return a setup whose stack is what some function returns."""
    monkeypatch.setattr(module, "find", lambda _, name: read() if name == "annex-bootstrap" else None)
    monkeypatch.setattr(module, "find_wrong_output_of", lambda _, stack: "ImageId" if stack.protected else "")
    return Setup(Recorded().account(), "annex-bootstrap", Path("user_config"))


def test_only_a_whole_stack_with_its_own_outputs_counts_as_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = a_stack()
    made = stack_of(lambda: whole, monkeypatch)
    assert (made.stack, made.deployed, made.wrong_output) == (whole, whole, "")
    none = stack_of(lambda: None, monkeypatch)
    assert (none.stack, none.deployed, none.wrong_output) == (None, None, "")
    forged = stack_of(lambda: a_stack(protected=True), monkeypatch)
    assert (forged.deployed, forged.wrong_output) == (None, "ImageId")
    bare = stack_of(lambda: replace(whole, outputs={}), monkeypatch)
    assert bare.deployed is None

    def refused() -> Any:
        raise UserError("AWS refused")

    assert stack_of(refused, monkeypatch).deployed is None
