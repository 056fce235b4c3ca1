"""What the connectivity function's answers mean."""

from __future__ import annotations

import io
import json

import boto3
import pytest
from botocore.stub import Stubber

from annex_bootstrap.stack.connectivity import Reach, reach
from annex_contract.stack import Output


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"success": "1", "result": "abc", "description": ""}, Reach("abc", "")),
        ({"success": "0", "result": "", "description": "Open this port."}, Reach("", "Open this port.")),
        ({"errorMessage": "boom"}, Reach("", "boom")),
        ({}, Reach("", "the connectivity function gave no answer")),
    ],
)
def test_every_answer_but_a_success_is_a_problem(answer: dict[str, str], expected: Reach) -> None:
    functions = boto3.Session("made", "up", region_name="us-east-1").client("lambda")
    with Stubber(functions) as stub:
        stub.add_response("invoke", {"Payload": io.BytesIO(json.dumps(answer).encode())})
        assert reach(functions, {Output.CONNECTIVITY_FUNCTION_ARN: "f"}, "h", 1) == expected
