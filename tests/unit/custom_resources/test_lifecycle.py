"""What every custom resource shares, with a resource that only the test knows."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from crhelper import CfnResource

from annex_contract.resources import STACK_ID
from custom_resources import lifecycle
from custom_resources.lifecycle import NotYetError, Request, ResourceError, serve

STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/s/12345678-1234-1234-1234-123456789012"


class Context:
    """A function that may run five minutes."""

    aws_request_id = "request"

    def __init__(self, milliseconds: int = 300_000) -> None:
        """Or as long as is said."""
        self.milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        """All of it."""
        return self.milliseconds


class Runner:
    """Sends requests to a resource, and keeps the answers."""

    def __init__(self, answers: list[dict[str, Any]]) -> None:
        """Begin at time 0."""
        self.now = 0.0
        self.answers = answers
        self.deleted: list[str] = []
        self.environment: dict[str, str] = {}

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def send(self, kind: str, act: Callable[[Request], Any], context: Context | None = None, **event: Any) -> Any:
        """Send a request, and return the answer."""

        def delete(request: Request) -> str:
            self.deleted.append(request.name)
            return str(act(request) or "") if kind == "Delete" else ""

        request = {
            "RequestType": kind,
            "RequestId": "r",
            "StackId": STACK,
            "ResponseURL": "https://response.example.org/",
            "LogicalResourceId": "Thing",
            "ResourceProperties": {"Name": "a"},
            **event,
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (self.environment or request["ResourceProperties"]).items():
                patch.setenv(name, value)
            serve("Name", act, delete)(request, context or Context())
        return self.answers.pop(0)


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Return a runner whose pauses take no time."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv(STACK_ID, STACK)
    made = Runner([])
    monkeypatch.setattr(lifecycle, "sleep", made.sleep)
    monkeypatch.setattr(lifecycle, "monotonic", lambda: made.now)
    original = CfnResource._send  # type: ignore[attr-defined]  # private, and so not in crhelper's types

    def send(helper: Any, status: str | None = None, reason: str = "") -> None:
        original(helper, status, reason, send_response=lambda _url, body, _verify: made.answers.append(body))

    monkeypatch.setattr(CfnResource, "_send", send)
    return made


def refusal(code: str, message: str = "because") -> ClientError:
    """Return what boto3 raises."""
    return ClientError({"Error": {"Code": code, "Message": message}}, "MakeThing")


def failing(times: int, error: Exception) -> Callable[[Request], dict[str, str]]:
    """A put that fails some times."""
    left = [error] * times

    def put(_: Request) -> dict[str, str]:
        if left:
            raise left.pop()
        return {"Made": "yes"}

    return put


def test_a_cold_start_makes_no_client_before_the_resource_asks_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(boto3, "client", lambda service, **_: made.append(service))
    before = dict(os.environ)
    serve("Name", lambda _: {}, lambda _: "")
    assert (made, dict(os.environ)) == ([], before)


def test_for_each_answer_that_time_can_change_it_is_said_how_long_it_is_waited_for() -> None:
    # The error codes of IAM, S3 and EC2, as their API references have them.
    iam = ("ConcurrentModification", "DeleteConflict", "EntityAlreadyExists", "InvalidInput", "LimitExceeded")
    s3 = ("BucketAlreadyOwnedByYou", "NoSuchBucket", "NoSuchUpload")
    ec2 = (
        *("InvalidAMIID.NotFound", "InvalidAMIName.Duplicate", "InvalidGroup.Duplicate", "InvalidGroup.NotFound"),
        *("InvalidInstanceID.NotFound", "InvalidPermission.Duplicate", "InvalidPermission.NotFound"),
        *("InvalidSnapshot.InUse", "InvalidSnapshot.NotFound"),
    )
    assert {
        **dict.fromkeys((*iam, "NoSuchEntity", *s3, *ec2), 60.0),
        **dict.fromkeys(("403", "AccessDenied", "AccessDeniedException", "UnauthorizedOperation"), 90.0),
        "PendingVerification": 420.0,
        **dict.fromkeys(("BucketAlreadyExists", "OperationAborted"), math.inf),
    } == lifecycle.PATIENCE


def test_every_client_retries_and_gives_up_before_the_function_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    config: Any = lifecycle.client("iam").meta.config
    assert config.retries == {"mode": "standard", "total_max_attempts": 6}
    assert (config.connect_timeout, config.read_timeout) == (5, 20)


@pytest.mark.parametrize("code", sorted(lifecycle.PATIENCE))
def test_an_answer_that_time_can_change_is_waited_out(runner: Runner, code: str) -> None:
    answer = runner.send("Create", failing(3, refusal(code)))
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"] == {"Made": "yes"}
    assert runner.now == 1 + 2 + 4


@pytest.mark.parametrize("code", sorted(lifecycle.PATIENCE))
def test_waiting_has_an_end_before_that_of_the_function(runner: Runner, code: str) -> None:
    answer = runner.send("Create", failing(1000, refusal(code)))
    assert answer["Status"] == "FAILED"
    assert answer["Reason"] == f"Thing: MakeThing failed: {code}: because"
    assert runner.now <= min(lifecycle.PATIENCE[code], 280)


def test_a_name_just_released_is_waited_for_as_long_as_the_function_may_run(runner: Runner) -> None:
    runner.send("Create", failing(1000, refusal("OperationAborted")))
    assert runner.now > 250


@pytest.mark.parametrize("code", ["403", "AccessDenied", "UnauthorizedOperation"])
def test_rights_may_take_a_minute_to_be_in_effect(runner: Runner, code: str) -> None:
    def allowed_after_a_minute(_: Request) -> dict[str, str]:
        if runner.now < 60:
            raise ResourceError("not allowed") from refusal(code)
        return {"Made": "yes"}

    assert runner.send("Create", allowed_after_a_minute)["Status"] == "SUCCESS"


def test_what_is_not_found_yet_is_waited_for_after_rights_were(runner: Runner) -> None:
    def found_after_both(_: Request) -> dict[str, str]:
        if runner.now < 50:
            raise refusal("AccessDenied")
        if runner.now < 90:
            raise refusal("NoSuchEntity")
        return {"Made": "yes"}

    assert runner.send("Create", found_after_both)["Status"] == "SUCCESS"


def test_any_other_refusal_is_final(runner: Runner) -> None:
    assert runner.send("Create", failing(1, refusal("MalformedPolicyDocument")))["Status"] == "FAILED"
    assert runner.now == 0


def test_what_a_person_can_change_is_waited_for(runner: Runner) -> None:
    assert runner.send("Create", failing(5, NotYetError("in use by i-1")))["Status"] == "SUCCESS"


def test_a_long_message_keeps_the_resource_the_call_and_its_end(runner: Runner) -> None:
    reason = runner.send("Create", failing(1, refusal("InvalidThing", "x" * 500 + " no policy allows it")))["Reason"]
    assert reason.startswith("Thing: MakeThing failed: InvalidThing: ...")
    assert reason.endswith("no policy allows it")
    assert len(reason) == 256


def test_a_network_failure_names_the_call(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_last_call", "MakeThing")
    error = EndpointConnectionError(endpoint_url="https://thing.example.org")
    reason = runner.send("Create", failing(1, error))["Reason"]
    assert reason == f"Thing: MakeThing failed: {error}"


def test_a_failed_update_keeps_the_physical_id(runner: Runner) -> None:
    answer = runner.send(
        "Update", failing(1, ResourceError("no")), PhysicalResourceId="old", OldResourceProperties={"Name": "old"}
    )
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", "old")
    assert runner.deleted == []


def test_a_replacing_update_answers_the_new_name_and_leaves_the_old_one_to_cloudformation(runner: Runner) -> None:
    answer = runner.send(
        "Update", failing(0, KeyError()), PhysicalResourceId="old", OldResourceProperties={"Name": "old"}
    )
    assert answer["PhysicalResourceId"] == "a"
    assert runner.deleted == []


def test_a_rollback_deletes_what_an_update_made_and_never_reported(runner: Runner) -> None:
    answer = runner.send(
        "Update", failing(0, KeyError()), PhysicalResourceId="a", OldResourceProperties={"Name": "new"}
    )
    assert answer["PhysicalResourceId"] == "a"
    assert runner.deleted == ["new"]


def test_a_made_up_physical_id_means_the_name_in_the_properties(runner: Runner) -> None:
    assert runner.send("Delete", lambda _: "", PhysicalResourceId="s-Thing-1ABCDEF")["Status"] == "SUCCESS"
    assert runner.deleted == ["a"]


def test_what_a_delete_leaves_is_reported(runner: Runner) -> None:
    answer = runner.send("Delete", lambda _: "it stays", PhysicalResourceId="a")
    assert (answer["Status"], answer["Reason"]) == ("SUCCESS", "it stays")


def test_a_function_about_to_end_says_in_which_call(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_last_call", "MakeThing")

    def put(_: Request) -> dict[str, str]:
        # The timer answers from its own thread.
        for _look in range(1000):
            if runner.answers:
                break
            threading.Event().wait(0.01)
        return {}

    answer = runner.send("Create", put, Context(600))
    assert answer["Status"] == "FAILED"
    assert answer["Reason"] == "Thing: the function's time was up in MakeThing; try again"


@pytest.mark.parametrize("kind", ["Create", "Update", "Delete"])
def test_an_event_of_another_stack_is_refused(runner: Runner, kind: str) -> None:
    answer = runner.send(kind, failing(0, refusal("any")), StackId=f"{STACK}0", PhysicalResourceId="a")
    assert answer["Status"] == "FAILED"
    assert "this function serves only the stack" in answer["Reason"]
    assert runner.deleted == []


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_an_event_that_wants_what_the_template_does_not_is_refused(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    asked = {"Name": "a", "CondorPort": "3389", "Ranges": ["0.0.0.0/0"]}
    put: list[str] = []

    def act(request: Request) -> dict[str, str]:
        put.append(request.name)
        return {}

    for wrong in ("Name", "CondorPort", "Ranges"):
        monkeypatch.setattr(
            runner, "environment", {"Name": "a", "CondorPort": "3389", "Ranges": "0.0.0.0/0", wrong: "x"}
        )
        answer = runner.send(kind, act, ResourceProperties=asked, PhysicalResourceId="a")
        assert answer["Status"] == "FAILED"
        assert f"does not ask for this {wrong}" in answer["Reason"]
    assert (put, runner.deleted) == ([], [])


def test_a_delete_may_name_what_the_template_asked_for_before(runner: Runner) -> None:
    runner.environment = {"Name": "new", "CondorPort": "9618"}
    before = {"Name": "a", "CondorPort": "9700"}
    answer = runner.send("Delete", lambda _: "", ResourceProperties=before, PhysicalResourceId="a")
    assert (answer["Status"], runner.deleted) == ("SUCCESS", ["a"])
