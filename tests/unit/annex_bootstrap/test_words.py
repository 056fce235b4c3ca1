"""There are words for everything that a stack has, and for nothing else."""

from __future__ import annotations

from annex_bootstrap.words import SUMMARIES, TYPES
from annex_contract.resources import CUSTOM_RESOURCES
from tests.stack_values import TEMPLATE


def test_every_resource_type_of_the_template_has_its_words_and_no_other() -> None:
    assert TYPES.keys() == {resource["Type"] for resource in TEMPLATE.values()}


def test_every_summary_is_of_a_resource_of_the_template() -> None:
    assert SUMMARIES.keys() <= TEMPLATE.keys()


def test_every_custom_resource_has_a_name_to_call_it_by() -> None:
    assert [resource for resource in CUSTOM_RESOURCES if not TYPES[resource.resource_type].name] == []
