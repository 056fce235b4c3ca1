"""The names that CloudFormation makes up, as AWS makes them up.

AWS's are ``<stack>-<resource>-<suffix>``, also of log groups, which MiniStack names otherwise; and no two stacks get
the same, while MiniStack derives the suffix from the stack's name alone, so that two regions would share their roles.
"""

from __future__ import annotations

import hashlib
from typing import Any

from ministack.core.responses import get_region
from ministack.services.cloudformation import provisioners

SUFFIX = 13
"""Characters of the suffix."""

Properties = dict[str, Any]


def install() -> None:
    """Change MiniStack's CloudFormation."""
    make_name = provisioners._physical_name
    log_groups = provisioners._RESOURCE_HANDLERS["AWS::Logs::LogGroup"]
    create, update = log_groups["create"], log_groups["update"]

    def physical_name(stack_name: str, logical_id: str, *, lowercase: bool = False, **how: Any) -> str:
        name: str = make_name(stack_name, logical_id, lowercase=lowercase, **how)
        suffix = hashlib.sha256(f"{get_region()}:{name}".encode()).hexdigest()[:SUFFIX]
        return name[:-SUFFIX] + (suffix if lowercase else suffix.upper())

    def create_log_group(logical_id: str, properties: Properties, stack_name: str) -> Any:
        return create(logical_id, {"LogGroupName": physical_name(stack_name, logical_id), **properties}, stack_name)

    def update_log_group(physical_id: str, old: Properties, new: Properties, *rest: Any) -> Any:
        name = {"LogGroupName": physical_id}
        return update(physical_id, {**name, **old}, {**name, **new}, *rest)

    provisioners._physical_name = physical_name
    log_groups["create"], log_groups["update"] = create_log_group, update_log_group
