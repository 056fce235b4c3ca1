"""The list of the doctor's checks."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest

from annex_bootstrap import doctor
from annex_bootstrap.advice import POLICY
from annex_bootstrap.aws import Account
from annex_bootstrap.doctor import check as check_module
from annex_bootstrap.doctor.check import Check, Level, Setup
from annex_bootstrap.doctor.registry import CHECKS, examine
from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.blocks import Block, Section, render_block
from tests.unit.annex_bootstrap.commands.conftest import OUTPUTS, a_stack

DOCS = Path(__file__).parents[4] / "docs" / "doctor.md"


def test_every_check_is_in_the_list() -> None:
    classes = [
        item
        for module in pkgutil.iter_modules(doctor.__path__, f"{doctor.__name__}.")
        for _, item in inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        if issubclass(item, Check) and "id" in vars(item)
    ]
    assert set(CHECKS) == set(classes)
    assert len(CHECKS) == len({check.id for check in CHECKS})


def test_the_docs_list_every_check_with_what_it_checks() -> None:
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \|", DOCS.read_text(), re.MULTILINE))
    assert rows == {check.id: check.subject for check in CHECKS}
    assert [*rows] == [check.id for check in CHECKS]


def test_a_check_that_cannot_read_its_facts_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise UserError("made up")

    for check in CHECKS:
        monkeypatch.setattr(check, "read", refuse)
    findings = list(examine(Setup(Account(boto3.Session(), "us-east-1"), "s", Path("c"))))
    assert [finding.id for finding in findings] == [check.id for check in CHECKS]
    assert {(finding.level, finding.detail, finding.advice) for finding in findings} == {
        (Level.PROBLEM, "it cannot be checked", "made up")
    }


@pytest.mark.parametrize(
    ("own", "shared", "only_starts"),
    [
        ([], [], False),
        ([], [("lab", "us-east-1")], True),
        ([("lab", "us-east-1")], [("lab", "us-east-1")], False),
        ([("mine", "us-east-1")], [("lab", "us-east-1")], True),
        ([], [("lab", "eu-west-1")], False),
        ([], [("other", "us-east-1")], False),
    ],
)
def test_who_has_set_up_nothing_and_starts_annexes_gets_only_the_checks_for_that(
    monkeypatch: pytest.MonkeyPatch,
    own: list[tuple[str, str]],
    shared: list[tuple[str, str]],
    only_starts: bool,
) -> None:
    sections = [Section(name, "1", region) for name, region in shared]
    monkeypatch.setattr(check_module, "shared_sections", lambda: sections)
    made = Setup(Account(boto3.Session(), "us-east-1"), "lab", Path("c"))
    content = render_block(Block(tuple(Section(name, "1", region) for name, region in own))).encode()
    vars(made)["content"] = content
    for check in CHECKS:
        monkeypatch.setattr(check, "read", lambda _, check=check: SimpleNamespace(judge=lambda: check.ok("")))
    ids = [finding.id for finding in examine(made)]
    for_starters = ["aws-credentials", "vcpu-quota", "stack", "right-to-start", "htcondor", "pool-users", "collector"]
    assert ids == (for_starters if only_starts else [check.id for check in CHECKS])


def test_who_only_starts_annexes_asks_for_the_policy_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise UserError(f"ask for {POLICY}")

    made = Setup(Account(boto3.Session(), "us-east-1"), "lab", Path("c"))
    for check in CHECKS:
        monkeypatch.setattr(check, "read", refuse)
    for only_starts, asks in ((True, "StartPolicyARN"), (False, "the policy of this command")):
        vars(made)["only_starts"] = only_starts
        assert all(asks in finding.advice for finding in examine(made))


def test_who_has_a_configuration_that_cannot_be_read_has_set_something_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_module, "shared_sections", lambda: [Section("lab", "1", "us-east-1")])
    made = Setup(Account(boto3.Session(), "us-east-1"), "lab", Path("c"))
    damaged = render_block(Block((Section("lab", "1", "us-east-1"),))).replace("ANNEX_DEFAULT_AWS_REGION", "X")
    vars(made)["content"] = damaged.encode()
    assert not made.only_starts


def test_those_who_only_start_annexes_believe_the_outputs_as_start_does() -> None:
    stack = a_stack(parameters={"BucketName": OUTPUTS["S3BucketName"]})
    made = Setup(Account(boto3.Session(), "us-east-1"), "lab", Path("c"))
    vars(made).update({"stack": stack, "only_starts": True})
    assert made.wrong_output == ""
    assert made.deployed == stack
