"""A function of a custom resource answers CloudFormation also where its code cannot be loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from annex_bootstrap.launch.verify import read_code
from annex_contract.resources import CUSTOM_RESOURCES
from template_gen.template import build_text

CODE = read_code(build_text())

RUN = """
import io, json, sys
missing, event, code = json.load(sys.stdin)
if missing:
    sys.modules[missing] = None
import urllib.request
urllib.request.urlopen = lambda request: print(json.dumps([request.full_url, json.loads(request.data)]))
function = {"__name__": "index"}
exec(code, function)
function["handler"](event, None)
"""
"""Python's own way to say that a module is not there: None in its place."""

EVENT = {
    "RequestType": "Create",
    "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/test/made-up",
    "RequestId": "request",
    "LogicalResourceId": "Bucket",
    "ResponseURL": "https://response.example.org/made-up",
}


def answer(function: str, missing: str, event: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return where a function of the template sends what, on a Python that lacks a module."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUN],
        input=json.dumps([missing, event, CODE[function]]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    url, body = json.loads(done.stdout)
    return url, body


@pytest.mark.parametrize("function", [f"{resource.logical_id}Function" for resource in CUSTOM_RESOURCES])
@pytest.mark.parametrize("missing", ["bz2", "_bz2", "boto3", "importlib.machinery", "threading"])
def test_whatever_is_missing_cloudformation_is_answered(function: str, missing: str) -> None:
    url, body = answer(function, missing, EVENT)
    assert url == EVENT["ResponseURL"]
    assert body["Status"] == "FAILED"
    assert missing.removeprefix("_") in body["Reason"]
    assert {key: body[key] for key in ("StackId", "RequestId", "LogicalResourceId")} == {
        key: EVENT[key] for key in ("StackId", "RequestId", "LogicalResourceId")
    }


def test_what_was_never_made_is_deleted_although_nothing_can_be_loaded() -> None:
    _, body = answer("BucketFunction", "bz2", EVENT | {"RequestType": "Delete", "PhysicalResourceId": "never-made"})
    assert (body["Status"], body["PhysicalResourceId"]) == ("SUCCESS", "never-made")


def test_what_was_made_is_not_said_to_be_deleted() -> None:
    _, body = answer("BucketFunction", "bz2", EVENT | {"RequestType": "Delete", "PhysicalResourceId": "a-bucket"})
    assert (body["Status"], body["PhysicalResourceId"]) == ("FAILED", "a-bucket")
