"""What AWS says of a stack's annexes, and the line that starts a first one."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from annex_bootstrap.annexes import overview
from annex_bootstrap.annexes.overview import Overview, ask_overview, can_start, first_annex
from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.blocks import Section
from annex_bootstrap.pool.htcondor import Version
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.target import Target
from annex_contract.stack import Output
from tests.unit.annex_bootstrap.commands.conftest import a_stack, described
from tests.unit.recorded import Recorded

POLICY = {Output.START_POLICY_ARN: "arn:aws:iam::123456789012:policy/annex-bootstrap/start"}


def stack(outputs: dict[Output, str], name: str = "annex-bootstrap") -> Stack:
    named = {output.value: value for output, value in outputs.items()}
    return Stack("arn", name, "CREATE_COMPLETE", "", {}, named, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("version", [None, (9, 0, 0), (23, 9, 6), (25, 14, 1)])
def test_start_starts_it_with_every_htcondor_that_signs_tokens(version: Version | None) -> None:
    ((line, purpose),) = first_annex(stack(POLICY), Target(), version).items()
    assert line == "annex-bootstrap start my-first-annex --count 1"
    assert purpose == "rents one machine; needs the policy that StartPolicyARN names"


def test_the_line_names_the_stack_the_region_and_the_profile() -> None:
    (line,) = first_annex(stack(POLICY, "lab"), Target("lab", ("eu-west-1",), "me"), None)
    assert line == "annex-bootstrap start my-first-annex --count 1 --stack-name lab --region eu-west-1 --profile me"


@pytest.mark.parametrize(
    ("outputs", "version", "command"),
    [
        (POLICY, (8, 8, 0), "condor_annex"),
        ({}, None, "condor_annex"),
        ({}, (23, 9, 6), "condor_annex"),
        ({}, (25, 14, 1), "htcondor annex create"),
    ],
)
def test_without_an_image_of_ours_or_tokens_the_line_is_htcondors(
    outputs: dict[Output, str], version: Version | None, command: str
) -> None:
    (line,) = first_annex(stack(outputs), Target(), version)
    assert line.startswith(command)


@pytest.mark.parametrize(
    ("outputs", "version", "starts"),
    [
        (POLICY, None, True),
        (POLICY, (9, 0, 0), True),
        (POLICY, (8, 8, 0), False),
        ({}, None, False),
        ({}, (25, 14, 1), False),
    ],
)
def test_start_needs_an_image_of_ours_and_tokens(
    outputs: dict[Output, str], version: Version | None, starts: bool
) -> None:
    assert can_start(stack(outputs), version) is starts


SECTION = Section("annex-bootstrap", "1.0.0", "us-east-1")


def test_the_overview_has_the_stack_and_its_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    there = a_stack()
    lease = {"AnnexID": "first", "S3BucketName": "b", "LeaseExpiration": 5}
    arn = there.outputs[Output.LEASE_FUNCTION_ARN]
    aws = Recorded(
        DescribeStacks=described(there),
        ListRuleNamesByTarget={"RuleNames": ["first"]},
        ListTargetsByRule={"Targets": [{"Id": "first", "Arn": arn, "Input": json.dumps(lease)}]},
    )
    monkeypatch.setattr(overview, "open_session", lambda *_: None)
    monkeypatch.setattr(overview, "connect", lambda region, _: aws.account(region))
    seen = ask_overview(SECTION)
    assert (seen.stack, seen.error) == (there, "")
    assert [(each.annex_id, each.expiration) for each in seen.leases] == [("first", 5)]
    assert aws.of("DescribeStacks") == [{"StackName": "annex-bootstrap"}]
    assert aws.of("ListRuleNamesByTarget") == [{"TargetArn": arn}]


def test_an_overview_without_an_answer_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(region: str | None, profile: str | None) -> None:
        raise UserError(f"no credentials for {region} and {profile}")

    monkeypatch.setattr(overview, "open_session", fail)
    assert ask_overview(SECTION) == Overview(None, (), "no credentials for us-east-1 and None")
