"""What of a function ends when its stack is deleted: its process and its network interfaces.

MiniStack keeps the process, ready for calls that cannot come.
"""

from __future__ import annotations

from typing import Any

from ministack.core.lambda_runtime import invalidate_worker
from ministack.core.responses import get_account_id, get_region
from ministack.services.cloudformation import provisioners

from local_aws.server.lambda_functions import networks


def install() -> None:
    """Extend MiniStack's CloudFormation."""
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    delete = handlers["delete"]

    def delete_function(physical_id: str, properties: dict[str, Any]) -> None:
        delete(physical_id, properties)
        networks.release(physical_id, str(properties["Role"]), waits=True)
        invalidate_worker(physical_id, account=get_account_id(), region=get_region())

    handlers["delete"] = delete_function
