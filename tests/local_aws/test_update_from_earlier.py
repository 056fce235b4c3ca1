"""A stack that an earlier version made is updated to this one and keeps all that it made."""

from __future__ import annotations

import json
from collections.abc import Callable

import boto3
import pytest

from tests import earlier_templates
from tests.local_aws import stack


@pytest.mark.parametrize("version", earlier_templates.VERSIONS)
def test_a_stack_of_an_earlier_version_updates_to_this_one_in_place(
    root: boto3.Session, template: str, put_template: Callable[[str], str], version: str
) -> None:
    earlier = earlier_templates.with_current_code(earlier_templates.read(version))
    name = f"from-{version.replace('.', '-')}"
    with stack.deployed(root, name, put_template(json.dumps(earlier))) as made:
        before = _physical_ids(root, name)
        assert stack.update(root, name, put_template(template), {}) == "UPDATE_COMPLETE", stack.reasons(root, name)
        after = _physical_ids(root, name)
        assert before.items() <= after.items()
        outputs = stack.describe(root, name).outputs
        assert {key: value for key, value in outputs.items() if key in made.outputs and key != "Version"} == {
            key: value for key, value in made.outputs.items() if key != "Version"
        }
        functions = root.client("lambda")
        for title, physical_id in after.items():
            built = json.loads(template)["Resources"][title]
            if built["Type"] == "AWS::Lambda::Function":
                described = functions.get_function_configuration(FunctionName=physical_id)["Description"]
                assert described == built["Properties"]["Description"]


def _physical_ids(root: boto3.Session, name: str) -> dict[str, str]:
    pages = root.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
    return {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in pages
        for resource in page["StackResourceSummaries"]
        if resource["ResourceType"] not in earlier_templates.REPLACEABLE
    }
