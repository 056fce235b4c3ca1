"""The Delete that CloudFormation sends to a custom resource whose Create failed; MiniStack sends none.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html
"""

from __future__ import annotations

import logging
import uuid
from typing import Any

from ministack.services.cloudformation import custom_resource

logger = logging.getLogger(__name__)


def install() -> None:
    """Send the Delete at once, with the physical ID that the failed Create answered with or a made-up one."""
    invoke = custom_resource.invoke_custom_resource
    deliver = custom_resource.deliver_response
    answered: dict[tuple[str, str], str] = {}

    def deliver_response(token: str, response: dict[str, Any]) -> bool:
        if response.get("PhysicalResourceId"):
            answered[response["StackId"], response["LogicalResourceId"]] = response["PhysicalResourceId"]
        return bool(deliver(token, response))

    def invoke_custom_resource(
        request_type: str,
        logical_id: str,
        props: dict[str, Any],
        stack_name: str,
        stack_id: str,
        resource_type: str,
        **update: Any,
    ) -> Any:
        resource = (logical_id, props, stack_name, stack_id, resource_type)
        answered.pop((stack_id, logical_id), None)
        try:
            return invoke(request_type, *resource, **update)
        except (RuntimeError, TimeoutError):
            if request_type == "Create":
                made_up = f"{stack_name}-{logical_id}-{uuid.uuid4().hex[:12].upper()}"
                physical_id = answered.get((stack_id, logical_id), made_up)
                try:
                    invoke("Delete", *resource, physical_id=physical_id)
                except (RuntimeError, TimeoutError) as error:
                    # CloudFormation goes on as well; the stack's own status tells of the Create.
                    logger.warning("%s was not deleted in the rollback: %s", logical_id, error)
            raise

    custom_resource.deliver_response = deliver_response
    custom_resource.invoke_custom_resource = invoke_custom_resource
