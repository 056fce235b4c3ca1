"""The custom resources' code in this process, against the local AWS, with their own roles, as CloudFormation calls it.

`Provider` sends requests; `Faults` sits between the code and AWS: it records every call and can make one fail. Pauses
take no time: they move a clock that only the code under test reads.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import boto3
import botocore.endpoint
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session
from crhelper import CfnResource

from annex_bootstrap.stack.resolve import resolve
from annex_contract.resources import CUSTOM_RESOURCES
from custom_resources import image_parts, lifecycle
from local_aws.launcher import REGION
from local_aws.server_settings import MACHINES
from template_gen.parameters import INPUTS
from tests.stack_values import TEMPLATE, conditions_of, new_stack_id, values_of

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_iam.type_defs import AccessKeyTypeDef

MODULES = {resource.logical_id: resource.module for resource in CUSTOM_RESOURCES}
"""The module behind each custom resource."""

_NAMES = {resource.logical_id: resource.name_property for resource in CUSTOM_RESOURCES}

FaultKind = Literal["throttle", "error", "denied", "lost", "kill"]


class Killed(BaseException):
    """The function's process ended here. Like KeyboardInterrupt it is not an Exception, and nothing may catch it."""


class Clock:
    """A clock that pauses move.

    Attributes:
        now: seconds.
        meanwhile: when others act, and what they do.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self.now = 0.0
        self.meanwhile: list[tuple[float, Callable[[], object]]] = []

    def monotonic(self) -> float:
        """Return the seconds so far."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move the clock, and let others act."""
        self.now += seconds
        for due in [event for event in self.meanwhile if event[0] <= self.now]:
            self.meanwhile.remove(due)
            due[1]()


@dataclass
class Faults:
    """Every call of a request, and at most one that goes wrong.

    Attributes:
        calls: ``service.Operation`` of each call since ``arm``.
        kind: what goes wrong.
        at: the number of the call that does, from 0.
        session: what sends the request whose answer is lost.
    """

    session: URLLib3Session
    calls: list[str] = field(default_factory=list)
    kind: FaultKind | None = None
    at: int = -1
    attempts: int = 0

    def arm(self, kind: FaultKind | None, at: int) -> None:
        """Start a request with this fault, or without one."""
        self.calls, self.kind, self.at, self.attempts = [], kind, at, 0

    def before_call(self, event_name: str, **_: object) -> None:
        """Record a call."""
        self.calls.append(event_name.removeprefix("before-call."))
        self.attempts = 0

    def before_send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse | None:
        """Let an attempt pass, or answer it instead of AWS."""
        self.attempts += 1
        current = len(self.calls) - 1
        if self.kind == "denied" and 0 <= self.at <= current and self.calls[current] == self.calls[self.at]:
            return self._answer(request, 403, "AccessDenied")
        if self.kind is None or current != self.at:
            return None
        if self.kind == "kill":
            raise Killed
        if self.kind == "error":
            return self._answer(request, 500, "InternalError")
        if self.attempts == 1 and self.kind == "throttle":
            return self._answer(request, 503, "SlowDown" if self.calls[current].startswith("s3") else "Throttling")
        if self.attempts == 1 and self.kind == "lost":
            self.session.send(request)
            raise ConnectionClosedError(endpoint_url=request.url)
        return None

    def _answer(self, request: AWSPreparedRequest, status: int, code: str) -> AWSResponse:
        error = f"<Error><Code>{code}</Code><Message>injected</Message></Error>"
        service = self.calls[-1].split(".")[0]
        wrapped = {"s3": error, "ec2": f"<Response><Errors>{error}</Errors></Response>"}
        text = wrapped.get(service, f"<ErrorResponse>{error}</ErrorResponse>")
        if service == "ssm":
            text = json.dumps({"__type": f"{code}Exception", "message": "injected"})
        return AWSResponse(
            request.url, status, HTTPHeaders(), _Body(b"" if request.method == "HEAD" else text.encode())
        )


class _Body(io.BytesIO):
    def stream(self) -> Iterator[bytes]:
        yield self.read()


@dataclass(frozen=True)
class Answer:
    """What CloudFormation is told."""

    status: str
    physical_id: str
    reason: str
    data: Mapping[str, str]


class _Context:
    aws_request_id = "request"

    def get_remaining_time_in_millis(self) -> int:
        return 300_000


@dataclass
class Provider:
    """One stack as its custom resources see it.

    Attributes:
        root: creates the function's principal.
        faults: between the code and AWS.
        answers: to the current request; emptied before the next.
        clock: of the code under test.
        patch: lets many requests share clients, which saves most of the time.
        user: the name of the principal that the code under test acts as.
        stack_id: of the stack.
    """

    root: boto3.Session
    faults: Faults
    answers: list[dict[str, Any]]
    clock: Clock
    patch: pytest.MonkeyPatch
    user: str = ""
    _iam: IAMClient | None = None
    _held: dict[str, Any] = field(default_factory=dict)
    _clients: dict[str, Any] = field(default_factory=dict)
    stack_id: str = field(default_factory=new_stack_id)

    def resolved(self, node: Any, parameters: Mapping[str, str]) -> Any:
        """Return a part of the template with this stack's values filled in."""
        return resolve(node, values_of(self.stack_id, parameters), conditions_of(parameters))

    def properties(self, resource: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Return the properties of a custom resource, as CloudFormation sends them.

        Args:
            resource: its logical ID.
            parameters: of the stack; also properties that only another release sets.
        """
        found = self.resolved(TEMPLATE[resource]["Properties"], parameters)
        found |= {key: value for key, value in parameters.items() if key in found and key not in INPUTS}
        return {key: value if isinstance(value, list) else str(value) for key, value in found.items()}

    def environment(self, resource: str, parameters: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of a custom resource's function, also of what only another release sets."""
        set_by_template = TEMPLATE[f"{resource}Function"]["Properties"]["Environment"]["Variables"]
        found: dict[str, str] = self.resolved(set_by_template, parameters)
        found |= {name: value for name, value in parameters.items() if name in found and name not in INPUTS}
        return {name: str(value) for name, value in found.items()}

    def name(self, resource: str, parameters: Mapping[str, str]) -> str:
        """Return the name of a custom resource, which is its physical ID."""
        properties = self.properties(resource, parameters)
        return image_parts.name_of(properties) if resource == "ImageBuilder" else properties[_NAMES[resource]]

    def policies(self, resource: str, *sets: Mapping[str, str]) -> dict[str, Any]:
        """Return the policies of a custom resource's function, by name, for one or more sets of parameters."""
        policy = TEMPLATE[f"{resource}FunctionPolicy"]["Properties"]
        return {
            self.resolved(policy["PolicyName"], parameters): self.resolved(policy["PolicyDocument"], parameters)
            for parameters in sets
        }

    def hold(self, policies: Mapping[str, Any]) -> None:
        """Let the code under test act with just these policies, given by name."""
        iam = self.root.client("iam") if self._iam is None else self._iam
        self._iam = iam
        if not self.user:
            self.user = f"function-{uuid.uuid4().hex[:8]}"
            iam.create_user(UserName=self.user)
            self._act_as(iam.create_access_key(UserName=self.user)["AccessKey"])
        for name in self._held.keys() - policies.keys():
            iam.delete_user_policy(UserName=self.user, PolicyName=name)
        for name, document in policies.items():
            if self._held.get(name) != document:
                iam.put_user_policy(UserName=self.user, PolicyName=name, PolicyDocument=json.dumps(document))
        self._held = dict(policies)

    def _act_as(self, key: AccessKeyTypeDef) -> None:
        boto3.setup_default_session(
            aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"], region_name=REGION
        )
        session = boto3.DEFAULT_SESSION
        assert session is not None
        session.events.register("before-call", self.faults.before_call)
        session.events.register("before-send", self.faults.before_send)  # type: ignore[arg-type]  # may answer itself

        def client(service: Any, config: Any) -> Any:
            if service not in self._clients:
                self._clients[service] = session.client(service, config=config)
            return self._clients[service]

        self.patch.setattr(lifecycle, "boto3", SimpleNamespace(client=client))

    def send(
        self,
        request_type: Literal["Create", "Update", "Delete"],
        resource: str,
        parameters: Mapping[str, str],
        physical_id: str = "",
        before: Mapping[str, str] | None = None,
        fault: FaultKind | None = None,
        at: int = -1,
    ) -> Answer | None:
        """Send one request.

        Returns:
            The answer, or None where the function was killed before it answered.
        """
        self.faults.arm(fault, at)
        if fault == "error":
            # A client stops retrying when it has seen many errors.
            self._clients.clear()
        event = {
            "RequestType": request_type,
            "RequestId": str(uuid.uuid4()),
            "StackId": self.stack_id,
            "ResponseURL": "https://response.example.org/",
            "ResourceType": TEMPLATE[resource]["Type"],
            "LogicalResourceId": resource,
            "ResourceProperties": self.properties(resource, parameters),
        }
        if physical_id:
            event["PhysicalResourceId"] = physical_id
        if before is not None:
            event["OldResourceProperties"] = self.properties(resource, before)
        self.answers.clear()
        handler = importlib.import_module(f"custom_resources.{MODULES[resource]}").handler
        # Each function has an environment of its own.
        with pytest.MonkeyPatch.context() as own:
            for name, value in self.environment(resource, parameters).items():
                own.setenv(name, value)
            try:
                handler(event, _Context())
            except Killed:
                return None
        (answer,) = self.answers
        assert answer["RequestId"] == event["RequestId"]
        return Answer(answer["Status"], answer["PhysicalResourceId"], answer["Reason"], answer["Data"])


@pytest.fixture
def provider(root: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """A stack whose custom resources run in this process."""
    clock = Clock()
    monkeypatch.setattr(lifecycle, "sleep", clock.sleep)
    monkeypatch.setattr(lifecycle, "monotonic", clock.monotonic)
    monkeypatch.setattr(botocore.endpoint, "time", clock)
    answers: list[dict[str, Any]] = []
    verify: Any = os.environ["AWS_CA_BUNDLE"]
    faults = Faults(URLLib3Session(verify=verify))
    original = CfnResource._send  # type: ignore[attr-defined]  # private, and so not in crhelper's types

    def send(helper: Any, status: str | None = None, reason: str = "") -> None:
        faults.calls.append("answer")
        if faults.kind == "kill" and faults.at == len(faults.calls) - 1:
            raise Killed
        original(helper, status, reason, send_response=lambda _url, body, _verify: answers.append(body))

    monkeypatch.setattr(CfnResource, "_send", send)
    # Time does not pass for the code under test, so nothing may take any.
    ssm = root.client("ssm")
    ssm.put_parameter(Name=MACHINES, Type="String", Overwrite=True, Value='{"seconds": 0, "image_seconds": 0}')
    yield Provider(root, faults, answers, clock, monkeypatch)
    boto3.DEFAULT_SESSION = None
    ssm.delete_parameter(Name=MACHINES)
