"""Requests for machines that are under way, each in a file, so that an interrupted command can be finished.

A request is saved before the first call that changes something, and deleted when its outcome is known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.private_files import read_private, write_private

DIRECTORY = Path("~/.condor/annex-requests")


@dataclass(frozen=True)
class Request:
    """One request for machines.

    Attributes:
        request_id: the client token of its fleet, and a tag of its machines.
        annex_id: of the annex.
        account_id: where.
        region: where.
        stack_id: of the stack whose launch template it names.
        began: when, in seconds since the epoch.
        expiration: when the lease that it asks for ends, in seconds since the epoch.
        owner: whose jobs the machines run; empty for everybody's.
        idle: seconds without a job after which a machine goes.
        fleet: the arguments of CreateFleet.
    """

    request_id: str
    annex_id: str
    account_id: str
    region: str
    stack_id: str
    began: int
    expiration: int
    owner: str
    idle: int
    fleet: Mapping[str, Any]

    @property
    def summary(self) -> str:
        """What it asks for, in a few words."""
        target = self.fleet["TargetCapacitySpecification"]
        unit = "cores" if target.get("TargetCapacityUnitType") == "vcpu" else "machines"
        return f"{target['TotalTargetCapacity']} {unit} {target['DefaultTargetCapacityType'].replace('-', ' ')}"

    @property
    def path(self) -> Path:
        """Its file."""
        return _path(self.account_id, self.region, self.annex_id)

    def save(self) -> None:
        """Write the file.

        Raises:
            UserError: it cannot be written.
        """
        write_private(self.path, json.dumps(asdict(self), indent=2).encode())

    def forget(self) -> None:
        """Delete the file, where it exists."""
        self.path.unlink(missing_ok=True)


def find_request(account_id: str, region: str, annex_id: str) -> Request | None:
    """Return the request of an annex that is under way, or None.

    Raises:
        UserError: its file cannot be read.
    """
    path = _path(account_id, region, annex_id)
    content = read_private(path)
    if not content:
        return None
    try:
        return Request(**json.loads(content))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged: see annex-bootstrap leases for what runs, then delete it") from error


def _path(account_id: str, region: str, annex_id: str) -> Path:
    return DIRECTORY.expanduser() / f"{account_id}-{region}-{annex_id}.json"
