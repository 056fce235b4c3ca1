"""Count the calls with which each custom resource is created where nothing goes wrong.

Run from a checkout: ``python -m benchmarks.custom_resources``. The code of the functions runs in this process, against
the local AWS as its root; the account has the service-linked roles already, and machines and images take no time.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache

import boto3

from annex_contract.resources import CUSTOM_RESOURCES, CustomResource
from annex_contract.stack import SPOT_SERVICE_LINKED_ROLES
from custom_resources.image_parts import name_of
from custom_resources.lifecycle import Request
from docs_gen.resolve import resolve
from local_aws.launcher import local_aws
from local_aws.server_settings import MACHINES
from tests.stack_values import TEMPLATE, conditions_of, new_stack_id, values_of

NAMED_BY_CONTENT = "ImageBuilder"


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
            request = Request(
                stack_id, resource.logical_id, "request", _name(resource, properties), properties, math.inf
            )
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


def table() -> str:
    """Return the calls as Markdown."""
    lines = [
        f"| {logical_id} | {len(calls)} | {', '.join(calls)} |" for logical_id, calls in calls_of_creations().items()
    ]
    return "\n".join(["| custom resource | calls | in this order |", "| --- | ---: | --- |", *lines]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
