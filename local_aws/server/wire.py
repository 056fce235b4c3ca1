"""The EC2 query protocol, read and written by botocore's own model of it.

Source: https://smithy.io/2.0/aws/protocols/aws-ec2-query-protocol.html
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias
from xml.sax.saxutils import escape

import botocore.session
from botocore.model import ListShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.utils import parse_timestamp
from ministack.services import ec2

Params: TypeAlias = Mapping[str, str | list[str]]
"""A form as MiniStack hands it over: a value, or a list of one."""
Response: TypeAlias = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""
Handler: TypeAlias = Callable[[Params], Response]


class RefusalError(Exception):
    """A request that EC2 answers with an error.

    Attributes:
        code: the error code, from
            https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
        message: the text beside it.
        status: of the answer.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        """Keep all parts."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def install(handlers: Mapping[str, Handler]) -> None:
    """Let MiniStack's EC2 answer these actions with these handlers, and refusals with AWS's error XML."""
    ec2._ACTION_MAP.update({action: _refusing(handler) for action, handler in handlers.items()})


def read(action: str, params: Params) -> dict[str, Any]:
    """Return the members of a request as boto3 names them, with numbers, booleans and times converted."""
    tree: dict[str, Any] = {}
    for name, value in params.items():
        *path, last = name.split(".")
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        node[last] = value if isinstance(value, str) else value[0]
    shape = _operation(action).input_shape
    request: dict[str, Any] = _value(shape, tree) if shape else {}
    return request


def answer(action: str, **members: Any) -> Response:
    """Return a successful answer with these members, named as boto3 names them; None leaves one out."""
    shape = _operation(action).output_shape
    inner = _text(shape, members) if shape else "<return>true</return>"
    response: Response = ec2._xml(200, f"{action}Response", inner)
    return response


def page(
    items: Iterable[tuple[str, Any]], request: Mapping[str, Any], minimum: int = 1
) -> tuple[list[Any], str | None]:
    """Return the page that a request asks for, and the token of the next page or None.

    A token is the key of the last item returned, so that items that come or go meanwhile move no other.

    Args:
        items: pairs of key and item.
        request: its NextToken and MaxResults count.
        minimum: the least MaxResults that the action takes; the most is 1000 for all of them.
    """
    size = request.get("MaxResults", 1000)
    if not minimum <= size <= 1000:
        raise RefusalError("InvalidParameterValue", f"Value ( {size} ) for parameter maxResults is invalid.")
    left = sorted(pair for pair in dict(items).items() if pair[0] > request.get("NextToken", ""))
    token = left[size - 1][0] if len(left) > size else None
    return [item for _, item in left[:size]], token


def json_answer(status: int, content: Mapping[str, Any]) -> Response:
    """Return an answer of a service that speaks JSON."""
    return status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(content).encode()


def _refusing(handler: Handler) -> Handler:
    @functools.wraps(handler)
    def answering(params: Params) -> Response:
        try:
            return handler(params)
        except RefusalError as refusal:
            response: Response = ec2._error(refusal.code, escape(refusal.message), refusal.status)
            return response

    return answering


@functools.cache
def _model() -> ServiceModel:
    return botocore.session.Session().get_service_model("ec2")


def _operation(action: str) -> OperationModel:
    return _model().operation_model(action)


def _value(shape: Shape, node: Any) -> Any:
    if isinstance(shape, StructureShape):
        named = {_request_name(name, member): (name, member) for name, member in shape.members.items()}
        return {named[key][0]: _value(named[key][1], value) for key, value in node.items() if key in named}
    if isinstance(shape, ListShape):
        return [_value(shape.member, node[index]) for index in sorted(node, key=int)]
    convert: dict[str, Callable[[str], Any]] = {
        "integer": int,
        "double": float,
        "float": float,
        "boolean": lambda text: text.lower() == "true",
        "timestamp": parse_timestamp,
    }
    return convert.get(shape.type_name, str)(node)


def _request_name(name: str, member: Shape) -> str:
    wire = member.serialization.get("name", name)
    return str(member.serialization.get("queryName", wire[0].upper() + wire[1:]))


def _text(shape: Shape, value: Any) -> str:
    if isinstance(shape, StructureShape):
        return "".join(
            f"<{tag}>{_text(member, value[name])}</{tag}>"
            for name, member in shape.members.items()
            if value.get(name) is not None
            for tag in (member.serialization.get("name", name),)
        )
    if isinstance(shape, ListShape):
        return "".join(f"<item>{_text(shape.member, item)}</item>" for item in value)
    if shape.type_name == "boolean":
        return str(value).lower()
    if shape.type_name == "timestamp":
        return str(value.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    return escape(str(value))
