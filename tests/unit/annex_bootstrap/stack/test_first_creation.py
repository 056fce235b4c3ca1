"""What a first creation's preview says."""

from __future__ import annotations

import pytest

from annex_bootstrap.stack import first_creation
from annex_bootstrap.stack.artefact import built_template, parse_template
from annex_bootstrap.stack.parameters import effective_parameters
from annex_bootstrap.stack.plan import Change

TEMPLATE = parse_template(built_template())
ALL = [Change("Add", name, resource["Type"]) for name, resource in TEMPLATE["Resources"].items()]


def preview(given: dict[str, str]) -> list[str]:
    return first_creation.describe(ALL, effective_parameters(TEMPLATE, None, given))


def test_every_line_fits_into_eighty_columns_with_its_indent() -> None:
    assert [line for line in preview({}) if len(f"  {line}") > 80] == []


def test_it_says_what_is_made_and_what_costs_without_an_annex() -> None:
    lines = preview({})
    assert lines[0] == f"creates {len(ALL)} resources, among them"
    assert "  - private bucket for pool configurations" in lines
    assert "  - role for spot fleets" in lines
    assert any(line.startswith("  - the image: about $0.15 a month, an estimate: ") for line in lines)
    assert set(first_creation.PLAIN) <= TEMPLATE["Resources"].keys()


def test_it_says_how_long_it_takes_with_and_without_the_image() -> None:
    assert preview({})[-1] == "takes about 2 minutes, and 5 to 15 for the image (an estimate)"
    without = [change for change in ALL if change.resource != "MachineImage"]
    lines = first_creation.describe(without, effective_parameters(TEMPLATE, None, {}))
    assert lines[-1] == "takes about 2 minutes (an estimate)"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "  - port 9618 (HTCondor) to everyone on the Internet (0.0.0.0/0)"),
        (
            {"CondorCidrs": "192.0.2.0/24, ::/0"},
            "  - port 9618 (HTCondor) to everyone on the Internet (192.0.2.0/24, ::/0)",
        ),
        ({"CondorCidrs": "192.0.2.0/24", "CondorPort": "9619"}, "  - port 9619 (HTCondor) to 192.0.2.0/24"),
        ({"SshCidrs": ""}, "  - port 22 (SSH) to nobody"),
    ],
)
def test_it_says_which_ports_open_to_whom(given: dict[str, str], expected: str) -> None:
    assert expected in preview(given)
