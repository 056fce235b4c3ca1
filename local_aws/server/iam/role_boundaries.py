"""PermissionsBoundary of AWS::IAM::Role in CloudFormation; MiniStack leaves it out.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-iam-role.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack.services import iam
from ministack.services.cloudformation import provisioners


def install() -> None:
    """Extend MiniStack's CloudFormation."""
    handlers = provisioners._RESOURCE_HANDLERS["AWS::IAM::Role"]
    create, update = handlers["create"], handlers["update"]

    def create_bounded(logical_id: str, properties: Mapping[str, Any], stack_name: str) -> Any:
        made = create(logical_id, properties, stack_name)
        _bind(made[0], properties)
        return made

    def update_bounded(physical_id: str, old: Any, properties: Mapping[str, Any], stack_name: str, *more: Any) -> Any:
        made = update(physical_id, old, properties, stack_name, *more)
        _bind(made[0], properties)
        return made

    handlers.update(create=create_bounded, update=update_bounded)


def _bind(role_name: str, properties: Mapping[str, Any]) -> None:
    role = iam._roles[role_name]
    boundary = properties.get("PermissionsBoundary")
    if boundary:
        role["PermissionsBoundary"] = boundary
    else:
        role.pop("PermissionsBoundary", None)
