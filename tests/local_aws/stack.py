"""Create, update and delete stacks with plain boto3, without our client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient


@dataclass(frozen=True)
class DeployedStack:
    """A stack that exists.

    Attributes:
        stack_id: its ARN.
        outputs: by name.
    """

    stack_id: str
    outputs: Mapping[str, str]


def create(session: boto3.Session, name: str, url: str, parameters: Mapping[str, str] | None = None) -> str:
    """Create a stack and wait until CloudFormation is done, successfully or not.

    Returns:
        Its status.
    """
    return _run(session.client("cloudformation").create_stack, session, name, url, parameters)


def update(session: boto3.Session, name: str, url: str, parameters: Mapping[str, str] | None = None) -> str:
    """Update a stack and wait until CloudFormation is done. Parameters not given go back to their defaults.

    Returns:
        Its status.
    """
    return _run(session.client("cloudformation").update_stack, session, name, url, parameters)


def delete(session: boto3.Session, stack_id: str) -> str:
    """Delete a stack and wait until CloudFormation is done, successfully or not.

    Returns:
        Its status.
    """
    session.client("cloudformation").delete_stack(StackName=stack_id)
    return wait(session, stack_id)


def wait(session: boto3.Session, name: str) -> str:
    """Wait until CloudFormation is done with a stack.

    Returns:
        Its status.
    """
    client = session.client("cloudformation")
    for _ in range(600):
        status = client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        if not status.endswith("_IN_PROGRESS"):
            return status
        time.sleep(0.2)
    raise AssertionError(f"{name} is still in {status} after two minutes")


def wait_until_gone(client: CloudFormationClient, name: str) -> None:
    """Wait until no stack has that name."""
    for _ in range(300):
        try:
            client.describe_stacks(StackName=name)
        except client.exceptions.ClientError:
            return
        time.sleep(0.2)
    raise AssertionError(f"{name} is still there after a minute")


def describe(session: boto3.Session, name: str) -> DeployedStack:
    """Return the stack as it is now."""
    stack = session.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    return DeployedStack(
        stack["StackId"], {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    )


def reasons(session: boto3.Session, name: str) -> list[str]:
    """Return why resources of a stack failed, oldest first."""
    pages = session.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=name)
    events = [event for page in pages for event in page["StackEvents"]]
    return [
        f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
        for event in reversed(events)
        if event["ResourceStatus"].endswith("_FAILED")
    ]


@contextmanager
def deployed(
    session: boto3.Session, name: str, url: str, parameters: Mapping[str, str] | None = None
) -> Iterator[DeployedStack]:
    """Create a stack for as long as the context lasts, and delete it at its end."""
    status = create(session, name, url, parameters)
    assert status == "CREATE_COMPLETE", reasons(session, name)
    stack = describe(session, name)
    try:
        yield stack
    finally:
        status = delete(session, stack.stack_id)
    assert status == "DELETE_COMPLETE", reasons(session, stack.stack_id)


@contextmanager
def paused_rules(session: boto3.Session) -> Iterator[None]:
    """Pause all schedules: a stack's hourly check, every twelve seconds here, deletes what a test planted."""
    events = session.client("events")
    pages = events.get_paginator("list_rules").paginate()
    names = [rule["Name"] for page in pages for rule in page["Rules"] if rule["State"] == "ENABLED"]
    for name in names:
        events.disable_rule(Name=name)
    try:
        yield
    finally:
        for name in names:
            events.enable_rule(Name=name)


def _run(
    operation: Callable[..., object],
    session: boto3.Session,
    name: str,
    url: str,
    parameters: Mapping[str, str] | None,
) -> str:
    operation(
        StackName=name,
        TemplateURL=url,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value}
            # Few tests need an image, and it takes longer than all the rest.
            for key, value in {"Image": "no", **(parameters or {})}.items()
        ],
    )
    return wait(session, name)
