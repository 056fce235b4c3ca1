"""What stands before MiniStack: every request must be signed, but for the few that AWS serves unsigned too.

Any account of this computer can reach a loopback port. MiniStack's own pages take no keys, and one of them deletes
everything.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Any, TypeAlias
from urllib.parse import parse_qs, quote

from ministack import app as ministack
from ministack.core.iam_evaluator import AuthError

from local_aws.launcher import METADATA_ADDRESS
from local_aws.server import account
from local_aws.server.signatures import NotSignedError, Request, verify
from local_aws.server_settings import ACCOUNT

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

HEALTH = "/_ministack/health"

RESPONSES = "/_ministack/cfn-response/"
"""Where a custom resource answers: AWS gives it a URL that holds its own permission, and so does MiniStack."""

LATEST = "/latest/"
"""What a machine asks about itself, unsigned, at the metadata address alone."""

VERSIONS = ("2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "latest")
"""Those versions of the metadata service that cloud-init knows, of many; each answers like the latest:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html"""


def gated(app: App) -> App:
    """Return the app behind the gate."""

    async def gate(scope: Message, receive: Receive, send: Send) -> None:
        if _is_metadata(scope):
            version, _, item = scope["path"].removeprefix("/").partition("/")
            known = version in VERSIONS
            # MiniStack knows the service by the beginning of its path.
            await app({**scope, "path": f"{LATEST}{item if known else 'unknown'}"}, receive, send)
            return
        if scope["type"] == "lifespan" or (scope["type"] == "http" and _is_open(scope)):
            await app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        request = await _read(scope, receive)
        try:
            if scope["path"].startswith("/_"):
                raise NotSignedError("AccessDenied", "This server keeps its own pages to itself.")
            _admit(request)
        except NotSignedError as refusal:
            await _refuse(request, refusal, send)
            return
        await app(scope, _replay(request.body, receive), send)

    return gate


def _admit(request: Request) -> None:
    """Check a request's signature, by the server's clock, and its region.

    Raises:
        NotSignedError: it is refused.
    """
    # What kind of account it is can be changed in any account.
    current = account.Account() if _steers(request) else account.settings()
    now = datetime.now(UTC) + timedelta(seconds=current.clock_ahead)
    try:
        region = verify(request, os.environ["MINISTACK_ACCOUNT_ID"], now)
    except NotSignedError as refusal:
        # Services have codes of their own for it, and EC2 has had both: https://github.com/aws/aws-sdk-java/issues/519
        if refusal.code == "RequestTimeTooSkewed" and current.ec2_tells_skew:
            raise NotSignedError("ExpiredTokenException", str(refusal)) from refusal
        raise
    if region in current.disabled_regions:
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_enable-regions.html
        raise NotSignedError("InvalidClientTokenId", "The security token included in the request is invalid.")
    if region in current.unsubscribed_regions:
        # https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
        raise NotSignedError("OptInRequired", "You are not subscribed to this service. Please go to aws.amazon.com.")


def _steers(request: Request) -> bool:
    target = request.headers.get("x-amz-target", "").partition(".")[2]
    return target in ("PutParameter", "DeleteParameter") and f'"{ACCOUNT}"'.encode() in request.body


def _is_open(scope: Message) -> bool:
    path, method = scope["path"], scope["method"]
    return (method, path) == ("GET", HEALTH) or (method == "PUT" and path.startswith(RESPONSES))


def _is_metadata(scope: Message) -> bool:
    return bool(scope["type"] == "http" and scope.get("server") and scope["server"][0] == METADATA_ADDRESS)


async def _read(scope: Message, receive: Receive) -> Request:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("ascii")
    return Request(scope["method"], path, scope["query_string"].decode("ascii"), headers, b"".join(parts))


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def again() -> Message:
        return {"type": "http.request", "body": waiting.pop()} if waiting else await receive()

    return again


async def _refuse(request: Request, refusal: NotSignedError, send: Send) -> None:
    query = parse_qs(request.query, keep_blank_values=True)
    service = ministack.detect_service(request.method, request.path, request.headers, query)
    status, headers, body = ministack._credential_failure(
        service, "", str(uuid.uuid4()), AuthError(refusal.code, str(refusal)), request.headers
    )
    # By the time in a refusal AWS's SDKs, and our machines, correct a clock that is wrong: RFC 9110, section 6.6.1.
    dated = {**headers, "Date": formatdate(usegmt=True)}
    raw = [(name.encode(), value.encode()) for name, value in dated.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})
