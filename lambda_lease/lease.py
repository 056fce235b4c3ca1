"""The rules of the lease: what an event says, when an annex is over, and what belongs to it. Pure.

The wire formats are those of ``condor_annex`` (HTCondor 8.7.0 and later): a rule and a target named as the
annex ID, whose constant input is ``{"AnnexID": str, "S3BucketName": str, "LeaseExpiration": int}``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lambda_lease.settings import Settings

ANNEX_ID_LENGTH = 27
"""The annex ID is the annex's name, cut to so many characters."""


class UnreadableLeaseError(ValueError):
    """A lease cannot be read. It never counts as expired."""


@dataclass(frozen=True)
class Lease:
    """What an event, or the input of a rule's target, says.

    Attributes:
        annex_id: the name of the annex, cut to 27 characters.
        bucket: where condor_annex put the tarball; empty after an extension.
        expiration: when the lease ends, in seconds since the epoch.
    """

    annex_id: str
    bucket: str
    expiration: int


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


def parse_lease(event: object) -> Lease:
    """Read a lease from an event.

    Args:
        event: the event, as decoded from JSON.

    Returns:
        The lease.

    Raises:
        UnreadableLeaseError: it is not an object, or a field is missing or has the wrong type.
    """
    if not isinstance(event, dict):
        raise UnreadableLeaseError(f"a lease is a JSON object, not {type(event).__name__}")
    annex_id = event.get("AnnexID")
    if not isinstance(annex_id, str) or not annex_id:
        raise UnreadableLeaseError(f"AnnexID must be a string that is not empty, not {annex_id!r}")
    bucket = event.get("S3BucketName")
    if not isinstance(bucket, str):
        raise UnreadableLeaseError(f"lease of {annex_id}: S3BucketName must be a string, not {bucket!r}")
    expiration = event.get("LeaseExpiration")
    # bool is a subclass of int, and `true` is no point in time.
    if not isinstance(expiration, int) or isinstance(expiration, bool):
        raise UnreadableLeaseError(
            f"lease of {annex_id}: LeaseExpiration must be whole seconds since the epoch, not {expiration!r}"
        )
    return Lease(annex_id, bucket, expiration)


def parse_input(text: str | None) -> Lease:
    """Read a lease from the constant input of a rule's target.

    Args:
        text: the input, JSON; ``None`` where the target has none.

    Returns:
        The lease.

    Raises:
        UnreadableLeaseError: it is missing, is not JSON, or is not a lease.
    """
    if text is None:
        raise UnreadableLeaseError("the rule's target has no constant input")
    try:
        return parse_lease(json.loads(text))
    except UnreadableLeaseError:
        raise
    except (ValueError, RecursionError) as error:
        raise UnreadableLeaseError(f"the input of the rule's target is not JSON: {error}") from error


def decide(event: Lease, target: Lease | None, now: float) -> Wait | Expire:
    """Decide whether an annex is over.

    The target is the truth and the event a hint: a retried or late event may carry an end that was extended
    since. Without a target the event alone decides. Whoever starts or extends an annex puts the target before
    any machine runs, so where there is none, nobody holds a lease, and machines that are left would run for
    ever.

    Args:
        event: what the event says.
        target: what the target of the annex's rule says now; ``None`` where it is not known or there is none.
        now: seconds since the epoch.

    Returns:
        ``Expire`` when ``now`` is past the end of the lease, else ``Wait``.

    Raises:
        UnreadableLeaseError: the target speaks of another annex than the event.
    """
    if target is not None and target.annex_id != event.annex_id:
        raise UnreadableLeaseError(f"the target of rule {event.annex_id} speaks of annex {target.annex_id}")
    lease = target or event
    if now > lease.expiration:
        return Expire(lease, int(now - lease.expiration))
    return Wait(lease, int(lease.expiration - now))


def annex_of(tag: str | None, client_token: str | None) -> str | None:
    """Say which annex something belongs to: one at most, so that ending an annex never touches another.

    A tag wins over the client token, in both directions: it is what people see and change, and what the
    function's IAM policy tests. 8.7.0 tags nothing, so without a tag the client token decides. It is
    ``<annex ID>_<uuid>``, and an annex ID may itself hold underscores.

    Args:
        tag: the value of the tag ``htcondor:AnnexName``; ``None`` where there is no such tag.
        client_token: the client token; ``None`` or empty where there is none.

    Returns:
        The annex ID, or ``None`` where it belongs to no annex.
    """
    if tag is not None:
        return tag or None
    annex_id, _, _ = (client_token or "").rpartition("_")
    return annex_id or None


def annex_of_fleet(tags: Sequence[str | None], client_token: str | None) -> str | None:
    """Say which annex a spot fleet request belongs to.

    Args:
        tags: the tag ``htcondor:AnnexName`` of each of its launch specifications.
        client_token: its client token; DescribeSpotFleetRequests may leave it out.

    Returns:
        The annex ID that all specifications agree on; where none has a tag, the one in the client token; else
        ``None``, since a fleet that is partly someone else's is not ours to cancel.
    """
    values = set(tags) or {None}
    return annex_of(values.pop(), client_token) if len(values) == 1 else None


def tarball_prefix(annex_id: str, settings: Settings) -> str:
    """Say what the keys to list for an annex's tarballs start with.

    Args:
        annex_id: the annex ID.
        settings: the shape of a key.

    Returns:
        The whole key where the ID is the whole name; the part up to the ID where the name may go on.
    """
    start = settings.key_prefix + annex_id
    return start if len(annex_id) == ANNEX_ID_LENGTH else start + settings.key_suffix


def is_tarball(key: str, annex_id: str, settings: Settings) -> bool:
    """Say whether an object is an annex's tarball.

    Args:
        key: the object's key.
        annex_id: the annex ID.
        settings: the shape of a key.

    Returns:
        Whether the name in the key, cut to 27 characters, is the annex ID.
    """
    prefix, suffix = settings.key_prefix, settings.key_suffix
    if not key.startswith(prefix + annex_id) or not key.endswith(suffix):
        return False
    name = key[len(prefix) : len(key) - len(suffix)]
    return name == annex_id or (len(annex_id) == ANNEX_ID_LENGTH and name[:ANNEX_ID_LENGTH] == annex_id)
