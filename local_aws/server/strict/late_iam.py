"""Changes in IAM take effect late: policies, boundaries and keys, each on its own.

"The change might not be visible until the previously cached data times out":
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency. AWS names
no time; reports of accounts speak of 10 to 60 seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id
from ministack.services import iam

from local_aws.server.strict.chance import count, later, now

LONGEST = 30.0
"""Seconds."""

Principal: TypeAlias = tuple[str, str]
"""``role`` or ``user``, and the name."""

Permissions: TypeAlias = tuple[Any, Any]
"""What MiniStack gathers for a principal: its policies, and the layer of its boundary."""

_states: dict[Principal, list[tuple[float, Permissions]]] = {}
"""Since when each state of a principal's permissions counts, oldest first."""

_keys: dict[str, float] = {}
"""Since when each access key is known."""

_gather: dict[str, Callable[[str, str], Any]] = {
    "role": iam_evaluator._gather_role_policies,
    "user": iam_evaluator._gather_user_policies,
}
_boundary = iam_evaluator._permissions_boundary
_resolve = iam_evaluator.resolve_credential


def install() -> None:
    """Let MiniStack see permissions and keys as they were a while ago."""
    iam_evaluator._gather_role_policies = lambda name, _account: _seen(("role", name))[0]
    iam_evaluator._gather_user_policies = lambda name, _account: _seen(("user", name))[0]
    iam_evaluator._permissions_boundary = lambda store, name, _account: _seen((_kind(store), name))[1]
    iam_evaluator.resolve_credential = _resolve_credential


def observe() -> None:
    """Note what has changed since the last call; to be called after everything that may change IAM."""
    account = get_account_id()
    for key_id in iam._access_keys:
        _keys.setdefault(key_id, later(LONGEST))
    for principal in _principals():
        kind, name = principal
        current = (_gather[kind](name, account), _boundary(_store(kind), name, account))
        states = _states.setdefault(principal, [])
        if not states or states[-1][1] != current:
            # In order: nobody sees an older state after a newer one.
            states.append((max(later(LONGEST), states[-1][0] if states else 0.0), current))


def _principals() -> Iterator[Principal]:
    yield from (("role", name) for name in iam._roles)
    yield from (("user", name) for name in iam._users)
    # Those that are gone have an empty state, so that a namesake starts from nothing.
    yield from [principal for principal in _states if principal[1] not in _store(principal[0])]


def _seen(principal: Principal) -> Permissions:
    states = _states.get(principal, [])
    effective = [state for since, state in states if since <= now()]
    found = effective[-1] if effective else ([], [])
    if states and found != states[-1][1]:
        count("a change in IAM that is not in effect yet")
    return found


def _resolve_credential(access_key_id: str, *more: Any) -> Any:
    if _keys.get(access_key_id, 0.0) > now():
        count("an access key that is not known yet")
        return iam_evaluator._unknown_access_key()
    return _resolve(access_key_id, *more)


def _store(kind: str) -> Any:
    return iam._roles if kind == "role" else iam._users


def _kind(store: Any) -> str:
    return "role" if store is iam._roles else "user"
