"""An institution's documents, as `annex-bootstrap rehearse` takes them, and what it finds out under them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from annex_bootstrap.errors import CommandLineError
from annex_bootstrap.policies.limits import MANAGED_POLICY_LIMIT, size

LARGEST = 262_144
"""Bytes of a file that may be a policy. AWS takes 10,000 characters at most, and has longer ones of its own:
https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html"""

VERSIONS = ("2008-10-17", "2012-10-17")
"""The versions of the policy language; the first is meant where none is named:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_version.html"""

OPERATORS = frozenset(
    {
        "arnequals",
        "arnlike",
        "arnnotequals",
        "arnnotlike",
        "binaryequals",
        "bool",
        "dateequals",
        "dategreaterthan",
        "dategreaterthanequals",
        "datelessthan",
        "datelessthanequals",
        "datenotequals",
        "ipaddress",
        "notipaddress",
        "null",
        "numericequals",
        "numericgreaterthan",
        "numericgreaterthanequals",
        "numericlessthan",
        "numericlessthanequals",
        "numericnotequals",
        "stringequals",
        "stringequalsignorecase",
        "stringlike",
        "stringnotequals",
        "stringnotequalsignorecase",
        "stringnotlike",
    }
)
"""The operators of conditions, in lower case:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html"""


class DocumentError(CommandLineError):
    """A file that is not the document which its option takes."""


class Kind(StrEnum):
    """What a document is."""

    SCP = "service control policy"
    BOUNDARY = "permissions boundary"
    POLICY = "policy"
    TAG_POLICY = "tag policy"


@dataclass(frozen=True)
class Document:
    """A document of an institution.

    Attributes:
        kind: what it is.
        file: where it was read.
        content: its JSON; its statements are a list.
    """

    kind: Kind
    file: Path
    content: dict[str, Any]


@dataclass(frozen=True)
class Denial:
    """A call that a document denies.

    Attributes:
        step: of the rehearsal.
        who: makes the call.
        call: the IAM action.
        resource_arn: the ARN that it is denied on, the first of several.
        file: of the document.
        document_kind: of the document, as AWS names it.
        statement: that denies it: its Sid or its number, from 1, or the tag of a tag policy; None where the document
            has none that allows it.
    """

    step: str
    who: str
    call: str
    resource_arn: str
    file: str
    document_kind: str
    statement: str | None

    @property
    def resource_type(self) -> str:
        """What it is denied on, such as ``role``; for a bucket its name."""
        return re.split("[:/]", self.resource_arn.split(":", 5)[-1])[0]


@dataclass(frozen=True)
class Step:
    """A step of the rehearsal.

    Attributes:
        name: what is done.
        denials: that were noted in it and set aside.
        error: why it failed all the same; None where it did not.
    """

    name: str
    denials: tuple[Denial, ...]
    error: str | None


@dataclass(frozen=True)
class Rights:
    """What a role or a policy of the stack may do.

    Attributes:
        name: its logical ID.
        purpose: whose it is, and what for.
        actions: by what each statement is for, its Sid.
    """

    name: str
    purpose: str
    actions: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Page:
    """What the person who signs has to know of the stack that was rehearsed.

    Attributes:
        resources: how many of what.
        rights: of every role and policy.
        ports: that are open on the machines, and to whom.
        data: what is stored, and for how long.
        ends: what ends what.
    """

    resources: Mapping[str, int]
    rights: tuple[Rights, ...]
    ports: tuple[str, ...]
    data: tuple[str, ...]
    ends: tuple[str, ...]


def read_document(kind: Kind, file: Path) -> Document:
    """Read a document and check that it is one.

    Raises:
        DocumentError: it cannot be read, or is something else.
    """
    try:
        with file.open("rb") as opened:
            raw = opened.read(LARGEST + 1)
    except OSError as error:
        raise DocumentError(f"{file} cannot be read: {error.strerror or error}") from error
    if len(raw) > LARGEST:
        raise DocumentError(f"{file} is larger than {LARGEST:,} bytes, and no {kind} is: name the policy's own file")
    try:
        content = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise DocumentError(f"{file} is not UTF-8 text: save the {kind} as JSON in UTF-8") from error
    except json.JSONDecodeError as error:
        raise DocumentError(
            f"{file} is not JSON, from line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{file} is not JSON that AWS takes: {error}") from None
    check = _tag_policy_problem if kind is Kind.TAG_POLICY else _policy_problem
    if problem := check(content):
        raise DocumentError(f"{file} is not a {kind}: {problem}")
    if kind is not Kind.TAG_POLICY and isinstance(content["Statement"], dict):
        content["Statement"] = [content["Statement"]]
    if kind is Kind.BOUNDARY and size(content) > MANAGED_POLICY_LIMIT:
        raise DocumentError(
            f"{file} has {size(content):,} characters, and IAM takes a {kind} of {MANAGED_POLICY_LIMIT:,}: shorten it"
        )
    return Document(kind, file, content)


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"an object has {twice!r} twice")
    return dict(pairs)


def _policy_problem(content: Any) -> str:
    """Return what is wrong with a policy, or nothing.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
    """
    if not isinstance(content, dict) or "Statement" not in content:
        return "it has no Statement"
    if content.get("Version", VERSIONS[0]) not in VERSIONS:
        return f'its Version is not "{VERSIONS[1]}"'
    statements = content["Statement"]
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not statements:
        return "its Statement is not a list of statements"
    for number, statement in enumerate(statements, start=1):
        if problem := _statement_problem(statement):
            return f"statement {number} {problem}"
    sids = [statement["Sid"] for statement in statements if statement.get("Sid")]
    if twice := next((sid for sid in sids if sids.count(sid) > 1), None):
        return f"two statements have the Sid {twice!r}"
    return ""


def _statement_problem(statement: Any) -> str:
    if not isinstance(statement, dict):
        return "is no object"
    known = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}
    if unknown := sorted(statement.keys() - known):
        return f"has {unknown[0]!r}, which such a policy does not have"
    if statement.get("Effect") not in ("Allow", "Deny"):
        return 'has no Effect "Allow" or "Deny"'
    if not isinstance(statement.get("Sid", ""), str):
        return "has a Sid that is no text"
    for name in ("Action", "Resource"):
        given = [each for each in (name, f"Not{name}") if each in statement]
        if len(given) != 1:
            return f"needs either {name} or Not{name}"
        if not _is_texts(statement[given[0]]):
            return f"has a {given[0]} that is neither a text nor a list of texts"
    return _condition_problem(statement.get("Condition", {}))


def _condition_problem(condition: Any) -> str:
    if not isinstance(condition, dict) or not all(isinstance(block, dict) for block in condition.values()):
        return "has a Condition that is not operators with condition keys"
    for operator, block in condition.items():
        name = operator.lower().removeprefix("forallvalues:").removeprefix("foranyvalue:")
        if name.removesuffix("ifexists") not in OPERATORS:
            return f"has a Condition with {operator!r}, which is not an operator of IAM"
        for key, value in block.items():
            values = value if isinstance(value, list) else [value]
            if not values or not all(isinstance(each, str | bool | int | float) for each in values):
                return f"has a Condition whose {key!r} has no values"
    return ""


def _is_texts(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(isinstance(each, str) and each for each in values)


def _tag_policy_problem(content: Any) -> str:
    """Return what is wrong with a tag policy, or nothing.

    Source: https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_example-tag-policies.html
    """
    tags = content.get("tags") if isinstance(content, dict) else None
    if not isinstance(tags, dict) or not tags:
        return 'it has no "tags"'
    for name, rule in tags.items():
        if not isinstance(rule, dict) or not all(isinstance(part, dict) for part in rule.values()):
            return f"the tag {name!r} is not an object of objects such as tag_key"
        for part, operators in rule.items():
            for operator, value in operators.items():
                if not operator.startswith("@@"):
                    return f"{part} of the tag {name!r} has {operator!r}, which is not an operator such as @@assign"
                if not _is_texts(value):
                    return f"{part} of the tag {name!r} has a value of {operator} that is no text"
        if not isinstance(rule.get("tag_key", {}).get("@@assign", name), str):
            return f"tag_key of the tag {name!r} assigns more than one text"
    return ""
