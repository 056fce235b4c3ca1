"""A stack of an earlier version updates to this one: nothing of it disappears, and nothing but wiring is replaced."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]  # it has no types

from annex_contract.resources import BY_TYPE
from template_gen.template import build
from tests import earlier_templates
from tests.earlier_templates import REPLACEABLE

TODAY: dict[str, Any] = json.loads(build().to_json())

each_version = pytest.mark.parametrize("version", earlier_templates.VERSIONS)


def replacing_properties(resource_type: str) -> set[str]:
    """Return the properties whose change makes CloudFormation replace a resource of a type."""
    if resource_type in BY_TYPE:
        return set(BY_TYPE[resource_type].replacing)
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource_type).schema
    return {path.split("/")[2] for path in schema.get("createOnlyProperties", [])}


def test_there_is_an_earlier_version() -> None:
    assert "0.1.0" in earlier_templates.VERSIONS


@each_version
def test_every_resource_of_an_earlier_version_is_still_there_with_its_type(version: str) -> None:
    earlier = earlier_templates.read(version)["Resources"]
    types = {title: resource["Type"] for title, resource in TODAY["Resources"].items()}
    assert {title: resource["Type"] for title, resource in earlier.items()}.items() <= types.items()


@each_version
@pytest.mark.parametrize("part", ["Outputs", "Parameters", "Conditions"])
def test_every_output_parameter_and_condition_of_an_earlier_version_is_still_there(version: str, part: str) -> None:
    assert earlier_templates.read(version)[part].keys() <= TODAY[part].keys()


@each_version
def test_an_update_from_an_earlier_version_replaces_nothing_but_wiring(version: str) -> None:
    for title, resource in earlier_templates.read(version)["Resources"].items():
        for name in replacing_properties(resource["Type"]) if resource["Type"] not in REPLACEABLE else ():
            today = TODAY["Resources"][title]["Properties"]
            assert resource["Properties"].get(name) == today.get(name), f"{title} would be replaced: {name} changed"
