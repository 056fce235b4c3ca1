"""The deployer's policy against CloudFormation's own registry, which says what each resource type's handlers call."""

from __future__ import annotations

import pytest

from annex_bootstrap.policies.deployer import deployer_policy
from tests.handler_schemas import HANDLERS, NOT_TRIGGERED, listed, needed
from tests.template import template


def granted() -> set[str]:
    policy = deployer_policy("aws", "123456789012", "annex-bootstrap")
    return {action for statement in policy["Statement"] for action in statement["Action"]}


def native_types() -> list[str]:
    types = {resource["Type"] for resource in template()["Resources"].values()}
    return sorted(name for name in types if not name.startswith("Custom::"))


@pytest.mark.parametrize("resource_type", native_types())
def test_the_deployer_may_make_and_tag_what_the_template_has(resource_type: str) -> None:
    assert sorted(needed(resource_type, *HANDLERS) - granted()) == []


def test_nothing_counts_as_not_triggered_that_no_handler_calls_or_that_is_granted() -> None:
    called = {action for name in native_types() for action in listed(name, *HANDLERS)}
    for feature, actions in NOT_TRIGGERED.items():
        assert sorted(actions - called) == [], feature
        assert sorted(actions & granted()) == [], feature
