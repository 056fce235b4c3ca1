"""More time for functions where machines are real: QEMU is several times slower than the processors of EC2."""

from __future__ import annotations

from typing import Any

from ministack.services.cloudformation import provisioners

from local_aws.machines.settings import read

FACTOR = 4


def install() -> None:
    """Extend MiniStack's CloudFormation, where machines are real."""
    if read() is None:
        return
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    create = handlers["create"]

    def create_function(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        return create(logical_id, {**properties, "Timeout": int(properties["Timeout"]) * FACTOR}, stack_name)

    handlers["create"] = create_function
