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
from annex_bootstrap.machines.capacity import Capacity
from annex_bootstrap.pool.files import read_private, write_private

DIRECTORY = Path("~/.condor/annex-requests")


@dataclass(frozen=True)
class Annex:
    """The annex that machines are for.

    Attributes:
        name: its name, and the ID of its lease.
        owner: whose jobs its machines run; empty for everybody's.
        idle: seconds without a job after which a machine shuts down.
        expiration: when its lease is to end, in seconds since the epoch.
    """

    name: str
    owner: str
    idle: int
    expiration: int


@dataclass(frozen=True)
class Request:
    """One request for machines.

    Attributes:
        request_id: the client token of its fleet, and a tag of its machines.
        annex: which annex the machines are for.
        capacity: what to start.
        account_id: where.
        region: where.
        stack_id: of the stack whose launch template it names.
        fleet: the arguments of CreateFleet, which must be the same whenever its client token is.
    """

    request_id: str
    annex: Annex
    capacity: Capacity
    account_id: str
    region: str
    stack_id: str
    fleet: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """Its file."""
        return _path(self.account_id, self.region, self.annex.name)

    def save(self) -> None:
        """Write the file.

        Raises:
            UserError: it cannot be written.
        """
        write_private(self.path, json.dumps(asdict(self), indent=2).encode())

    def forget(self) -> None:
        """Delete the file, where it exists."""
        self.path.unlink(missing_ok=True)


def find_request(account_id: str, region: str, annex: str) -> Request | None:
    """Return the request of an annex that is under way, or None.

    Raises:
        UserError: its file cannot be read.
    """
    path = _path(account_id, region, annex)
    content = read_private(path)
    if not content:
        return None
    try:
        saved = json.loads(content)
        types = tuple(saved["capacity"].pop("types"))
        return Request(
            **saved | {"annex": Annex(**saved["annex"]), "capacity": Capacity(types=types, **saved["capacity"])}
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged or of another version: see annex-bootstrap leases for what runs, then delete it"
        ) from error


def _path(account_id: str, region: str, annex: str) -> Path:
    return DIRECTORY.expanduser() / f"{account_id}-{region}-{annex}.json"
