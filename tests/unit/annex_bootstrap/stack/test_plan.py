"""What a deployment decides, over every status that a stack can have."""

from __future__ import annotations

import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mypy_boto3_cloudformation.literals import StackStatusType

from annex_bootstrap.errors import UserError
from annex_bootstrap.stack import plan
from annex_bootstrap.stack.plan import Step
from annex_contract.statuses import State, read_status
from tests.unit.annex_bootstrap.stack.sample_stack import TEMPLATE, a_stack

STATUSES = get_args(StackStatusType)

STEPS: dict[str, Step | str] = {
    "REVIEW_IN_PROGRESS": Step.CREATE,
    "DELETE_COMPLETE": Step.CREATE,
    "CREATE_FAILED": Step.REPLACE_FAILED,
    "ROLLBACK_COMPLETE": Step.REPLACE_FAILED,
    "ROLLBACK_FAILED": Step.REPLACE_FAILED,
    "CREATE_COMPLETE": Step.UPDATE,
    "UPDATE_COMPLETE": Step.UPDATE,
    "UPDATE_ROLLBACK_COMPLETE": Step.UPDATE,
    "IMPORT_COMPLETE": Step.UPDATE,
    "IMPORT_ROLLBACK_COMPLETE": Step.UPDATE,
    "CREATE_IN_PROGRESS": Step.JOIN,
    "ROLLBACK_IN_PROGRESS": Step.JOIN,
    "DELETE_IN_PROGRESS": Step.JOIN,
    "UPDATE_IN_PROGRESS": Step.JOIN,
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": Step.JOIN,
    "UPDATE_ROLLBACK_IN_PROGRESS": Step.JOIN,
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": Step.JOIN,
    "IMPORT_IN_PROGRESS": Step.JOIN,
    "IMPORT_ROLLBACK_IN_PROGRESS": Step.JOIN,
    "UPDATE_FAILED": "choose 'Roll back' in the CloudFormation console",
    "UPDATE_ROLLBACK_FAILED": "choose 'Continue update rollback' in the CloudFormation console",
    "IMPORT_ROLLBACK_FAILED": "end the import in the CloudFormation console",
    "DELETE_FAILED": "run annex-bootstrap delete",
}


def test_every_status_that_cloudformation_knows_is_decided_on() -> None:
    assert STEPS.keys() == set(STATUSES)


def test_where_there_is_no_stack_one_is_created() -> None:
    assert plan.choose_step(None, "annex-bootstrap") is Step.CREATE


@pytest.mark.parametrize("status", STATUSES)
def test_the_step_follows_from_the_status(status: str) -> None:
    expected = STEPS[status]
    if isinstance(expected, Step):
        assert plan.choose_step(a_stack(status), "annex-bootstrap") is expected
    else:
        with pytest.raises(UserError, match=f"annex-bootstrap is in {status}: {re.escape(expected)}.*, then try again"):
            plan.choose_step(a_stack(status), "annex-bootstrap")


@given(st.sampled_from(STATUSES), st.dictionaries(st.text(), st.text()))
def test_a_stack_that_is_not_ours_is_never_touched(status: str, parameters: dict[str, str]) -> None:
    stack = a_stack(status, parameters)
    if read_status(status).state is State.ABSENT:
        assert plan.choose_step(stack, "mine") is Step.CREATE
    else:
        with pytest.raises(UserError, match="mine was not made by annex-bootstrap"):
            plan.choose_step(stack, "mine")


def test_our_template_has_the_parameters_by_which_its_stacks_are_known() -> None:
    assert a_stack("CREATE_COMPLETE", dict.fromkeys(TEMPLATE["Parameters"], "")).is_ours


versions = st.tuples(*[st.integers(0, 99)] * 3)


@given(versions, versions)
def test_only_a_newer_stack_is_refused_and_only_unless_allowed(theirs: tuple[int, ...], ours: tuple[int, ...]) -> None:
    stack = a_stack("CREATE_COMPLETE", version=".".join(map(str, theirs)))
    version = ".".join(map(str, ours))
    plan.check_version(stack, version, "annex-bootstrap", allow_downgrade=True)
    if theirs > ours:
        with pytest.raises(UserError, match=r"which is newer than this .*, or give --allow-downgrade"):
            plan.check_version(stack, version, "annex-bootstrap")
    else:
        plan.check_version(stack, version, "annex-bootstrap")
