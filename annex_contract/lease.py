"""The lease of an annex: its wire format, its ID, and what belongs to it. Pure, and the same for client and function.

Source of the wire format: HTCondor's ``src/condor_annex`` (8.7.0 and later). A lease is an EventBridge rule with a
target, both named as the annex ID; the target's constant input is
``{"AnnexID": str, "S3BucketName": str, "LeaseExpiration": int}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annex_contract.stack import ANNEX_TAG, STACK_TAG

ANNEX_ID_LENGTH = 27
"""Characters of an annex's name that are its ID; ``condor_annex`` cuts the name there. Source: as above."""

MACHINE_RUNNING = ("pending", "running", "stopping", "stopped")
"""The states of a machine that costs money, or may again:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html"""

MACHINE_ENDING = "shutting-down"
"""The state of a machine that was terminated and is not gone yet; same source."""

MACHINE_ENDED = (MACHINE_ENDING, "terminated")
"""The states of a machine that has ended; AWS shows it for about an hour:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/terminating-instances.html"""

FLEET_RUNNING = ("submitted", "active", "modifying")
"""The states of a fleet of either kind that may start machines. Those of a cancelled one are found on their own.
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SpotFleetRequestConfig.html and API_FleetData.html"""

PERSISTENT_REQUESTS: Mapping[str, Sequence[str]] = {
    "type": ("persistent",),
    "state": ("open", "active", "disabled"),
}
"""The filters of DescribeSpotInstanceRequests for those that start another machine where theirs has ended:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html"""

TARBALL_PREFIX = "config-"
"""How the S3 keys begin under which condor_annex uploads a pool's configuration for its machines."""

TARBALL_PATTERN = f"{TARBALL_PREFIX}*.tar.gz"
"""The key of an annex's tarball, with ``*`` for the annex's whole name."""

MACHINES_PREFIX = "machines/"
"""How the S3 keys begin under which ``start`` puts the configuration of one machine each."""

TICK_MINUTES = 5
"""Minutes between two ticks of an annex: its rule runs the lease function at ``TICK_RATE``. Source: as above."""

TICK_RATE = f"rate({TICK_MINUTES} minutes)"

SWEEP_RATE = "rate(1 hour)"

SWEEP_EVENT: Mapping[str, object] = {"Sweep": True}
"""The constant input of the stack's own hourly rule, by which the function knows it."""

LATEST = 32_503_679_999
"""The end of the year 2999, in seconds since the epoch. No lease ends later: dates after 9999 cannot even be shown."""

_ANNEX_ID, _BUCKET, _EXPIRATION = "AnnexID", "S3BucketName", "LeaseExpiration"


class UnreadableLeaseError(ValueError):
    """A lease cannot be read. It never counts as expired."""


@dataclass(frozen=True)
class Lease:
    """The content of an event, or of the input of a rule's target.

    Attributes:
        annex_id: as ``annex_id_of`` makes it.
        bucket: where condor_annex put the tarball; empty after an extension.
        expiration: when the lease ends, in seconds since the epoch.
    """

    annex_id: str
    bucket: str
    expiration: int

    def event(self) -> dict[str, object]:
        """Return the lease as an event, which the constant input of the rule's target has as JSON."""
        return {_ANNEX_ID: self.annex_id, _BUCKET: self.bucket, _EXPIRATION: self.expiration}


def annex_id_of(name: str) -> str:
    """Return the ID of the annex with a name."""
    return name[:ANNEX_ID_LENGTH]


def machine_key(annex_id: str, role_id: str, instance_id: str) -> str:
    """Return the S3 key of the configuration of one machine that ``start`` starts.

    It ends in what IAM calls ``aws:userid`` of the machine, which alone may read it:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#principaltable

    Args:
        annex_id: of the machine's annex, which has no slash.
        role_id: the unique ID of the machine's role.
        instance_id: of the machine.
    """
    return f"{MACHINES_PREFIX}{annex_id}/{role_id}:{instance_id}"


def parse_lease(event: object) -> Lease:
    """Read a lease from an event.

    Args:
        event: the event, as decoded from JSON.

    Returns:
        The lease.

    Raises:
        UnreadableLeaseError: it is no object, a field is missing or of the wrong type, or it ends after ``LATEST``.
    """
    if not isinstance(event, dict):
        raise UnreadableLeaseError(f"a lease is a JSON object, not {type(event).__name__}")
    annex_id = event.get(_ANNEX_ID)
    if not isinstance(annex_id, str) or not annex_id:
        raise UnreadableLeaseError(f"{_ANNEX_ID} must be a string that is not empty, not {annex_id!r}")
    bucket = event.get(_BUCKET)
    if not isinstance(bucket, str):
        raise UnreadableLeaseError(f"lease of {annex_id}: {_BUCKET} must be a string, not {bucket!r}")
    expiration = event.get(_EXPIRATION)
    # bool is a subclass of int, and `true` is no point in time.
    if not isinstance(expiration, int) or isinstance(expiration, bool):
        raise UnreadableLeaseError(
            f"lease of {annex_id}: {_EXPIRATION} must be whole seconds since the epoch, not {expiration!r}"
        )
    if expiration > LATEST:
        raise UnreadableLeaseError(f"lease of {annex_id}: {_EXPIRATION} must be before the year 3000")
    # An end before the epoch is over all the same.
    return Lease(annex_id, bucket, max(expiration, 0))


def parse_input(text: str | None, rule: str) -> Lease:
    """Read a lease from the constant input of a rule's target.

    Args:
        text: the input, JSON; ``None`` where the target has none.
        rule: the rule's name, which is the ID of its annex.

    Returns:
        The lease.

    Raises:
        UnreadableLeaseError: it is missing, is not JSON, is not a lease, or is the lease of another annex.
    """
    if text is None:
        raise UnreadableLeaseError("the rule's target has no constant input")
    try:
        lease = parse_lease(json.loads(text))
    except UnreadableLeaseError:
        raise
    except (ValueError, RecursionError) as error:
        raise UnreadableLeaseError(f"the input of the rule's target is not JSON: {error}") from error
    if lease.annex_id != rule:
        raise UnreadableLeaseError(f"the target of rule {rule} holds the lease of annex {lease.annex_id}")
    return lease


def input_ending_at(text: str, expiration: int) -> str:
    """Return the constant input of a target with another end and nothing else changed.

    Args:
        text: an input that ``parse_input`` reads.
        expiration: when the lease ends, in seconds since the epoch.
    """
    return json.dumps(json.loads(text) | {_EXPIRATION: expiration})


def annex_of(tag: str | None, client_token: str | None, *, ours: bool) -> str | None:
    """Return the annex that something belongs to: one at most, so that ending an annex never touches another.

    Nothing without the stack's own instance profile belongs to an annex of the stack: others choose tags and client
    tokens as they like, and only the profile takes a right that the stack gives. Of its machines, a tag wins over the
    client token, in both directions: it is what people see and change. 8.7.0 tags nothing, so without a tag the client
    token decides. It is ``<annex ID>_<uuid>``, and an annex ID may itself hold underscores.

    Args:
        tag: the value of the tag ``htcondor:AnnexName``; ``None`` where there is no such tag.
        client_token: the client token; ``None`` or empty where there is none.
        ours: whether it runs with the stack's instance profile.

    Returns:
        The annex ID, or ``None`` where it belongs to no annex.
    """
    if not ours:
        return None
    if tag is not None:
        return tag or None
    annex_id, _, _ = (client_token or "").rpartition("_")
    return annex_id or None


def annex_of_specifications(tags: Sequence[str | None], client_token: str | None, *, ours: bool) -> str | None:
    """Return the annex that a spot fleet request belongs to.

    Args:
        tags: the tag ``htcondor:AnnexName`` of each of its launch specifications.
        client_token: its client token; DescribeSpotFleetRequests may leave it out.
        ours: whether all of them have the stack's instance profile.

    Returns:
        The annex ID that all specifications agree on; where none has a tag, the one in the client token; else
        ``None``, since a fleet that is partly someone else's is not ours to cancel.
    """
    values = set(tags) or {None}
    return annex_of(values.pop(), client_token, ours=ours) if len(values) == 1 else None


def annex_of_machine(instance: Mapping[str, Any], profile_arns: frozenset[str]) -> str | None:
    """Return the annex that a machine belongs to, if any.

    Args:
        instance: as DescribeInstances describes it.
        profile_arns: the stack's instance profiles.
    """
    ours = _profile(instance) in profile_arns
    return annex_of(_annex_tag(instance.get("Tags", [])), instance.get("ClientToken"), ours=ours)


def annex_of_ec2_fleet(fleet: Mapping[str, Any], stack_id: str) -> str | None:
    """Return the annex that an EC2 fleet belongs to, if any: its own tags say so.

    Args:
        fleet: as DescribeFleets describes it.
        stack_id: the stack's ARN.
    """
    tags = fleet.get("Tags", [])
    ours = {"Key": STACK_TAG, "Value": stack_id} in tags
    return (_annex_tag(tags) or None) if ours else None


def runs_with(config: Mapping[str, Any], profile_arns: frozenset[str]) -> bool:
    """Return whether all machines of a spot fleet request have one of the stack's instance profiles.

    Args:
        config: its ``SpotFleetRequestConfig``.
        profile_arns: the stack's.
    """
    profiles = {_profile(specification) for specification in config.get("LaunchSpecifications", [])}
    return bool(profiles) and profiles <= profile_arns


def annex_of_fleet(config: Mapping[str, Any], profile_arns: frozenset[str]) -> str | None:
    """Return the annex that a spot fleet request belongs to, if any.

    Args:
        config: its ``SpotFleetRequestConfig``, as DescribeSpotFleetRequests describes it.
        profile_arns: the stack's instance profiles.
    """
    tags = [
        _annex_tag(tag for tagged in specification.get("TagSpecifications", []) for tag in tagged.get("Tags", []))
        for specification in config.get("LaunchSpecifications", [])
    ]
    return annex_of_specifications(tags, config.get("ClientToken"), ours=runs_with(config, profile_arns))


def _profile(started: Mapping[str, Any]) -> str:
    return str(started.get("IamInstanceProfile", {}).get("Arn", ""))


def _annex_tag(tags: Iterable[Mapping[str, str]]) -> str | None:
    return next((tag.get("Value", "") for tag in tags if tag.get("Key") == ANNEX_TAG), None)
