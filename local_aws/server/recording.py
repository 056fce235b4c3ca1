"""What the server exchanged and decided, written down for tests to judge.

``ANNEX_BOOTSTRAP_RECORDS`` names a directory; without it nothing is written. Each file has one JSON document a line.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from local_aws.server.gate import App, Message, Receive, Send

EXCHANGES = "exchanges.jsonl"
DECISIONS = "decisions.jsonl"
FAULTS = "faults.jsonl"
DENIALS = "denials.jsonl"
CONDITION_KEYS = "condition_keys.jsonl"


def directory() -> Path | None:
    """Return where to write, or None."""
    name = os.environ.get("ANNEX_BOOTSTRAP_RECORDS")
    return Path(name) if name else None


def write(file_name: str, document: Mapping[str, Any]) -> None:
    """Add a document to a file; without a directory, do nothing."""
    where = directory()
    if where:
        with (where / file_name).open("a") as file:
            file.write(json.dumps(document) + "\n")


def recorded(app: App) -> App:
    """Return the ASGI app that also writes down every HTTP exchange."""

    async def recording(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        body, answer = bytearray(), bytearray()
        started: Message = {"status": 0, "headers": []}

        async def hear() -> Message:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                started.update(message)
            answer.extend(message.get("body", b""))
            await send(message)

        await app(scope, hear, tell)
        write(
            EXCHANGES,
            {
                "method": scope["method"],
                "path": scope["path"],
                "query": scope["query_string"].decode(),
                "headers": _texts(scope["headers"]),
                "body": base64.b64encode(body).decode(),
                "status": started["status"],
                "answer_headers": _texts(started["headers"]),
                "answer": base64.b64encode(answer).decode(),
            },
        )

    return recording


def _texts(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
