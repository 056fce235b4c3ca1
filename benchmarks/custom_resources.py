"""Count the calls of each custom resource's Create where nothing goes wrong, and measure its function's cold start.

Run from a checkout: ``python -m benchmarks.custom_resources``. For the calls the functions' code runs in this process,
against the local AWS as its root; the account has the service-linked roles already, and machines and images take no
time. A cold start is a fresh process that compiles and imports the inline code and makes the client of the service; the
plain script only imports boto3 and makes it.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import boto3

from annex_bootstrap.launch.verify import read_code
from annex_bootstrap.stack.resolve import resolve
from annex_contract.resources import CUSTOM_RESOURCES, CustomResource
from annex_contract.stack import SPOT_SERVICE_LINKED_ROLES
from benchmarks.processes import Taken, run
from custom_resources.image_parts import name_of
from custom_resources.lifecycle import Request
from local_aws.launcher import local_aws
from local_aws.server_settings import MACHINES
from template_gen.template import build_text
from tests.stack_values import TEMPLATE, conditions_of, new_stack_id, values_of

NAMED_BY_CONTENT = "ImageBuilder"

SECRET = "0123456789abcdef" * 2

SERVICES = {"Bucket": "s3", "FleetRole": "iam", "InstanceRole": "iam"}
"""The service that a custom resource is of, where it is not EC2."""

COLD_START = "import index; from custom_resources.lifecycle import client; client({service!r})"
PLAIN = "import boto3; boto3.client({service!r})"


@cache
def calls_of_creations() -> Mapping[str, tuple[str, ...]]:
    """Return the operations of each custom resource's Create, in their order, by its logical ID."""
    stack_id = new_stack_id()
    values, conditions = values_of(stack_id, {}), conditions_of({})
    made: dict[str, tuple[str, ...]] = {}
    with _account() as session:
        calls: list[str] = []
        session.events.register("before-call", lambda model, **_: calls.append(model.name))
        # An image is made of the machine that its builder left.
        for resource in sorted(CUSTOM_RESOURCES, key=lambda resource: resource.logical_id):
            properties = resolve(TEMPLATE[resource.logical_id]["Properties"], values, conditions)
            name = _name(resource, properties)
            # With the secret that the builder's console proves itself by.
            request = Request(stack_id, resource.logical_id, "1", name, properties, math.inf, secret=SECRET)
            calls.clear()
            importlib.import_module(f"custom_resources.{resource.module}").put(request)
            made[resource.logical_id] = tuple(calls)
    return made


def _name(resource: CustomResource, properties: Mapping[str, str]) -> str:
    return name_of(properties) if resource.logical_id == NAMED_BY_CONTENT else properties[resource.name_property]


@contextmanager
def _account() -> Iterator[boto3.Session]:
    """Give the session that the functions' code uses from now on, as the root of a local AWS of its own."""
    before = dict(os.environ)
    try:
        with local_aws() as local:
            os.environ.update(local.environ(local.root))
            boto3.setup_default_session()
            session = boto3.DEFAULT_SESSION
            assert session is not None
            settings = json.dumps({"seconds": 0, "image_seconds": 0})
            session.client("ssm").put_parameter(Name=MACHINES, Type="String", Value=settings)
            iam = session.client("iam")
            for service in SPOT_SERVICE_LINKED_ROLES.values():
                iam.create_service_linked_role(AWSServiceName=service)
            yield session
    finally:
        boto3.DEFAULT_SESSION = None
        os.environ.clear()
        os.environ.update(before)


@cache
def cold_starts() -> Mapping[str, tuple[Taken, Taken]]:
    """Return what a cold start and the plain script take, by the custom resource's logical ID."""
    found = {}
    sources = read_code(build_text())
    for logical_id in calls_of_creations():
        service = SERVICES.get(logical_id, "ec2")
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, "index.py").write_text(sources[f"{logical_id}Function"])
            environ = {
                "PATH": os.environ["PATH"],
                "AWS_DEFAULT_REGION": "us-east-1",
                # Lambda compiles the inline code at every cold start.
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONPATH": directory,
            }
            codes = (code.format(service=service) for code in (COLD_START, PLAIN))
            ours, plain = (run(["-c", code], environ) for code in codes)
            found[logical_id] = ours, plain
    return found


def table() -> str:
    """Return the calls and the cold starts as Markdown."""
    heads = ["custom resource", "busy ms of a cold start", "plain script", "ratio", "calls", "in this order"]
    lines = [f"| {' | '.join(heads)} |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    for logical_id, calls in calls_of_creations().items():
        ours, plain = cold_starts()[logical_id]
        lines.append(
            f"| {logical_id} | {ours.busy * 1000:.0f} | {plain.busy * 1000:.0f} | {ours.busy / plain.busy:.2f} "
            f"| {len(calls)} | {', '.join(calls)} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
