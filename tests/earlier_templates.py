"""The templates of earlier versions, without their embedded code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from annex_contract import __version__
from template_gen.template import build

DIRECTORY = Path(__file__).parent / "data" / "earlier_templates"
CODE = "(code)"
"""What stands in place of a function's code."""

REPLACEABLE = {"AWS::Events::Rule", "AWS::Lambda::Permission"}
"""Types that an update may replace: wiring inside the stack, which nobody outside it knows and which holds nothing."""

VERSIONS = sorted(path.stem for path in DIRECTORY.glob("*.json"))


def read(version: str) -> dict[str, Any]:
    """Return the template of an earlier version, with ``CODE`` for the code of its functions."""
    template: dict[str, Any] = json.loads((DIRECTORY / f"{version}.json").read_text())
    return template


def with_current_code(template: dict[str, Any]) -> dict[str, Any]:
    """Return an earlier template with the code that its functions have today, what it may do, and what it reads."""
    built = build().to_dict()
    today = built["Resources"]
    resources = {
        title: resource | {"Properties": _with_code_of(resource["Properties"], today[title]["Properties"])}
        if _code_of(resource) is not None
        else today[title]
        if resource["Type"] == "AWS::IAM::RolePolicy"
        else resource
        for title, resource in template["Resources"].items()
    }
    return template | {"Mappings": built["Mappings"], "Resources": resources}


def _with_code_of(earlier: dict[str, Any], today: dict[str, Any]) -> dict[str, Any]:
    found = earlier | {"Code": today["Code"]}
    if "Environment" in today and "Environment" not in earlier:
        found["Environment"] = today["Environment"]
    return found


def add() -> None:
    """Write the template of this version, for the versions that come after it."""
    template = json.loads(build().to_json())
    for resource in template["Resources"].values():
        if _code_of(resource) is not None:
            resource["Properties"]["Code"] = {"ZipFile": CODE}
    del template["Mappings"]
    (DIRECTORY / f"{__version__}.json").write_text(json.dumps(template, indent=1, sort_keys=True) + "\n")


def _code_of(resource: dict[str, Any]) -> Any:
    return resource["Properties"].get("Code")
