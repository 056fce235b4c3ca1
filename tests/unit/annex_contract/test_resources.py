"""The records of the custom resources are those of the template, and each has a function that serves it."""

from __future__ import annotations

import importlib

import pytest

from annex_contract.resources import BY_TYPE, CUSTOM_RESOURCES, CustomResource
from annex_contract.stack import Part, function_of
from template_gen import custom
from tests.stack_values import TEMPLATE

COMMON = {"ServiceToken", "ServiceTimeout", "Version"}

each_resource = pytest.mark.parametrize("resource", CUSTOM_RESOURCES, ids=lambda resource: resource.logical_id)


def test_there_is_a_record_for_every_custom_resource_of_the_template() -> None:
    types = {title: made["Type"] for title, made in TEMPLATE.items() if made["Type"].startswith("Custom::")}
    assert types == {resource.logical_id: resource.resource_type for resource in CUSTOM_RESOURCES}
    assert list(BY_TYPE.values()) == list(CUSTOM_RESOURCES)


@each_resource
def test_a_record_has_the_properties_of_the_template_and_what_replaces_is_among_them(resource: CustomResource) -> None:
    properties = TEMPLATE[resource.logical_id]["Properties"]
    assert properties.keys() - COMMON == resource.properties.keys()
    assert resource.replacing <= resource.properties.keys()


@each_resource
def test_every_attribute_can_be_read_and_no_other(resource: CustomResource) -> None:
    for attribute in resource.attributes:
        assert custom.get(resource, attribute).to_dict() == {"Fn::GetAtt": [resource.logical_id, attribute]}
    for other in CUSTOM_RESOURCES:
        for attribute in set(other.attributes) - set(resource.attributes):
            with pytest.raises(ValueError, match=f"{resource.logical_id} has no attribute {attribute}"):
                custom.get(resource, attribute)


@each_resource
def test_a_module_of_custom_resources_serves_it(resource: CustomResource) -> None:
    assert callable(importlib.import_module(f"custom_resources.{resource.module}").handler)


@each_resource
def test_every_custom_resource_has_the_log_that_is_read_when_it_fails(resource: CustomResource) -> None:
    function = function_of(resource.logical_id)
    assert TEMPLATE[resource.logical_id]["Properties"]["ServiceToken"]["Fn::GetAtt"][0] == function
    assert TEMPLATE[Part.LOGS.of(function)]["Type"] == "AWS::Logs::LogGroup"
