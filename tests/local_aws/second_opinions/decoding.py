"""Requests and answers as members named as boto3 names them; what the model does not know keeps its name, after ``?``.

The protocols: https://smithy.io/2.0/aws/protocols/
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeGuard
from urllib.parse import parse_qsl
from xml.etree import ElementTree

from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from tests.local_aws.second_opinions.exchanges import Exchange, uri_parts

PLAIN_HEADERS = re.compile(
    r"x-amz-(date|content-sha256|security-token|request-id|id-2|requestid|user-agent|target|decoded-content-length"
    r"|sdk-checksum-algorithm|checksum-.*|te|trailer|bucket-region)"
)
"""Headers of AWS's own that belong to no member:
https://docs.aws.amazon.com/AmazonS3/latest/API/RESTCommonRequestHeaders.html and RESTCommonResponseHeaders.html"""

PLAIN_QUERY = re.compile(r"x-id|X-Amz-.*", re.IGNORECASE)
"""Parameters that belong to no member: what the client calls the operation, and a signature in a URL."""


PLAIN_MEMBERS = {"?requestId", "?ResponseMetadata", "?return"}
"""What answers in XML have that is no member:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html#API_CreateSecurityGroup_Examples"""


def request_members(service: ServiceModel, operation: OperationModel, exchange: Exchange) -> dict[str, Any]:
    shape = operation.input_shape
    match service.resolved_protocol:
        case "query" | "ec2":
            sent = {name: value for name, value in exchange.form.items() if name not in ("Action", "Version")}
            return dict(_form_members(shape, _tree(sent), service.resolved_protocol == "ec2")) if shape else sent
        case "json":
            return dict(_json_members(shape, json.loads(exchange.body or b"{}")))
    uri = uri_parts(operation, exchange) or {}
    _, _, fixed = str(operation.http["requestUri"]).partition("?")
    known = dict(parse_qsl(fixed, keep_blank_values=True))
    query = {
        name: value
        for name, value in exchange.parameters.items()
        if name not in known and not PLAIN_QUERY.fullmatch(name)
    }
    return _rest_members(service, shape, uri, query, exchange.headers, exchange.body)


def answer_members(service: ServiceModel, operation: OperationModel, exchange: Exchange) -> dict[str, Any]:
    shape, text = operation.output_shape, exchange.answer
    match service.resolved_protocol:
        case "query" | "ec2":
            root = ElementTree.fromstring(text)
            if service.resolved_protocol == "query" and shape is not None:
                wrapper = shape.serialization.get("resultWrapper", f"{operation.name}Result")
                root = next((child for child in root if _tag(child) == wrapper), ElementTree.Element("nothing"))
            members = _xml_members(shape, root)
            return {name: value for name, value in members.items() if name not in PLAIN_MEMBERS}
        case "json":
            return dict(_json_members(shape, json.loads(text or b"{}")))
    return _rest_members(service, shape, {}, {}, exchange.answer_headers, text)


def _rest_members(
    service: ServiceModel,
    shape: StructureShape | None,
    uri: Mapping[str, str],
    query: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
) -> dict[str, Any]:
    left = dict(query)
    own_headers = {
        name: value
        for name, value in headers.items()
        if name.startswith("x-amz-") and not PLAIN_HEADERS.fullmatch(name)
    }
    found: dict[str, Any] = {}
    for name, member in shape.members.items() if shape else ():
        wire = str(member.serialization.get("name", name))
        match member.serialization.get("location"):
            case "uri" if wire in uri:
                found[name] = _scalar(member, uri[wire])
            case "querystring" if isinstance(member, MapShape):
                found[name], left = left, {}
            case "querystring" if wire in left:
                found[name] = _scalar(member, left.pop(wire))
            case "header" if wire.lower() in headers:
                own_headers.pop(wire.lower(), None)
                found[name] = _scalar(member, headers[wire.lower()])
            case "headers":
                mine = {key: value for key, value in own_headers.items() if key.startswith(wire.lower())}
                own_headers = {key: value for key, value in own_headers.items() if key not in mine}
                found[name] = mine
    unknown = {f"?{name}": value for name, value in left.items()} | own_headers
    return found | unknown | _rest_body(service, shape, body)


def _rest_body(service: ServiceModel, shape: StructureShape | None, body: bytes) -> dict[str, Any]:
    payload = shape.serialization.get("payload") if shape else None
    if shape is None or not body:
        return {"the body": body} if body else {}
    member = shape.members[payload] if payload else shape
    if not isinstance(member, StructureShape):
        return {str(payload): body.decode() if member.type_name == "string" else body}
    if service.resolved_protocol == "rest-xml":
        root = ElementTree.fromstring(body)
        # GetBucketLocation answers with the bare element of its one member.
        bare = [name for name, inner in member.members.items() if inner.serialization.get("name", name) == _tag(root)]
        value = {bare[0]: root.text or ""} if bare and not list(root) else _xml_members(member, root)
    else:
        value = _json_members(member, json.loads(body))
    return {payload: value} if payload else value


def _json_members(shape: Shape | None, value: Any) -> Any:
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        named = {
            str(member.serialization.get("name", name)): (name, member)
            for name, member in shape.members.items()
            if "location" not in member.serialization
        }
        found = {}
        for wire, inner in value.items():
            name, member = named.get(wire, (f"?{wire}", None))
            # JSON's null stands for a member that is left out.
            if inner is not None:
                found[name] = _json_members(member, inner)
        return found
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_json_members(shape.member, each) for each in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: _json_members(shape.value, each) for key, each in value.items()}
    return value


def _tree(form: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in form.items():
        *path, last = name.split(".")
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        node[last] = value
    return tree


def _form_members(shape: Shape | None, node: Any, ec2: bool) -> Any:
    if isinstance(shape, StructureShape) and isinstance(node, dict):
        named = {_form_name(name, member, ec2): (name, member) for name, member in shape.members.items()}
        found = {}
        for wire, inner in node.items():
            name, member = named.get(wire, (f"?{wire}", None))
            found[name] = _form_members(member, inner, ec2)
        return found
    if isinstance(shape, ListShape):
        flat = ec2 or shape.serialization.get("flattened")
        items = node if flat else node.get(shape.member.serialization.get("name", "member"), {}) if node else {}
        return [_form_members(shape.member, items[index], ec2) for index in sorted(items, key=int)] if items else []
    if isinstance(shape, MapShape):
        key, value = (
            each.serialization.get("name", kind) for kind, each in (("key", shape.key), ("value", shape.value))
        )
        return {each[key]: _form_members(shape.value, each[value], ec2) for each in node.get("entry", node).values()}
    return _scalar(shape, node)


def _form_name(name: str, member: Shape, ec2: bool) -> str:
    wire = str(member.serialization.get("name", name))
    if ec2:
        return str(member.serialization.get("queryName", wire[0].upper() + wire[1:]))
    if isinstance(member, ListShape) and member.serialization.get("flattened"):
        return str(member.member.serialization.get("name", wire))
    return wire


def _xml_members(shape: Shape | None, node: ElementTree.Element) -> Any:
    if isinstance(shape, StructureShape):
        named = {
            (str(member.member.serialization.get("name", wire)) if _flat(member) else wire): (name, member)
            for name, member in shape.members.items()
            for wire in (str(member.serialization.get("name", name)),)
            if "location" not in member.serialization
        }
        found: dict[str, Any] = {}
        for child in node:
            name, member = named.get(_tag(child), (f"?{_tag(child)}", None))
            if member is not None and _flat(member):
                found.setdefault(name, []).append(_xml_members(member.member, child))
            else:
                found[name] = _xml_members(member, child)
        # Attributes such as xsi:type of a grantee.
        attributes = {
            str(member.serialization.get("name", name)).rpartition(":")[2]: name
            for name, member in shape.members.items()
            if member.serialization.get("xmlAttribute")
        }
        return found | {
            attributes[key.rpartition("}")[2]]: value
            for key, value in node.attrib.items()
            if key.rpartition("}")[2] in attributes
        }
    if isinstance(shape, ListShape):
        wanted = shape.member.serialization.get("name", "member")
        return [
            _xml_members(shape.member, child) if _tag(child) == wanted else {f"?{_tag(child)}": ""} for child in node
        ]
    if isinstance(shape, MapShape):
        key, value = (
            each.serialization.get("name", kind) for kind, each in (("key", shape.key), ("value", shape.value))
        )
        pairs = ({_tag(part): part for part in entry} for entry in node)
        return {str(pair[key].text): _xml_members(shape.value, pair[value]) for pair in pairs}
    return _scalar(shape, node.text or "") if not list(node) else {f"?{_tag(child)}": "" for child in node}


def _flat(shape: Shape) -> TypeGuard[ListShape]:
    return isinstance(shape, ListShape) and bool(shape.serialization.get("flattened"))


def _tag(node: ElementTree.Element) -> str:
    return node.tag.rpartition("}")[2]


def _scalar(shape: Shape | None, text: Any) -> Any:
    """Return the value of a text; what does not convert stays a text, which is then of the wrong type."""
    try:
        match shape.type_name if shape else "string":
            case "integer" | "long":
                return int(text)
            case "float" | "double":
                return float(text)
            case "boolean":
                return {"true": True, "false": False}.get(str(text).lower(), text)
            case "timestamp":
                # The validator would parse it as anything that looks like a time, which takes half of all its time.
                return datetime.fromisoformat(text)
            case "blob":
                return base64.b64decode(text, validate=True)
            case "list":
                return [_scalar(shape.member, each.strip()) for each in str(text).split(",")]  # type: ignore[union-attr]
    except (TypeError, ValueError, binascii.Error):
        pass
    return text
