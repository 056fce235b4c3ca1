"""What the custom resources share: crhelper, the request, ownership, waiting and error texts.

A module of this package has two functions. ``put(request)`` brings its resource to the state that the properties
ask for, whatever it finds, and so serves Create, Update and every repetition of either. ``delete(request)`` takes
away what is ours, and is content with what is gone already. ``serve`` makes a Lambda handler of the two.

Wire format: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

from botocore.config import Config
from botocore.exceptions import ClientError
from crhelper import CfnResource

from annex_bootstrap.contract import STACK_TAG

logger = logging.getLogger(__name__)

CLIENT_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 6}, connect_timeout=5, read_timeout=20)
"""For every client of this package: throttles and lost answers are retried, and no call outlasts the function."""

ANSWER_MARGIN = 20.0
"""Seconds kept back for cleaning up and answering CloudFormation before Lambda ends the function."""


class Tag(TypedDict):
    """A tag, in the form that most APIs take."""

    Key: str
    Value: str


class ResourceError(Exception):
    """Something a person has to know or decide. Its text says what is wrong and what to do next."""


@dataclass(frozen=True)
class Request:
    """One request from CloudFormation.

    Attributes:
        stack_id: the ARN of the stack.
        logical_id: the resource's name in the template.
        physical_id: what an earlier answer named; empty on Create.
        properties: the resource's properties; every scalar is a string, as CloudFormation sends it.
        deadline: when to give up waiting, in seconds of ``time.monotonic``.
    """

    stack_id: str
    logical_id: str
    physical_id: str
    properties: Mapping[str, Any]
    deadline: float

    @property
    def tags(self) -> list[Tag]:
        """The tags that mark a thing as made by this stack."""
        return [{"Key": STACK_TAG, "Value": self.stack_id}]

    def owns(self, tags: Iterable[Mapping[str, object]]) -> bool:
        """Whether a thing with these tags was made by this stack."""
        return any(tag.get("Key") == STACK_TAG and tag.get("Value") == self.stack_id for tag in tags)


@dataclass(frozen=True)
class Outcome:
    """What a ``put`` made.

    Attributes:
        physical_id: names the resource; another one than before tells CloudFormation that it was replaced.
        data: the attributes that the template reads with ``Fn::GetAtt``.
    """

    physical_id: str
    data: Mapping[str, str] = field(default_factory=dict)


Put = Callable[[Request], Outcome]
Delete = Callable[[Request], None]
Handler = Callable[[dict[str, Any], Any], None]


def serve(name: Callable[[Request], str], put: Put, delete: Delete) -> Handler:
    """Make the Lambda handler of one custom resource.

    Args:
        name: gives the physical ID that a failed Create answers with, known before any call to AWS.
        put: creates or updates.
        delete: deletes.

    Returns:
        The handler. It answers CloudFormation in every case and raises nothing for a failed resource.
    """
    helper = CfnResource(log_level="INFO", sleep_on_delete=0)

    def request_of(event: Mapping[str, Any], context: Any) -> Request:
        seconds = context.get_remaining_time_in_millis() / 1000
        request = Request(
            stack_id=event["StackId"],
            logical_id=event["LogicalResourceId"],
            physical_id=event.get("PhysicalResourceId", ""),
            properties=event["ResourceProperties"],
            deadline=time.monotonic() + seconds - ANSWER_MARGIN,
        )
        if f"-{request.logical_id}-" in request.physical_id:
            # CloudFormation made this ID up, because our Create never answered it.
            request = replace(request, physical_id=name(request))
        # Set before the work starts: an answer sent by crhelper's timer carries it too.
        helper.PhysicalResourceId = request.physical_id or name(request)
        logger.info("%s of %s", event["RequestType"], request.logical_id)
        return request

    def explain(request: Request, error: Exception) -> Exception:
        # crhelper keeps the end of a long reason, so the cause comes last.
        if isinstance(error, ClientError):
            detail = error.response["Error"]
            return ResourceError(
                f"{request.logical_id}: {error.operation_name} failed: "
                f"{detail.get('Code', 'Unknown')}: {detail.get('Message', '')}"
            )
        return ResourceError(f"{request.logical_id}: {error}")

    @helper.create
    @helper.update
    def on_put(event: Mapping[str, Any], context: Any) -> str:
        request = request_of(event, context)
        try:
            outcome = put(request)
        except Exception as error:
            _undo_replacement(request, name(request), delete)
            raise explain(request, error) from error
        helper.Data.update(outcome.data)
        return outcome.physical_id

    @helper.delete
    def on_delete(event: Mapping[str, Any], context: Any) -> None:
        request = request_of(event, context)
        try:
            delete(request)
        except Exception as error:
            raise explain(request, error) from error

    def handler(event: dict[str, Any], context: Any) -> None:
        helper(event, context)

    return handler


def _undo_replacement(request: Request, new_id: str, delete: Delete) -> None:
    """Take away what a failed replacing Update made: CloudFormation never learns of it and could not."""
    if not request.physical_id or request.physical_id == new_id:
        return
    try:
        delete(replace(request, physical_id=new_id))
    except Exception:
        logger.exception("%s: %s could not be taken away again", request.logical_id, new_id)


def error_code(error: ClientError) -> str:
    """The code of an error that AWS answered, such as ``NoSuchEntity``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def wait_until(request: Request, done: Callable[[], bool], waiting_for: str, pause: float = 1.0) -> None:
    """Ask again and again until ``done``, with growing pauses, for as long as the function may run.

    Args:
        request: gives the deadline.
        done: asks AWS.
        waiting_for: ends the sentence "timed out waiting for ...".
        pause: seconds before the second look; doubled each time, 15 s at most.

    Raises:
        ResourceError: the deadline came first.
    """
    while not done():
        if time.monotonic() + pause > request.deadline:
            raise ResourceError(f"timed out waiting for {waiting_for}")
        time.sleep(pause)
        pause = min(pause * 2, 15.0)


def retry_while(request: Request, codes: Iterable[str], call: Callable[[], Any], waiting_for: str) -> None:
    """Make a call that AWS may refuse for a while, because another thing has not settled yet.

    Args:
        request: gives the deadline.
        codes: the error codes that mean "not yet".
        call: the call.
        waiting_for: ends the sentence "timed out waiting for ...".

    Raises:
        ResourceError: the deadline came first.
        ClientError: AWS refused for another reason.
    """
    refused: ClientError | None = None

    def attempt() -> bool:
        nonlocal refused
        try:
            call()
        except ClientError as error:
            if error_code(error) not in codes:
                raise
            refused = error
            return False
        return True

    try:
        wait_until(request, attempt, waiting_for)
    except ResourceError as error:
        raise ResourceError(f"{error}; AWS said: {refused}") from refused
