"""The archives: what their functions load, no more and no less, and the functions' own tests on what is embedded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from template_gen.archive import ROOT, Archive, files_of
from template_gen.functions import ARCHIVES, CONNECTIVITY, CUSTOM_RESOURCES, LEASE
from tests.archives import loader_of
from tests.unit.lambda_lease.fake_aws import BUCKET, PROFILE, STACK_ID

FUNCTIONS = {
    CUSTOM_RESOURCES.title: "BucketFunction",
    LEASE.title: "LeaseFunction",
    CONNECTIVITY.title: "ConnectivityFunction",
}
"""A function that has the archive, by its title."""

LOAD = """
import importlib, json
for name in {modules!r}:
    importlib.import_module(name)
embedded = [module for module in sys.modules.values() if type(getattr(module, "__loader__", None)) is Archive]
print(json.dumps([module.__spec__.origin for module in embedded]))
"""

BEFORE_EXPIRY = """
from types import SimpleNamespace
from lambda_lease.handler import handler
event = {"AnnexID": "test", "S3BucketName": "", "LeaseExpiration": 9999999999}
context = SimpleNamespace(
    aws_request_id="r", function_name="f", memory_limit_in_mb=128, invoked_function_arn="arn:aws:lambda:::function:f"
)
assert handler(event, context)["decision"] == "wait"
sdk = ("boto3", "botocore", "s3transfer", "urllib3", "concurrent")
print(sorted(name for name in sys.modules if name.partition(".")[0] in sdk), file=sys.stderr)
"""

RUN_TESTS = """
import pytest, lambda_lease.handler, aws_lambda_powertools.metrics.base
embedded = lambda_lease.handler, aws_lambda_powertools.metrics.base
assert all(type(module.__loader__) is Archive for module in embedded)
sys.exit(pytest.main({arguments!r}))
"""


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.title)
def test_an_archive_holds_the_modules_that_its_functions_load_and_no_others(archive: Archive) -> None:
    files = files_of(archive)
    # Our own modules are all of use; of a library those are that the own ones load.
    own = [_module(path) for path in sorted(files) if path.endswith(".py") and (ROOT / path).is_file()]
    done = subprocess.run(
        [sys.executable, "-I", "-"],
        input=loader_of(FUNCTIONS[archive.title]) + LOAD.format(modules=own),
        env={"AWS_DEFAULT_REGION": "us-east-1", "POWERTOOLS_METRICS_NAMESPACE": "Test"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(json.loads(done.stdout)) == {path for path in files if path.endswith(".py")}


def test_before_expiry_a_tick_loads_no_sdk(tmp_path: Path) -> None:
    environ = {
        "BUCKET_NAME": BUCKET,
        "INSTANCE_PROFILE_ARN": PROFILE,
        "STACK_ID": STACK_ID,
        "AWS_LAMBDA_FUNCTION_NAME": "lease",
        "POWERTOOLS_METRICS_NAMESPACE": "annex-bootstrap",
        "POWERTOOLS_SERVICE_NAME": "lease",
    }
    done = subprocess.run(
        [sys.executable, "-"],
        input=loader_of("LeaseFunction") + BEFORE_EXPIRY,
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("tests", ["test_handler.py", "test_sweeper.py"])
def test_what_is_embedded_passes_the_lease_functions_own_tests(tests: str, tmp_path: Path) -> None:
    arguments = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        str(ROOT / "tests" / "unit" / "lambda_lease" / tests),
    ]
    done = subprocess.run(
        [sys.executable, "-"],
        input=loader_of("LeaseFunction")
        + RUN_TESTS.format(arguments=[*arguments, "--basetemp", str(tmp_path / "base")]),
        cwd=ROOT,
        env=os.environ | {"PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
