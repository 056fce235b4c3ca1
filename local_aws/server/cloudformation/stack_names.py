"""The names that CloudFormation makes up, as AWS makes them up.

AWS's are ``<stack>-<resource>-<suffix>``, also of log groups, which MiniStack names otherwise; and no two
stacks get the same, while MiniStack derives the suffix from the stack's name alone, so that two regions would share
their roles. Where that is too long, AWS shortens the stack's name first:
https://github.com/aws-cloudformation/cloudformation-cli-java-plugin, ``IdentifierUtils``.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from ministack.core.responses import get_region
from ministack.services.cloudformation import provisioners

SUFFIX = 12
"""Characters of the suffix."""

Properties = dict[str, Any]


def install() -> None:
    """Change MiniStack's CloudFormation."""
    make_name = provisioners._physical_name
    log_groups = provisioners._RESOURCE_HANDLERS["AWS::Logs::LogGroup"]
    create, update = log_groups["create"], log_groups["update"]

    def physical_name(
        stack_name: str, logical_id: str, *, lowercase: bool = False, max_len: int = 128, **how: Any
    ) -> str:
        unique = make_name(stack_name, logical_id, max_len=max_len, **how)
        suffix = hashlib.sha256(f"{get_region()}:{unique}".encode()).hexdigest()[:SUFFIX]
        name = f"{shortened(stack_name, logical_id, max_len)}-{suffix.upper()}"
        return name.lower() if lowercase else name

    def create_log_group(logical_id: str, properties: Properties, stack_name: str) -> Any:
        name = physical_name(stack_name, logical_id, max_len=512)
        return create(logical_id, {"LogGroupName": name, **properties}, stack_name)

    def update_log_group(physical_id: str, old: Properties, new: Properties, *rest: Any) -> Any:
        name = {"LogGroupName": physical_id}
        return update(physical_id, {**name, **old}, {**name, **new}, *rest)

    provisioners._physical_name = physical_name
    log_groups["create"], log_groups["update"] = create_log_group, update_log_group


def shortened(stack_name: str, logical_id: str, longest: int) -> str:
    """Return a name without its suffix: both parts get half of the room, and what one does not need the other.

    Args:
        stack_name: of the stack.
        logical_id: of the resource.
        longest: characters of the whole name, at most.
    """
    cleaned = re.sub("-{2,}", "-", stack_name.lstrip("-"))
    room = longest - SUFFIX - len("--")
    kept = min(len(logical_id), max(room // 2, room - len(cleaned)))
    return f"{cleaned[: room - kept]}-{logical_id[:kept]}"
