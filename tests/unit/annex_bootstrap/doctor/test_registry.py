"""The list of the doctor's checks."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import boto3
import pytest

from annex_bootstrap.aws import Account
from annex_bootstrap.doctor import (
    account_checks,
    file_checks,
    function_checks,
    machine_checks,
    pool_checks,
    role_checks,
    stack_checks,
)
from annex_bootstrap.doctor.check import Check, Level, Setup
from annex_bootstrap.doctor.registry import CHECKS, examine
from annex_bootstrap.errors import UserError

DOCS = Path(__file__).parents[4] / "docs" / "doctor.md"


def test_every_check_is_in_the_list() -> None:
    classes = [
        item
        for module in (
            account_checks,
            file_checks,
            function_checks,
            machine_checks,
            pool_checks,
            role_checks,
            stack_checks,
        )
        for _, item in inspect.getmembers(module, inspect.isclass)
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
