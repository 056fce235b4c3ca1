"""Tag policies: which spelling and which values of a tag the organisation allows, where it enforces that.

MiniStack has none. A resource without the tag complies. Sources:
https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_tag-policies-enforcement.html and, for
the form, https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_example-tag-policies.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

ALL = "ALL_SUPPORTED"
"""Stands for every type of a service that tag policies know."""


def denying(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document that denies what a tag policy does not allow, and nothing else; each Sid is the tag."""
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [*_statements(policy), everything]}


def _statements(policy: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, rule in policy["tags"].items():
        key = "".join(_given(rule.get("tag_key"))) or name
        resources = [arn for kind in _given(rule.get("enforced_for")) for arn in _arns(kind)]
        if not resources:
            continue
        deny = {"Effect": "Deny", "Action": "*", "Resource": resources}
        yield deny | {
            "Sid": key,
            "Condition": {
                "ForAnyValue:StringEqualsIgnoreCase": {"aws:TagKeys": key},
                "ForAllValues:StringNotEquals": {"aws:TagKeys": key},
            },
        }
        if values := _given(rule.get("tag_value")):
            given = f"aws:RequestTag/{key}"
            yield deny | {"Sid": key, "Condition": {"Null": {given: "false"}, "StringNotLike": {given: values}}}


def _given(part: Any) -> list[str]:
    """Return what the operators of inheritance give in one document alone."""
    if not isinstance(part, Mapping):
        return []
    given = [part[operator] for operator in ("@@assign", "@@append") if operator in part]
    return [str(each) for values in given for each in (values if isinstance(values, list) else [values])]


def _arns(kind: str) -> list[str]:
    service, _, resource = kind.partition(":")
    if resource in (ALL, "*"):
        return [f"arn:*:{service}:*"]
    if kind == "s3:bucket":
        return ["arn:*:s3:::*"]
    return [f"arn:*:{service}:*:*:{resource}{separator}*" for separator in "/:"]
