"""A stack of an earlier version updates to this one: nothing of it disappears, and nothing but wiring is replaced."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from annex_contract.resources import BY_TYPE
from template_gen.names import made
from tests.earlier_versions import PINNED, REPLACEABLE, template_of, versions
from tests.template import template

TODAY = template()

each_version = pytest.mark.parametrize("version", versions())


def read(version: str) -> dict[str, Any]:
    """Return the template of an earlier version."""
    template: dict[str, Any] = json.loads(template_of(version))
    return template


def replacing_properties(resource_type: str) -> set[str]:
    """Return the properties whose change makes CloudFormation replace a resource of a type."""
    if resource_type in BY_TYPE:
        return set(BY_TYPE[resource_type].replacing)
    # It loads slowly, and most tests need none of it.
    from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]  # it has no types

    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource_type).schema
    return {path.split("/")[2] for path in schema.get("createOnlyProperties", [])}


def test_the_earlier_versions_are_the_tagged_ones_and_the_pinned_ones() -> None:
    command = ["git", "tag", "--no-contains", "HEAD"]
    tags = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    assert versions() == [*(tag for tag in tags.stdout.split() if tag.startswith("v")), *PINNED]


def test_an_earlier_version_is_built_from_its_own_code() -> None:
    assert "Image" not in read("0.1.0")["Parameters"]


@each_version
def test_this_version_has_a_number_of_its_own(version: str) -> None:
    """Without another number, CloudFormation would not call the functions of custom resources on an update."""
    assert read(version)["Outputs"]["Version"]["Value"] != TODAY["Outputs"]["Version"]["Value"]


def test_a_checkout_without_the_history_fails_with_what_to_do(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    with pytest.raises(pytest.fail.Exception, match=r"git fetch --unshallow --tags") as failed:
        template_of("0.1.0", tmp_path)
    assert PINNED["0.1.0"] in str(failed.value)


@each_version
def test_every_resource_of_an_earlier_version_is_still_there_with_its_type(version: str) -> None:
    earlier = read(version)["Resources"]
    types = {title: resource["Type"] for title, resource in TODAY["Resources"].items()}
    # Functions' roles have other names, which leave more room for a stack's.
    kept = {title: resource["Type"] for title, resource in earlier.items() if resource["Type"] != "AWS::IAM::Role"}
    assert kept.items() <= types.items()


@each_version
@pytest.mark.parametrize("part", ["Outputs", "Parameters", "Conditions"])
def test_every_output_parameter_and_condition_of_an_earlier_version_is_still_there(version: str, part: str) -> None:
    assert read(version)[part].keys() <= TODAY[part].keys()


def _with_an_earlier_boundary(node: Any) -> Any:
    """Return a part of the template as it is for a stack without a boundary of its own, which no earlier one has."""
    match node:
        case {"Fn::If": ["HasOwnBoundary", _, otherwise]}:
            return otherwise
        case dict():
            return {key: _with_an_earlier_boundary(inner) for key, inner in node.items()}
        case list():
            return [_with_an_earlier_boundary(inner) for inner in node]
    return node


@each_version
def test_an_update_from_an_earlier_version_replaces_nothing_but_wiring_and_the_image(version: str) -> None:
    for title, resource in read(version)["Resources"].items():
        for name in replacing_properties(resource["Type"]) if resource["Type"] not in REPLACEABLE else ():
            today = _with_an_earlier_boundary(TODAY["Resources"][title]["Properties"])
            same = made(today.get(name)).to_dict()
            match same:
                # No earlier version put a function into a VPC.
                case {"Fn::If": ["HasConnectivityVpc", _, {"Ref": "AWS::NoValue"}]}:
                    same = None
            assert resource["Properties"].get(name) == same, f"{title} would be replaced: {name} changed"
