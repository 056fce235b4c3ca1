"""What the custom resources share: crhelper, the request, ownership, waiting and error texts.

A module of this package has two functions. ``put(request)`` brings its resource to the state that the properties
ask for, whatever it finds, and returns its attributes; so it serves Create, Update and every repetition of either.
``delete(request)`` deletes what is ours, succeeds if it is gone already, and returns what it kept. Both begin
by looking, so where AWS answers "not yet" or "changed since", both are simply called again. ``serve`` makes a Lambda
handler of the two. A resource's name is its physical ID, so another name is another resource.

Wire format: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from time import monotonic, sleep
from typing import Any, TypedDict, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from crhelper import CfnResource

from annex_contract.resources import STACK_ID
from annex_contract.stack import STACK_TAG
from annex_contract.tags import VARIABLE, read_tags

logger = logging.getLogger(__name__)

CLIENT_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 6}, connect_timeout=5, read_timeout=20)
"""For every client of this package: throttles and lost answers are retried, and no call outlasts the function."""

ANSWER_MARGIN = 20.0
"""Seconds kept back for answering CloudFormation before Lambda ends the function."""

REASON_LIMIT = 256
"""Characters of a reason that crhelper passes on; of a longer one it keeps the end alone."""

PATIENCE: Mapping[str, float] = {
    # What was just made is not visible everywhere yet, or what we looked at has changed since, or an answer was lost
    # and botocore made the call twice.
    **dict.fromkeys(
        (
            *("BucketAlreadyOwnedByYou", "NoSuchBucket", "NoSuchUpload"),
            *("ConcurrentModification", "DeleteConflict", "EntityAlreadyExists", "InvalidInput", "LimitExceeded"),
            "NoSuchEntity",
            *("InvalidAMIID.NotFound", "InvalidAMIName.Duplicate", "InvalidInstanceID.NotFound"),
            *("InvalidSnapshot.InUse", "InvalidSnapshot.NotFound"),
            *("InvalidGroup.Duplicate", "InvalidGroup.NotFound"),
            *("InvalidPermission.Duplicate", "InvalidPermission.NotFound"),
        ),
        60.0,
    ),
    # A new account is verified at its first launch, which "normally" takes minutes. What is left of the function's time
    # must do for building: https://github.com/skyplane-project/skyplane/issues/799.
    "PendingVerification": 420.0,
    # The name belonged to a bucket that is not gone everywhere yet. S3 names no limit.
    **dict.fromkeys(("BucketAlreadyExists", "OperationAborted"), math.inf),
    # The function's own role is seconds old when the stack is, and IAM is eventually consistent. AWS names no time:
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
    # The answer to HEAD has no code but its status.
    **dict.fromkeys(("403", "AccessDenied", "AccessDeniedException", "UnauthorizedOperation"), 90.0),
}
"""For how many seconds an error code means "try again"; every other code is final at once."""

LONGEST_PAUSE = 15.0
"""Seconds between two attempts, at most; the first pause is one second, and each is twice the one before."""

T = TypeVar("T")


class Tag(TypedDict):
    """A tag, in the form that most APIs take."""

    Key: str
    Value: str


class ResourceError(Exception):
    """Something that a person has to know or decide. The message says what is wrong and what to do next."""


class NotYetError(ResourceError):
    """Something that a person can change while we wait: worth another attempt until the time is up."""


@dataclass(frozen=True)
class Request:
    """One request from CloudFormation.

    Attributes:
        stack_id: the ARN of the stack.
        logical_id: the resource's name in the template.
        request_id: of this request; when Lambda repeats it, the same.
        name: of what to make, change or delete.
        properties: the resource's properties; every scalar is a string, as CloudFormation sends it.
        deadline: when to give up waiting, in seconds of ``time.monotonic``.
        old_properties: those before an Update; else empty.
        marks: further tags of what is made.
        secret: 32 digits that nobody else knows, the same when Lambda repeats the request: a digest of the signed URL
            that it is answered at.
    """

    stack_id: str
    logical_id: str
    request_id: str
    name: str
    properties: Mapping[str, Any]
    deadline: float
    old_properties: Mapping[str, Any] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)
    secret: str = field(default="", repr=False)

    @property
    def account(self) -> str:
        """Return the ID of the stack's account."""
        return self.stack_id.split(":")[4]

    @property
    def tags(self) -> list[Tag]:
        """Return the tags that mark a thing as made by this stack, and those that somebody gave the stack."""
        given = read_tags(os.environ.get(VARIABLE, "").split(","))
        wanted = {STACK_TAG: self.stack_id, **self.marks, **given}
        return [{"Key": key, "Value": value} for key, value in wanted.items()]

    def owns(self, tags: Iterable[Mapping[str, object]]) -> bool:
        """Return whether a thing with these tags was made by this stack."""
        return any(tag.get("Key") == STACK_TAG and tag.get("Value") == self.stack_id for tag in tags)


Put = Callable[[Request], Mapping[str, str]]
"""Returns the attributes that the template reads with ``Fn::GetAtt``."""

Delete = Callable[[Request], str]
"""Returns what was kept and why, or an empty text."""

Naming = Callable[[Mapping[str, Any]], str]
"""Returns a resource's name by its properties, without a call."""

Handler = Callable[[dict[str, Any], Any], None]


class _Answers(CfnResource):
    """crhelper, whose answer just before Lambda ends the function names the last call."""

    def __init__(self) -> None:
        # Otherwise crhelper makes three clients, which only its polling needs: a quarter of what a cold start takes.
        os.environ["AWS_SAM_LOCAL"] = "true"
        try:
            super().__init__(log_level="INFO", sleep_on_delete=0)
        finally:
            del os.environ["AWS_SAM_LOCAL"]

    def _timeout(self) -> None:
        reason = f"{self.LogicalResourceId}: the function's time was up in {_last_call}; try again"
        self._send("FAILED", reason)  # type: ignore[attr-defined]  # private, and so not in crhelper's types


_last_call = "its start"


def client(service: str) -> Any:
    """Return a boto3 client with this package's retries, whose calls are noted for the answer of a timeout."""

    def note(model: Any, **_: object) -> None:
        global _last_call
        _last_call = model.name

    made = boto3.client(service, config=CLIENT_CONFIG)  # type: ignore[call-overload]  # the overloads want a literal
    made.meta.events.register("before-call", note)
    return made


def serve(naming: str | Naming, put: Put, delete: Delete) -> Handler:
    """Make the Lambda handler of one custom resource.

    Args:
        naming: the property that names the resource, or what gives the name by all of them; a failed Create answers
            with it too.
        put: creates or updates.
        delete: deletes.

    Returns:
        The handler. It answers CloudFormation in every case and raises nothing for a failed resource.
    """
    helper = _Answers()

    def name_of(properties: Mapping[str, Any]) -> str:
        return str(properties[naming]) if isinstance(naming, str) else naming(properties)

    @helper.create
    @helper.update
    def on_put(event: Mapping[str, Any], context: Any) -> str:
        request = _request(event, context, name_of(event["ResourceProperties"]))
        in_use = event.get("PhysicalResourceId", request.name)
        # Set before the work starts: the answer of a failure carries it too.
        helper.PhysicalResourceId = in_use
        helper.Data.update(_settle(request, put))
        before = name_of(request.old_properties) if request.old_properties else request.name
        if before not in (in_use, request.name):
            # A replacing Update failed before it could answer; this one rolls it back, and nobody else knows that ID.
            _settle(replace(request, name=before), delete)
        return request.name

    @helper.delete
    def on_delete(event: Mapping[str, Any], context: Any) -> None:
        name = event["PhysicalResourceId"]
        if f"-{event['LogicalResourceId']}-" in name:
            # CloudFormation made this ID up, because our Create never answered.
            name = name_of(event["ResourceProperties"])
        helper.PhysicalResourceId = event["PhysicalResourceId"]
        helper.Reason = _settle(_request(event, context, name), delete)

    def handler(event: dict[str, Any], context: Any) -> None:
        helper(event, context)

    return handler


def looks(until: float) -> Iterator[float]:
    """Give the time for every look at something that takes minutes; between two of them is a pause.

    Args:
        until: when the last look may be, in seconds of ``time.monotonic``, as are those given.
    """
    pause = 1.0
    while True:
        yield monotonic()
        if monotonic() + pause > until:
            return
        sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def error_code(error: ClientError) -> str:
    """Return the code of an error that AWS answered, such as ``NoSuchEntity``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _request(event: Mapping[str, Any], context: Any, name: str) -> Request:
    """Return the request that an event asks for.

    Raises:
        ResourceError: the event is not of this function's stack, or wants a resource that the template does not.
    """
    logger.info("%s of %s: %s", event["RequestType"], event["LogicalResourceId"], name)
    stack_id = os.environ[STACK_ID]
    if event["StackId"] != stack_id:
        raise ResourceError(f"{event['LogicalResourceId']}: this function serves only the stack {stack_id}")
    # A Delete, or what an Update replaces, may name something of before; our tag decides about that.
    if event["RequestType"] != "Delete":
        for key in event["ResourceProperties"].keys() & os.environ.keys():
            if os.environ[key] != _text(event["ResourceProperties"][key]):
                raise ResourceError(f"{event['LogicalResourceId']}: the stack's template does not ask for this {key}")
    return Request(
        stack_id=stack_id,
        logical_id=event["LogicalResourceId"],
        request_id=event["RequestId"],
        name=name,
        properties=event["ResourceProperties"],
        deadline=monotonic() + context.get_remaining_time_in_millis() / 1000 - ANSWER_MARGIN,
        old_properties=event.get("OldResourceProperties", {}),
        secret=hashlib.sha256(event["ResponseURL"].encode()).hexdigest()[:32],
    )


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def _settle(request: Request, act: Callable[[Request], T]) -> T:
    """Act, and try again after an error that time can cure."""
    began: dict[float, float] = {}
    pause = 1.0
    while True:
        try:
            return act(request)
        except Exception as error:
            # Each kind of answer has its own time, because one begins where another ends.
            patience = _patience(error)
            if monotonic() + pause > min(request.deadline, began.setdefault(patience, monotonic()) + patience):
                raise ResourceError(_reason(request, error)) from error
            logger.info("trying again in %s s: %s", pause, error)
        sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def _patience(error: Exception) -> float:
    if isinstance(error, NotYetError):
        return math.inf
    said = error.__cause__ if isinstance(error, ResourceError) else error
    return PATIENCE.get(error_code(said), 0.0) if isinstance(said, ClientError) else 0.0


def _reason(request: Request, error: Exception) -> str:
    """Return where it happened and what AWS said, short enough to arrive whole; the end of a long text is kept."""
    where, said = f"{request.logical_id}: ", str(error)
    if isinstance(error, ClientError):
        where += f"{error.operation_name} failed: {error_code(error)}: "
        said = error.response["Error"].get("Message", "")
    elif not isinstance(error, ResourceError):
        where += f"{_last_call} failed: "
    room = REASON_LIMIT - len(where)
    return where + (said if len(said) <= room else f"...{said[3 - room :]}")
