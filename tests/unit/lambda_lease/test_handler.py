"""The edge: what a tick decides, what it loads, and what it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from annex_contract.lease import Lease, UnreadableLeaseError
from lambda_lease import handler
from lambda_lease.annexes import NotEndedError
from tests.lambda_context import CONTEXT, LambdaContext
from tests.unit.lambda_lease.conftest import Told
from tests.unit.lambda_lease.fake_aws import SETTINGS, UUID, FakeAws

if TYPE_CHECKING:
    from lambda_lease.clients import Clients

LATER = 2_000_000
OVER = 999_000


def no_aws() -> Clients:
    raise AssertionError("AWS is not needed here")


def test_before_expiry_a_tick_makes_no_aws_call(aws: FakeAws) -> None:
    event = aws.put_lease("test", LATER)
    assert handler.run(event, CONTEXT, SETTINGS, LATER, no_aws)["decision"] == "wait"


def test_a_live_annex_keeps_everything(aws: FakeAws) -> None:
    event = aws.put_lease("test", LATER)
    aws.start("test")
    aws.request_fleet("test")
    aws.tick(event)
    assert not aws.calls


def test_a_late_event_of_an_extended_annex_ends_nothing(aws: FakeAws) -> None:
    event = aws.put_lease("test", OVER)
    aws.start("test")
    aws.put_lease("test", LATER, bucket="")
    line = aws.tick(event)
    assert (line["decision"], line["seconds_left"], line["extended"]) == ("wait", 1_000_000, True)
    assert aws.calls == {"ListTargetsByRule": 1}


def test_a_repeated_event_of_an_annex_that_is_gone_does_nothing(aws: FakeAws) -> None:
    event = aws.put_lease("test", OVER)
    aws.start("test2")
    for _ in range(3):
        aws.tick(event)
    assert aws.calls["TerminateInstances"] == aws.calls["CancelSpotFleetRequests"] == 0
    assert aws.removed_rules == ["test"]


def test_a_spot_annex_extended_the_on_demand_way_is_ended_with_its_fleet_and_tarball(aws: FakeAws) -> None:
    aws.put_lease("test", OVER)
    aws.objects.add("config-test.tar.gz")
    fleet = aws.request_fleet("test")
    aws.start(tag="test", token=UUID, fleet=fleet)
    event = aws.put_lease("test", OVER + 500, bucket="")
    for _ in range(3):
        aws.tick(event)
        aws.settle()
    assert aws.fleets[fleet].state == "cancelled"
    assert aws.left_of("test") == []


def test_while_the_truth_cannot_be_read_nothing_is_ended(aws: FakeAws) -> None:
    event = aws.put_lease("test", OVER)
    aws.start("test")
    aws.fail("ListTargetsByRule", ("AccessDeniedException", 400))
    with pytest.raises(ClientError, match="AccessDenied"):
        aws.tick(event)
    assert aws.calls == {"ListTargetsByRule": 1}


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        '{"AnnexID": "test", "S3BucketName": ""}',
        '{"AnnexID": "test", "S3BucketName": "", "LeaseExpiration": "1"}',
        '{"AnnexID": "other", "S3BucketName": "", "LeaseExpiration": 1}',
    ],
)
def test_a_target_that_cannot_be_read_never_counts_as_expired(aws: FakeAws, text: str | None) -> None:
    event = aws.put_lease("test", OVER)
    aws.rules["test"]["test"] = text
    aws.start("test")
    with pytest.raises(UnreadableLeaseError):
        aws.tick(event)
    assert aws.calls == {"ListTargetsByRule": 1}


@pytest.mark.parametrize("event", [None, [], "test", {}, {"Sweep": "yes"}, {"AnnexID": "test", "S3BucketName": "b"}])
def test_a_malformed_event_is_logged_counted_and_raised_without_a_call(event: object, told: Told) -> None:
    with pytest.raises(UnreadableLeaseError):
        handler.run(event, CONTEXT, SETTINGS, 0.0, no_aws)
    log, metrics = told()
    assert log["level"] == "ERROR"
    assert log["error"]
    assert metrics["Failures"] == [1]


def test_a_tick_writes_one_log_line_and_one_set_of_metrics(aws: FakeAws, told: Told) -> None:
    event = aws.put_lease("test", OVER)
    aws.objects.add("config-test.tar.gz")
    aws.start("test")
    aws.start("test")
    aws.request_fleet("test")
    returned = aws.tick(event)
    log, metrics = told()
    assert returned.items() <= log.items()
    assert returned == {
        "annex_id": "test",
        "decision": "expire",
        "seconds_left": -1000,
        "fleets_cancelled": 1,
        "machines_ended": 2,
        "machines_left": 0,
        "tarballs_deleted": 1,
        "rule_removed": False,
    }
    counted = {name: metrics[name] for name in metrics if name[0].isupper()}
    assert counted == {
        "LeasesChecked": [1],
        "LeasesExpired": [1],
        "MachinesEnded": [2],
        "FleetsCancelled": [1],
    }


def test_a_log_line_names_the_request_that_wrote_it(told: Told) -> None:
    event = Lease("test", "", LATER).event()
    for request_id in ("first", "second"):
        handler.run(event, LambdaContext(request_id), SETTINGS, 0.0, no_aws)
    with pytest.raises(UnreadableLeaseError):
        handler.run({}, LambdaContext("third"), SETTINGS, 0.0, no_aws)
    lines = [line for line in told() if "function_request_id" in line]
    assert [line["function_request_id"] for line in lines] == ["first", "second", "third"]


def test_a_tick_that_fails_tells_what_it_did_and_what_it_could_not_do(aws: FakeAws, told: Told) -> None:
    event = aws.put_lease("test", OVER)
    aws.start("test")
    protected = aws.start("test", protected=True)
    for operation in ("ListObjectsV2", "ModifyInstanceAttribute"):
        aws.fail(operation, ("AccessDenied", 403))
    with pytest.raises(NotEndedError):
        aws.tick(event)
    log, metrics = told()
    assert (log["machines_ended"], log["machines_left"]) == (1, 1)
    assert f"terminate {protected}: AccessDenied" in log["error"]
    assert metrics["Failures"] == [2]
    assert metrics["MachinesEnded"] == [1]
