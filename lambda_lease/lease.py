"""The lease function's own rules: when an annex is over, and which objects are its tarball. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annex_contract.lease import ANNEX_ID_LENGTH, Lease, annex_id_of

if TYPE_CHECKING:
    from lambda_lease.settings import Settings


@dataclass(frozen=True)
class Wait:
    """The lease still runs.

    Attributes:
        lease: the lease that decided.
        seconds_left: until it ends.
    """

    lease: Lease
    seconds_left: int


@dataclass(frozen=True)
class Expire:
    """The lease is over.

    Attributes:
        lease: the lease that decided.
        seconds_over: since it ended.
    """

    lease: Lease
    seconds_over: int


def decide(event: Lease, target: Lease | None, now: float) -> Wait | Expire:
    """Decide whether an annex is over.

    The target is the truth and the event a hint: a retried or late event may carry an end that was extended
    since. Without a target the event alone decides. Anyone who starts or extends an annex puts the target before
    any machine runs, so where there is none, no lease exists, and nothing else would ever end the machines that
    are left.

    Args:
        event: the lease in the event.
        target: the lease in the target of the annex's rule now; ``None`` where it is not known or there is none.
        now: seconds since the epoch.

    Returns:
        ``Expire`` when ``now`` is past the end of the lease, else ``Wait``.
    """
    lease = target or event
    if now > lease.expiration:
        return Expire(lease, int(now - lease.expiration))
    return Wait(lease, int(lease.expiration - now))


def tarball_prefix(annex_id: str, settings: Settings) -> str:
    """Return what the keys to list for an annex's tarballs start with.

    Args:
        annex_id: the annex ID.
        settings: the shape of a key.

    Returns:
        The whole key where the ID is the whole name; the part up to the ID where the name may go on.
    """
    start = settings.key_prefix + annex_id
    return start if len(annex_id) == ANNEX_ID_LENGTH else start + settings.key_suffix


def is_tarball(key: str, annex_id: str, settings: Settings) -> bool:
    """Return whether an object is an annex's tarball: whether the name in its key has the annex ID.

    Args:
        key: the object's key.
        annex_id: the annex ID.
        settings: the shape of a key.
    """
    prefix, suffix = settings.key_prefix, settings.key_suffix
    if not key.startswith(prefix + annex_id) or not key.endswith(suffix):
        return False
    name = key[len(prefix) : len(key) - len(suffix)]
    return annex_id in (name, annex_id_of(name))
