"""What CloudFormation makes in IAM and elsewhere is seen late, like what calls make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services.cloudformation import stacks

from local_aws.server.strict import late_iam, late_reads


def install() -> None:
    """Note what every step of a stack has made."""
    stacks._provision_resource = _noted(stacks._provision_resource)
    stacks._update_resource = _noted(stacks._update_resource)
    stacks._delete_resource = _noted(stacks._delete_resource)


def _noted(step: Callable[..., Any]) -> Callable[..., Any]:
    def noted(*arguments: Any) -> Any:
        answer = step(*arguments)
        late_iam.observe()
        # The engine itself waits until it finds what it made.
        late_reads.observe(lambda _: 0.0)
        return answer

    return noted
