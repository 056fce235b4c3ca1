"""There are words for everything that a stack has, and for nothing else."""

from __future__ import annotations

import re

import pytest

from annex_bootstrap.words import IMAGE_TIME, SUMMARIES, TYPES, Words, open_ports
from annex_contract.resources import CUSTOM_RESOURCES
from template_gen.template import build
from tests.stack_values import TEMPLATE


def test_every_resource_type_of_the_template_has_its_words_and_no_other() -> None:
    assert TYPES.keys() == {resource["Type"] for resource in TEMPLATE.values()}


def test_every_summary_is_of_a_resource_of_the_template() -> None:
    assert SUMMARIES.keys() <= TEMPLATE.keys()


def test_every_custom_resource_has_a_name_to_call_it_by() -> None:
    assert [resource for resource in CUSTOM_RESOURCES if not TYPES[resource.resource_type].name] == []


def test_a_short_cost_leaves_the_reasons_out() -> None:
    assert Words("a thing", "About a cent, an estimate: of something").short_cost == "about a cent"
    assert Words("a thing").short_cost == "nothing"


@pytest.mark.parametrize(
    ("condor", "ssh", "lines"),
    [
        ("", "", ["no port of the machines"]),
        ("192.0.2.0/24, 2001:db8::/32", "", ["machines' port 9618 (HTCondor) to 192.0.2.0/24, 2001:db8::/32"]),
        ("", "192.0.2.0/24,::/0", ["machines' port 22 (SSH) to everyone on the Internet (192.0.2.0/24, ::/0)"]),
        (
            "0.0.0.0/0",
            "192.0.2.1/32",
            [
                "machines' port 9618 (HTCondor) to everyone on the Internet (0.0.0.0/0)",
                "machines' port 22 (SSH) to 192.0.2.1/32",
            ],
        ),
    ],
)
def test_each_open_port_is_named_with_whom_it_is_open_to(condor: str, ssh: str, lines: list[str]) -> None:
    assert open_ports({"CondorPort": "9618", "CondorCidrs": condor, "SshCidrs": ssh}) == lines


def test_the_template_says_the_same_time_for_the_image() -> None:
    assert re.findall("[0-9]+ to [0-9]+", IMAGE_TIME) == re.findall(
        "it takes ([0-9]+ to [0-9]+) minutes", build().to_dict()["Parameters"]["Image"]["Description"]
    )
