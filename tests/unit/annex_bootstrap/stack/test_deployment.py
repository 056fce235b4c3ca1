"""A deployment: what it does with a stack in each status, in which order, and what CloudFormation is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from annex_bootstrap.errors import UserError
from annex_bootstrap.stack import deployment, staging
from annex_bootstrap.stack.change_set import ChangeSet
from annex_bootstrap.stack.deployment import DeployRequest, Preview, check_roles, execute, preview, stack_tags
from annex_bootstrap.stack.failure import Cause
from annex_bootstrap.stack.follow import End
from annex_bootstrap.stack.image import Base
from annex_bootstrap.stack.plan import Step
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.stack.template import ParameterValue, Source
from annex_contract import __version__
from annex_contract.stack import given_roles_id
from tests.unit.annex_bootstrap.stack.sample_stack import OURS, TEMPLATE, a_stack
from tests.unit.recorded import Recorded

CHANGE_SET = ChangeSet("arn:change-set", "arn:stack", ())
PORT = ParameterValue("CondorPort", "9619", "9618", "9618", Source.GIVEN)
REQUEST = DeployRequest("annex-bootstrap", "the template", TEMPLATE, {"CondorPort": "9619"}, change_set="made-up")
DONE = a_stack("UPDATE_COMPLETE")


class Steps:
    """What a deployment does, instead of doing it.

    Attributes:
        done: in order.
        made: the arguments of each change set.
        end: how the stack ends.
        change_set: what is made.
        stack: as it is before.
    """

    def __init__(self) -> None:
        self.done: list[str] = []
        self.made: list[tuple[Any, ...]] = []
        self.end = End(DONE, None)
        self.change_set: ChangeSet | None = CHANGE_SET
        self.stack: Stack | None = None
        self.base = Base()

    def settle(self, *_: object) -> tuple[Stack | None, str]:
        return self.stack, "ended before"

    def delete_stack(self, _account: object, stack: Stack, _watcher: object) -> None:
        self.done.append(f"delete {stack.status}")

    def make_change_set(self, _account: object, *arguments: Any) -> ChangeSet | None:
        self.done.append("change set")
        self.made.append(arguments)
        return self.change_set

    def stage(self, _account: object, name: str, text: str) -> str:
        return f"https://staging/{name}/{text}"

    def follow(self, _account: object, stack_id: str, after: str, _watcher: object) -> End:
        self.done.append(f"follow {stack_id} after {after}")
        return self.end

    def check_images(self, _account: object, given: Any, architecture: str) -> None:
        self.done.append(f"images {dict(given)} {architecture}")

    def choose_base(self, _account: object, values: Any) -> Base:
        self.done.append(f"base {values['Image']}")
        return self.base

    def check_deployed(self, stack: Stack | None, name: str, region: str) -> Stack:
        self.done.append(f"check {name} in {region}")
        assert stack is not None
        return stack

    def find_earlier_setup(self, _account: object) -> list[str]:
        return ["HTCondorAnnex"]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    made = Steps()
    for name in (
        *("settle", "delete_stack", "make_change_set", "follow", "check_images", "choose_base", "check_deployed"),
        "find_earlier_setup",
    ):
        monkeypatch.setattr(deployment, name, getattr(made, name))
    monkeypatch.setattr(staging, "stage", made.stage)
    return made


def ahead(step: Step, stack: Stack | None, change_set: ChangeSet | None) -> Preview:
    return Preview("annex-bootstrap", step, stack, [PORT], change_set, "")


def run(aws: Recorded, seen: Preview) -> Stack:
    return execute(aws.account(), REQUEST, seen, lambda _: None)


def cloud() -> Recorded:
    """Return an account whose stack has had one event."""
    event = {"StackId": "s", "EventId": "e1", "StackName": "s", "Timestamp": datetime(2026, 1, 1, tzinfo=UTC)}
    return Recorded(DescribeStackEvents={"StackEvents": [event]}, ExecuteChangeSet={})


def test_a_failed_first_creation_is_deleted_before_the_next(steps: Steps) -> None:
    aws = cloud()
    assert run(aws, ahead(Step.REPLACE_FAILED, a_stack("ROLLBACK_COMPLETE"), None)) == DONE
    assert steps.done == [
        "delete ROLLBACK_COMPLETE",
        "change set",
        "follow arn:stack after e1",
        "check annex-bootstrap in us-east-1",
    ]
    ((_, name, kind, text, url, parameters, tags),) = steps.made
    assert tags is None
    assert (name, kind, text) == ("made-up", "CREATE", "the template")
    assert url == "https://staging/annex-bootstrap/the template"
    assert parameters == [PORT]


GIVEN = given_roles_id("123456789012", "us-east-1", "annex-bootstrap")


def of_roles(step: Step, was: str, value: str) -> Preview:
    """Return a preview of a stack whose roles are another's, or become it."""
    parameter = ParameterValue("GivenRoles", value, was, "", Source.GIVEN)
    stack = a_stack("UPDATE_COMPLETE", {**OURS, "GivenRoles": was}) if step is Step.UPDATE else None
    return Preview("annex-bootstrap", step, stack, [parameter], CHANGE_SET, "")


def test_roles_of_an_administrator_are_those_of_the_stack_and_stay() -> None:
    check_roles(cloud().account(), "annex-bootstrap", of_roles(Step.CREATE, "", GIVEN))
    check_roles(cloud().account(), "annex-bootstrap", of_roles(Step.UPDATE, GIVEN, GIVEN))
    check_roles(cloud().account(), "annex-bootstrap", of_roles(Step.UPDATE, "", ""))
    for was, value in (("", GIVEN), (GIVEN, "")):
        with pytest.raises(UserError, match="GivenRoles is only for a new stack, because all names depend on it"):
            check_roles(cloud().account(), "annex-bootstrap", of_roles(Step.UPDATE, was, value))
    with pytest.raises(UserError, match=f"are not for a stack other in us-east-1 of .* and they are {other_roles()}"):
        check_roles(cloud().account(), "other", of_roles(Step.CREATE, "", GIVEN))


def other_roles() -> str:
    return given_roles_id("123456789012", "us-east-1", "other")


def test_what_a_given_role_lacks_is_for_the_administrator_to_mend(steps: Steps) -> None:
    denied = Cause("Bucket", "CreateBucket failed: AccessDenied: not authorized", ())
    for cause, advised in ((denied, True), (Cause("Bucket", "no room", ()), False)):
        steps.end = End(a_stack("ROLLBACK_COMPLETE"), cause)
        with pytest.raises(UserError) as raised:
            run(cloud(), of_roles(Step.UPDATE, GIVEN, GIVEN))
        assert (
            "have the administrator update the roles with what annex-bootstrap policy roles" in str(raised.value)
        ) is advised


def test_what_was_previewed_is_executed_and_followed_from_its_last_event_on(steps: Steps) -> None:
    aws = cloud()
    assert run(aws, ahead(Step.UPDATE, DONE, CHANGE_SET)) == DONE
    assert steps.done == ["follow arn:stack after e1", "check annex-bootstrap in us-east-1"]
    ((_, read), (_, executed)) = aws.calls
    assert aws.names == ["DescribeStackEvents", "ExecuteChangeSet"]
    assert read == {"StackName": "arn:stack"}
    token = executed.pop("ClientRequestToken")
    assert executed == {"StackName": "arn:stack", "ChangeSetName": "arn:change-set"}
    assert len(token) == 32


def test_a_stack_that_ends_badly_says_why_and_what_next(steps: Steps) -> None:
    steps.end = End(a_stack("UPDATE_ROLLBACK_COMPLETE"), Cause("Bucket", "no room", ()))
    with pytest.raises(UserError, match=r"ended in UPDATE_ROLLBACK_COMPLETE; .*no room\n  next: fix that, then run"):
        run(cloud(), ahead(Step.UPDATE, DONE, CHANGE_SET))


@pytest.mark.parametrize("stack", [None, a_stack("ROLLBACK_COMPLETE")])
def test_without_a_change_nothing_is_executed(steps: Steps, stack: Stack | None) -> None:
    steps.change_set = None
    aws = cloud()
    with pytest.raises(UserError, match="the stack annex-bootstrap needs no change"):
        run(aws, ahead(Step.REPLACE_FAILED, stack, None))
    assert aws.calls == []


def look(steps: Steps, stack: Stack | None, given: dict[str, str] | None = None, **more: Any) -> Preview:
    steps.stack = stack
    request = replace(REQUEST, **more) if given is None else replace(REQUEST, given=given, **more)
    return preview(Recorded().account(), request, lambda _: None)


def given_values(parameters: Sequence[ParameterValue]) -> dict[str, str]:
    return {each.name: each.value for each in parameters if each.source is Source.GIVEN}


@pytest.mark.parametrize(
    ("stack", "step", "kind"),
    [
        (None, Step.CREATE, "CREATE"),
        (a_stack("UPDATE_COMPLETE", OURS | {"Image": "yes"}, __version__), Step.UPDATE, "UPDATE"),
    ],
)
def test_a_preview_makes_a_change_set_and_nothing_else(
    steps: Steps, stack: Stack | None, step: Step, kind: str
) -> None:
    seen = look(steps, stack)
    assert (seen.step, seen.stack, seen.change_set, seen.joined) == (step, stack, CHANGE_SET, "ended before")
    assert seen.earlier_setup == ["HTCondorAnnex"]
    assert seen.values["CondorPort"] == "9619"
    assert not seen.changes_nothing
    assert steps.made[0][2] == kind
    assert given_values(steps.made[0][5]) == {"CondorPort": "9619"}
    assert steps.done == ["images {'CondorPort': '9619'} amd64", "base yes", "change set"]


def test_a_preview_of_a_failed_creation_makes_no_change_set_yet(steps: Steps) -> None:
    seen = look(steps, a_stack("ROLLBACK_COMPLETE"))
    assert (seen.step, seen.change_set, seen.changes_nothing) == (Step.REPLACE_FAILED, None, False)
    assert steps.made == []


def test_a_stack_that_is_up_to_date_changes_nothing(steps: Steps) -> None:
    steps.change_set = None
    assert look(steps, a_stack("UPDATE_COMPLETE")).changes_nothing


def test_the_base_that_was_chosen_is_what_cloudformation_gets(steps: Steps) -> None:
    steps.base = Base("ami-newest")
    look(steps, None)
    assert given_values(steps.made[0][5]) == {"CondorPort": "9619", "BaseImage": "ami-newest"}


def test_a_base_that_was_given_stays(steps: Steps) -> None:
    steps.base = Base("ami-newest")
    look(steps, None, {"BaseImage": "ami-given"})
    assert given_values(steps.made[0][5]) == {"BaseImage": "ami-given"}
    assert "base yes" not in steps.done


def test_a_stack_of_a_newer_version_is_replaced_only_where_that_is_said(steps: Steps) -> None:
    newer = a_stack("UPDATE_COMPLETE", OURS, "99.0.0")
    with pytest.raises(UserError, match=r"99\.0\.0, which is newer"):
        look(steps, newer)
    assert steps.made == []
    assert look(steps, newer, allow_downgrade=True).step is Step.UPDATE


def values(**tags: str) -> list[ParameterValue]:
    """Return what the parameters of tags will be."""
    return [ParameterValue(name, value, "", "", Source.GIVEN) for name, value in tags.items()]


def test_a_new_stack_has_the_tags_of_its_parameters_and_none_without_any() -> None:
    assert stack_tags(None, values(Tag1="a=1", Tag2="", Tag3="b=")) == {"a": "1", "b": ""}
    assert stack_tags(None, values(Tag1="", CondorPort="9618")) is None


def test_an_update_changes_the_tags_of_its_parameters_and_leaves_those_that_others_gave() -> None:
    stack = replace(DONE, parameters={"Tag1": "a=1", "Tag2": "b=2"}, tags={"a": "1", "b": "2", "central": "it"})
    # As without --tag.
    assert stack_tags(stack, values(Tag1="a=1", Tag2="b=2")) is None
    assert stack_tags(stack, values(Tag1="a=3", Tag2="")) == {"a": "3", "central": "it"}
    assert stack_tags(stack, values(Tag1="", Tag2="")) == {"central": "it"}
