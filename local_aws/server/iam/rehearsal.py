"""What an institution's documents deny, where they are rehearsed: it is recorded, and then it happens anyway.

So one run learns of every denial, and not only of the first. What one of our own policies denies too stays denied.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from typing import Any

from ministack.core import iam_evaluator

from local_aws.server import account, recording
from local_aws.server.iam import variables
from local_aws.server.iam.tag_policies import denying

Layer = tuple[str, Sequence[Any]]
"""The kind of policies, and MiniStack's parsed documents: every layer has to allow a call."""

PRINCIPAL = ("identity-based policy", "permissions boundary")
"""The kinds of policies of the principal itself."""

_seen: set[tuple[str, str, bool]] = set()
"""The condition keys of the documents, and whether a call had a value for them."""


def sets_aside(ctx: Any, layers: Sequence[Layer], *, denied: bool) -> bool:
    """Record who denies a call, and return whether it is nobody but the rehearsed documents.

    Args:
        ctx: MiniStack's description of the request.
        layers: that decide about it.
        denied: whether it is denied by more than the organisation.
    """
    denials = blamed(ctx, layers, _documents())
    principals = [layer for kind, layer in layers if kind in PRINCIPAL]
    by_resource = denied and all(iam_evaluator.evaluate(ctx, layer).decision == "Allow" for layer in principals)
    if by_resource or not denials:
        return False
    # The root is the local AWS's own here, which makes the users of a rehearsal.
    if ctx.principal_type != "Root":
        recording.write(
            recording.DENIALS,
            {"principal": ctx.principal_arn, "action": ctx.action, "resource": ctx.resource_arn, "by": denials},
        )
    return True


def blamed(ctx: Any, layers: Iterable[Layer], documents: Sequence[tuple[str, Any]]) -> list[dict[str, Any]]:
    """Return the statements of documents that deny a call; none where something else denies it as well.

    Args:
        ctx: MiniStack's description of the request.
        layers: that decide about it.
        documents: file names, and what MiniStack makes of their documents.

    Returns:
        For each: the file, the kind of policy, and the statement's Sid or, without one, its number from 1; None as the
        statement where the layer has none that allows the call.
    """
    found = []
    for kind, layer in layers:
        files = []
        allows = False
        for statements in layer:
            file = next((name for name, parsed in documents if parsed == statements), None)
            files.append(file)
            for number, statement in enumerate(variables.filled([statements], ctx)[0], start=1):
                if not iam_evaluator._first_match(ctx, [statement], statement.effect):
                    continue
                if statement.effect == "Allow":
                    allows = True
                elif file is None:
                    return []
                else:
                    found.append({"file": file, "kind": kind, "statement": statement.sid or number})
        if not allows:
            if not any(files):
                return []
            found += [{"file": file, "kind": kind, "statement": None} for file in files if file]
    return found


def note_keys(ctx: Any) -> None:
    """Record which condition keys of the documents a call had a value for, at their first time."""
    for file, statements in _documents():
        for statement in statements:
            for key in (key for block in statement.conditions.values() for key in block):
                known = iam_evaluator._resolve_condition_key(key, ctx) is not None
                if (file, key, known) not in _seen:
                    _seen.add((file, key, known))
                    recording.write(recording.CONDITION_KEYS, {"file": file, "key": key, "known": known})


def is_on() -> bool:
    """Tell whether documents are rehearsed."""
    return bool(account.settings().rehearsed)


def _documents() -> Sequence[tuple[str, Any]]:
    return _parsed(json.dumps(account.settings().rehearsed))


@functools.lru_cache(maxsize=2)
def _parsed(text: str) -> Sequence[tuple[str, Any]]:
    documents = [(each["file"], each["document"]) for each in json.loads(text)]
    return [
        (file, iam_evaluator.parse_policy_document(document if "Statement" in document else denying(document)))
        for file, document in documents
    ]
