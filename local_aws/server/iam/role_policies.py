"""AWS::IAM::RolePolicy in CloudFormation; MiniStack has no such type.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-iam-rolepolicy.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ministack.services import iam
from ministack.services.cloudformation import provisioners

Made = tuple[str, dict[str, str]]
"""A physical ID and attributes."""


def install() -> None:
    """Extend MiniStack's CloudFormation."""
    provisioners._RESOURCE_HANDLERS["AWS::IAM::RolePolicy"] = {
        "create": lambda _logical_id, properties, _stack_name: put(properties),
        # Another name is another physical ID, so the engine deletes the old policy once the update is complete.
        "update": lambda _physical_id, _old, properties, _stack_name: put(properties),
        "delete": lambda _physical_id, properties: delete(properties),
    }


def put(properties: Mapping[str, Any]) -> Made:
    """Create or update the policy."""
    form = {name: properties[name] for name in ("RoleName", "PolicyName")}
    status, _, body = iam._put_role_policy({**form, "PolicyDocument": json.dumps(properties["PolicyDocument"])})
    if status != 200:
        raise ValueError(body.decode())
    return f"{form['PolicyName']}|{form['RoleName']}", {}


def delete(properties: Mapping[str, Any]) -> None:
    """Delete the policy, or find it gone."""
    iam._delete_role_policy({name: properties[name] for name in ("RoleName", "PolicyName")})
