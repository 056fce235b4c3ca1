"""The condition keys of conditional writes; MiniStack knows none of them.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack.core import iam_actions

HEADERS = ("if-match", "if-none-match")


def install() -> None:
    """Add the keys to those of MiniStack."""
    context_of = iam_actions.s3_service_context

    def s3_service_context(
        iam_action: str, query_params: Any, path: str = "", headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        context: dict[str, Any] = context_of(iam_action, query_params, path, headers)
        if iam_action == "s3:PutObject":
            context |= {f"s3:{name}": headers[name] for name in HEADERS if headers and name in headers}
        return context

    iam_actions.s3_service_context = s3_service_context
