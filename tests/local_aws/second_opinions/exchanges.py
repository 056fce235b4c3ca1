"""What the server exchanged, and which operation of which service that was, by botocore's models."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import parse_qsl, unquote

import botocore.session
from botocore.model import OperationModel, ServiceModel

SIGNING_NAMES = {"monitoring": "cloudwatch"}
"""botocore's names of services whose signatures name them otherwise."""

OTHER_HOSTS = {"ListDirectoryBuckets", "WriteGetObjectResponse"}
"""Operations of S3 that another host serves."""


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, as the server recorded them. Names of headers are lower-case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    answer_headers: Mapping[str, str]
    answer: bytes

    @classmethod
    def read(cls, line: str) -> Exchange:
        """Read a line of the record."""
        document = json.loads(line)
        return cls(**document | {name: base64.b64decode(document[name]) for name in ("body", "answer")})

    @property
    def parameters(self) -> dict[str, str]:
        """Its query string."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @property
    def form(self) -> dict[str, str]:
        """Its body as a form; empty where it is none."""
        if "x-www-form-urlencoded" not in self.headers.get("content-type", ""):
            return {}
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@cache
def model(service: str) -> ServiceModel:
    """Return botocore's model of a service."""
    return botocore.session.Session().get_service_model(service)


def service_of(exchange: Exchange) -> ServiceModel | None:
    """Return the service that a request is signed for, or None where that is none of AWS's."""
    signature = exchange.headers.get("authorization", "") + exchange.parameters.get("X-Amz-Credential", "")
    scope = re.search(r"/\d{8}/[\w-]+/([\w-]+)/aws4_request", signature)
    name = SIGNING_NAMES.get(scope[1], scope[1]) if scope else ""
    return model(name) if name in _names() else None


@cache
def _names() -> frozenset[str]:
    return frozenset(botocore.session.Session().get_available_services())


def operation_of(service: ServiceModel, exchange: Exchange) -> OperationModel | None:
    named = exchange.form.get("Action") or exchange.headers.get("x-amz-target", "").rpartition(".")[2]
    if named:
        return service.operation_model(named) if named in service.operation_names else None
    matching = [
        name
        for name in service.operation_names
        if name not in OTHER_HOSTS and uri_parts(service.operation_model(name), exchange) is not None
    ]
    # The most specific: that with the most parameters in its URI, then with the most required members in the query.
    specific = sorted(matching, key=lambda name: _specificity(service.operation_model(name), exchange))
    return service.operation_model(specific[-1]) if specific else None


def _specificity(operation: OperationModel, exchange: Exchange) -> tuple[int, int, bool]:
    uri = str(operation.http["requestUri"])
    shape = operation.input_shape
    required = [
        member.serialization["name"]
        for name, member in (shape.members.items() if shape else ())
        if name in shape.required_members and member.serialization.get("location") == "querystring"  # type: ignore[union-attr]
    ]
    there = all(name in exchange.parameters for name in required)
    # Two generations of one operation share a URI; AWS calls the older one deprecated.
    return uri.count("&") + uri.count("?"), len(required) if there else -1, not operation.deprecated


def uri_parts(operation: OperationModel, exchange: Exchange) -> dict[str, str] | None:
    """Return the values of a URI's parts, or None where the request is for another operation."""
    if operation.http.get("method") != exchange.method:
        return None
    path, _, fixed = str(operation.http["requestUri"]).partition("?")
    wanted = dict(parse_qsl(fixed, keep_blank_values=True))
    if any(exchange.parameters.get(name) not in (value, None if value else "") for name, value in wanted.items()):
        return None
    if any(name not in exchange.parameters for name in wanted):
        return None
    pattern = re.sub(r"\\\{(\w+)\\\+\\\}", r"(?P<\1>.+)", re.escape(path))
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", pattern)
    found = re.fullmatch(pattern, exchange.path) or re.fullmatch(pattern, exchange.path.rstrip("/"))
    return {name: unquote(value) for name, value in found.groupdict().items()} if found else None
