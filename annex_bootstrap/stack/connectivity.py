"""The stack's connectivity function: whether AWS reaches a pool's collector."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annex_bootstrap.aws import explained
from annex_contract.stack import Output

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

SECONDS = 5
"""That the function waits for the collector, as condor_annex has it."""


@dataclass(frozen=True)
class Reach:
    """What the connectivity function says of a collector.

    Attributes:
        instance_id: what the collector answers as; empty where it was not reached.
        problem: why it was not reached; empty where it was.
    """

    instance_id: str
    problem: str


def reach(functions: LambdaClient, outputs: Mapping[str, str], host: str, port: int, socket_name: str = "") -> Reach:
    """Let the connectivity function ask a collector for an answer.

    Args:
        functions: the Lambda client, so that this may run beside the making of other clients.
        outputs: of the stack whose function it is.
        host: of the collector.
        port: of the collector.
        socket_name: its name behind the shared port; empty where it has none.

    Raises:
        UserError: AWS refused.
    """
    event: dict[str, object] = {"timeout": SECONDS, "condor_host": host, "condor_port": port}
    if socket_name:
        event["condor_socket"] = socket_name
    with explained("asking AWS whether it reaches the pool"):
        answer = functions.invoke(
            FunctionName=outputs[Output.CONNECTIVITY_FUNCTION_ARN], Payload=json.dumps(event).encode()
        )
        said = json.loads(answer["Payload"].read())
    if said.get("success") == "1":
        return Reach(said.get("result", ""), "")
    problem = said.get("description") or said.get("errorMessage") or "the connectivity function gave no answer"
    return Reach("", problem)
