"""AWS as a list of calls: real clients of boto3 whose calls are kept, and answered as the test says.

Botocore checks the arguments of each call, and the models of the services check each answer. Only the wire is missing.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any

import boto3
from botocore.validate import validate_parameters

from annex_bootstrap.aws import Account

ACCOUNT_ID, REGION = "123456789012", "us-east-1"

Answer = Mapping[str, Any] | Exception | Callable[[dict[str, Any]], Mapping[str, Any]]


class RefusedError(Exception):
    """What AWS answers to a call that it refuses."""

    def __init__(self, code: str, message: str = "because", status: int = 400) -> None:
        """Keep what goes into the answer."""
        super().__init__(message)
        self.code, self.status = code, status


class Recorded:
    """An account that keeps each call.

    Attributes:
        calls: operation and arguments, in order.
    """

    def __init__(self, **answers: Answer | list[Answer]) -> None:
        """Answer as said.

        Args:
            answers: by operation, such as ``DescribeImages``: one answer for all its calls, or a list of one for each.
                What is not here is not expected.
        """
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {
            "GetCallerIdentity": {"Account": ACCOUNT_ID, "Arn": f"arn:aws:iam::{ACCOUNT_ID}:user/alice"}
        } | {name: list(answer) if isinstance(answer, list) else answer for name, answer in answers.items()}
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """The operations that were called, in order."""
        return [name for name, _ in self.calls]

    def of(self, operation: str) -> list[dict[str, Any]]:
        """The arguments of each call of an operation."""
        return [arguments for name, arguments in self.calls if name == operation]

    def client(self, service: str, region_name: str = REGION, **_: object) -> Any:
        """A client of boto3 that talks to this account, and to no other that is asked for later."""
        client, wire = _client(service, region_name)
        wire.aws = self
        return client

    def account(self, region: str = REGION) -> Account:
        """The account as the client sees it."""
        session = SimpleNamespace(client=self.client, get_partition_for_region=_session().get_partition_for_region)
        return Account(session, region)  # type: ignore[arg-type]  # has what an account asks of its session

    def answer(self, operation: str, arguments: dict[str, Any]) -> Mapping[str, Any]:
        """Answer one call."""
        with self._lock:
            if operation != "GetCallerIdentity":
                self.calls.append((operation, arguments))
            answer = self.answers.get(operation)
            if isinstance(answer, list):
                answer = answer.pop(0) if answer else None
        if answer is None:
            raise AssertionError(f"nobody expects {operation} of {arguments}")
        if isinstance(answer, Exception):
            raise answer
        given: Mapping[str, Any] = answer(arguments) if callable(answer) else answer
        return given


class _Wire:
    """Takes the calls of one client between botocore's checks and the network."""

    aws: Recorded

    def keep(self, params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        context["arguments"] = dict(params)

    def pass_on(self, model: Any, context: dict[str, Any], **_: object) -> tuple[SimpleNamespace, Mapping[str, Any]]:
        try:
            answer = self.aws.answer(model.name, context["arguments"])
        except RefusedError as error:
            said = {"Code": error.code, "Message": str(error)}
            return SimpleNamespace(status_code=error.status), {
                "Error": said,
                "ResponseMetadata": {"HTTPStatusCode": error.status},
            }
        if model.output_shape is not None:
            validate_parameters(answer, model.output_shape)
        # Handlers of botocore decode parts of it in place.
        return SimpleNamespace(status_code=200, raw=None), {
            **copy.deepcopy(dict(answer)),
            "ResponseMetadata": {"HTTPStatusCode": 200},
        }


@cache
def _session() -> boto3.Session:
    return boto3.Session("testing", "testing", region_name=REGION)


@cache
def _client(service: str, region: str) -> tuple[Any, _Wire]:
    # Made once: loading EC2's model takes longer than most tests.
    client: Any = _session().client(service, region_name=region)  # type: ignore[call-overload]  # wants a literal
    wire = _Wire()
    client.meta.events.register_last("before-parameter-build", wire.keep)
    client.meta.events.register_last("before-call", wire.pass_on)
    return client, wire
