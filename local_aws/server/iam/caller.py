"""Who sent the request that is being answered, for what AWS does with its caller's rights."""

from __future__ import annotations

import contextvars

CALLER: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="")
"""Its access key. What an answer starts in the background keeps it."""
