"""The context object that Lambda passes to a function, as much of it as Powertools and our functions read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LambdaContext:
    """A context.

    Attributes:
        aws_request_id: of the invocation.
        function_name: the function's name.
        memory_limit_in_mb: its memory.
        invoked_function_arn: its ARN.
    """

    aws_request_id: str = "6bc28136-xmpl-4365-b021-0ce6b2e64ab0"
    function_name: str = "annex-bootstrap-LeaseFunction"
    memory_limit_in_mb: int = 128
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:annex-bootstrap-LeaseFunction"


CONTEXT = LambdaContext()
