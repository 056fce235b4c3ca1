"""Looking into a template: the modules embedded in its functions, and whether this version builds the same.

Nothing of the template is ever executed, and nothing is unpacked beyond a bound.
"""

from __future__ import annotations

import ast
import base64
import bz2
import hashlib
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annex_bootstrap.errors import UserError
from annex_bootstrap.stack.template import WrittenTwiceError, read_once, written

MAX_TEMPLATE = 1_000_000
"""Bytes: CloudFormation's limit for a template in S3, so nothing larger can be one.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""

MAX_CODE = 4_000_000
"""Characters of a function's inline code: Lambda's limit, in bytes and zipped.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-lambda-function-code.html"""

MAX_ARCHIVE = 20_000_000
"""Bytes of one unpacked archive; our largest has a quarter of a million."""

_DAMAGED = (
    *(KeyError, TypeError, ValueError, EOFError, OSError),
    AttributeError,
    # What ast.parse raises for what is not code, or is nested without end.
    *(SyntaxError, RecursionError, MemoryError),
)

TIMEOUT = 30.0
"""Seconds that a server may take to answer."""


@dataclass(frozen=True)
class Module:
    """One file in a function's archive.

    Attributes:
        path: its path there.
        sha256: of its bytes, in hexadecimal.
    """

    path: str
    sha256: str


@dataclass(frozen=True)
class Function:
    """The code of one function.

    Attributes:
        name: its logical ID in the template.
        loader_sha256: of its inline code without the archive's text, in hexadecimal.
        modules: what its archive holds; empty where it has none.
    """

    name: str
    loader_sha256: str
    modules: tuple[Module, ...]


def read_source(source: str) -> str:
    """Read a template from a file, or from an https URL.

    Raises:
        UserError: it cannot be read, or is larger than a template can be.
    """
    if "://" not in source:
        try:
            with Path(source).open("rb") as file:
                return _bounded(file.read(MAX_TEMPLATE + 1), source)
        except OSError as error:
            raise UserError(f"{source} cannot be read: {error.strerror or error}") from error
    if not source.lower().startswith("https://"):
        raise UserError(f"{source} is not fetched: give an https URL or a file")
    try:
        with _https().open(source, timeout=TIMEOUT) as answer:
            return _bounded(answer.read(MAX_TEMPLATE + 1), source)
    except (OSError, urllib.error.URLError) as error:
        raise UserError(f"{source} cannot be fetched: {error}") from error


def is_same_file(source: str, path: Path) -> bool:
    """Return whether a source, as ``read_source`` takes it, is this very file."""
    return "://" not in source and path.exists() and Path(source).samefile(path)


def _https() -> urllib.request.OpenerDirector:
    # Without a handler for http, files or ftp, no redirect leads there.
    context = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _bounded(body: bytes, source: str) -> str:
    if len(body) > MAX_TEMPLATE:
        raise UserError(f"{source} is larger than CloudFormation allows a template to be ({MAX_TEMPLATE:,} bytes)")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{source} is not a template: it is not UTF-8 text") from error


def list_functions(text: str) -> list[Function]:
    """Return the functions of a template with what is embedded in them, by name.

    Raises:
        UserError: the text is not a template in JSON, or an archive in it is damaged.
    """
    functions = []
    for name, code in read_code(text).items():
        try:
            archive = _archive_text(code)
            loader = code.replace(archive, "") if archive else code
            functions.append(Function(name, _sha256(loader.encode()), tuple(_unpack(archive)) if archive else ()))
        except _DAMAGED as error:
            raise UserError(f"the code of {name} cannot be unpacked: {error!r}") from error
    return functions


def read_code(text: str) -> dict[str, str]:
    """Return the inline code of every function of a template, sorted by the functions' names.

    Raises:
        UserError: the text is not a template in JSON, or a function's code is put together differently from ours.
    """
    template = _template(text)
    found = {}
    for name, resource in sorted(template["Resources"].items()):
        try:
            if resource["Type"] == "AWS::Lambda::Function":
                found[name] = _join(_strings(resource["Properties"]["Code"]["ZipFile"], template.get("Mappings", {})))
        except _DAMAGED as error:
            raise UserError(f"the code of {name} cannot be read: {error!r}") from error
    return found


def _strings(node: Any, mappings: Any) -> Iterator[str]:
    """Yield the strings that CloudFormation would join."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, list):
        for part in node:
            yield from _strings(part, mappings)
    elif node.keys() == {"Fn::FindInMap"}:
        mapping, first, second = node["Fn::FindInMap"]
        yield from _strings(mappings[mapping][first][second], {})
    else:
        separator, parts = node["Fn::Join"]
        if separator or len(node) > 1:
            raise ValueError("only strings of Mappings are joined, with nothing between them")
        yield from _strings(parts, mappings)


def _join(strings: Iterator[str]) -> str:
    parts, size = [], 0
    for part in strings:
        # Empty strings count too: a small template can name a large mapping many times.
        size += len(part) + 1
        if size > MAX_CODE:
            raise ValueError(f"it is longer than {MAX_CODE:,} characters")
        parts.append(part)
    return "".join(parts)


def differences(text: str, built: str) -> list[str]:
    """Describe how a template differs from the one that this version builds.

    Args:
        text: the template in question.
        built: ours.

    Returns:
        One line a difference; none where both are the same byte for byte.

    Raises:
        UserError: as ``list_functions``.
    """
    if text == built:
        return []
    theirs = {function.name: function for function in list_functions(text)}
    ours = {function.name: function for function in list_functions(built)}
    lines = []
    for name in sorted(theirs.keys() & ours.keys()):
        if theirs[name].loader_sha256 != ours[name].loader_sha256:
            lines.append(f"{name}: the code around the archive differs")
        lines += [f"{name}: {line}" for line in _compare(theirs[name].modules, ours[name].modules)]
    lines += _compare_rest(_template(text), _template(built))
    return lines or ["the same content, written differently"]


def _compare(theirs: tuple[Module, ...], ours: tuple[Module, ...]) -> list[str]:
    there = {module.path: module.sha256 for module in theirs}
    here = {module.path: module.sha256 for module in ours}
    return [
        *(f"{path} is not in ours" for path in sorted(there.keys() - here.keys())),
        *(f"{path} is missing" for path in sorted(here.keys() - there.keys())),
        *(f"{path} differs" for path in sorted(there.keys() & here.keys()) if there[path] != here[path]),
    ]


def _compare_rest(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    lines = []
    for section in sorted(theirs.keys() | ours.keys()):
        there, here = theirs.get(section), ours.get(section)
        if not isinstance(there, dict) or not isinstance(here, dict):
            lines += [f"{section} differs"] if written(there) != written(here) else []
            continue
        for name in sorted(there.keys() | here.keys()):
            if name not in here or name not in there:
                lines.append(f"{section}: {name} {'is not in ours' if name not in here else 'is missing'}")
            elif written(_without_code(there[name])) != written(_without_code(here[name])):
                lines.append(f"{section}: {name} differs")
    return lines


def _without_code(resource: Any) -> Any:
    """Return a resource without the inline code that was compared already, but with all that stands beside it."""
    if not isinstance(resource, dict) or resource.get("Type") != "AWS::Lambda::Function":
        return resource
    properties = resource["Properties"]
    code = {key: value for key, value in properties["Code"].items() if key != "ZipFile"}
    return resource | {"Properties": properties | {"Code": code}}


def _template(text: str) -> Mapping[str, Any]:
    try:
        template: dict[str, Any] = read_once(text)
        resources = template["Resources"]
    except WrittenTwiceError as error:
        raise UserError(f"the template {error}: which of both CloudFormation takes is not certain") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError("this is not a template of annex-bootstrap: it is not JSON with Resources") from error
    if not isinstance(resources, dict):
        raise UserError("this is not a template of annex-bootstrap: its Resources are not an object")
    return template


def _archive_text(code: str) -> str:
    for node in ast.parse(code).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            named = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if named == ["ARCHIVE"] and isinstance(node.value.value, str):
                return node.value.value
    return ""


def _unpack(archive: str) -> list[Module]:
    unpacker = bz2.BZ2Decompressor()
    packed = base64.b64decode(archive, validate=True)
    unpacked = unpacker.decompress(packed, max_length=MAX_ARCHIVE)
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError(f"its archive does not end within {MAX_ARCHIVE:,} bytes, or continues after its end")
    files = read_once(unpacked)
    return [Module(name, _sha256(files[name].encode())) for name in sorted(files)]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
