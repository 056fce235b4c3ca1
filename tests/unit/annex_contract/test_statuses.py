"""Everybody who reads the status of a stack reads the same out of it."""

from __future__ import annotations

from typing import get_args

import pytest
from mypy_boto3_cloudformation.literals import StackStatusType

from annex_bootstrap.doctor.check import Level
from annex_bootstrap.doctor.stack_checks import StackCheck
from annex_bootstrap.errors import UserError
from annex_bootstrap.stack import plan
from annex_bootstrap.stack.plan import Step
from annex_contract import __version__
from annex_contract.statuses import STATUSES, State, read_status
from tests.unit.annex_bootstrap.stack.sample_stack import a_stack


def test_the_table_has_every_status_that_cloudformation_knows() -> None:
    assert STATUSES.keys() == set(get_args(StackStatusType))


@pytest.mark.parametrize("status", get_args(StackStatusType))
def test_doctor_and_status_say_that_a_stack_is_deployed_exactly_where_a_deployment_updates_it(status: str) -> None:
    stack = a_stack(status, version=__version__)
    try:
        updates = plan.choose_step(stack, stack.name) is Step.UPDATE
    except UserError:
        updates = False
    finding = StackCheck(stack.name, stack, __version__).judge()
    assert (finding.level is Level.OK) == stack.is_deployed == updates


@pytest.mark.parametrize("status", get_args(StackStatusType))
def test_a_stack_is_followed_exactly_as_long_as_a_deployment_would_join_it(status: str) -> None:
    stack = a_stack(status)
    joins = read_status(status).state is State.IN_PROGRESS
    assert stack.in_progress == joins
    assert joins == (status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS")


def test_only_a_stack_that_is_stuck_needs_advice() -> None:
    assert all(bool(status.advice) == (status.state is State.STUCK) for status in STATUSES.values())


def test_a_status_of_tomorrow_is_left_to_a_person() -> None:
    with pytest.raises(UserError, match="is in NEW_STATUS: check it in the CloudFormation console, then try again"):
        plan.choose_step(a_stack("NEW_STATUS"), "annex-bootstrap")


def test_an_operation_begins_and_succeeds_with_the_statuses_that_cloudformation_gives_it_then() -> None:
    begins = {name for name, status in STATUSES.items() if status.begins}
    assert begins == {f"{operation}_IN_PROGRESS" for operation in ("CREATE", "UPDATE", "DELETE", "IMPORT")}
    assert {name for name, status in STATUSES.items() if status.succeeded} == {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
