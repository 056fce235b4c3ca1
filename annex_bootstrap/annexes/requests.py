"""Requests for machines that are under way, each in a file, so that an interrupted command can be finished.

A request is saved before the first call that changes something, and deleted when its outcome is known. Who carries it
out touches the file every second: so another one, also on another machine with the same home directory, tells a request
that is alive from one that was interrupted, without a lock, which not every file system has.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from annex_bootstrap.errors import UserError
from annex_bootstrap.local_user import expand_home
from annex_bootstrap.machines.capacity import Capacity
from annex_bootstrap.pool.files import PRIVATE, make_private_directory, read_private, replace_file
from annex_contract.lease import ANNEX_ID_LENGTH
from annex_contract.stack import sweep_rule_name
from annex_contract.tags import NAME, RESERVED

DIRECTORY = Path("~/.condor/annex-requests")

BEAT = 1.0
"""Seconds between two touches of a file."""

SILENCE = 10
"""Beats without a touch after which a request counts as interrupted. It does no harm where that is wrong: a user who
carries it out a second time has the same client token, and starts nothing more."""


USER = re.compile(r"[A-Za-z0-9._-]+")
"""Whose jobs machines can run: what stands in their configuration as it is."""

_NAME = re.compile(rf"[A-Za-z0-9._-]{{1,{ANNEX_ID_LENGTH}}}")


def name_problem(name: str) -> str:
    """Return why an annex cannot have a name; nothing if it can."""
    if not _NAME.fullmatch(name):
        return (
            f"{name!r} cannot name an annex: use at most {ANNEX_ID_LENGTH} letters, digits, points, hyphens and "
            "underscores"
        )
    if name.endswith(sweep_rule_name("")):
        return f"an annex's name cannot end in {sweep_rule_name('')}, as stacks' own rules do: choose another name"
    return ""


@dataclass(frozen=True)
class Annex:
    """The annex that machines are for.

    Attributes:
        name: its name, and the ID of its lease.
        owner: whose jobs its machines run; empty for everybody's.
        idle: seconds without a job after which a machine shuts down.
        expiration: when its lease is to end, in seconds since the epoch.
        only: which jobs its machines run besides those that name it or may use AWS, an expression; empty for none.
        money: what it may spend, as ``Allowance.content`` returns it; None where that is not limited.
    """

    name: str
    owner: str
    idle: int
    expiration: int
    only: str = ""
    money: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Request:
    """One request for machines.

    Attributes:
        request_id: the client token of its fleet, and a tag of its machines.
        annex: which annex the machines are for.
        capacity: what to start.
        weight: how many of the capacity's unit each machine is.
        account_id: where.
        region: where.
        stack_id: of the stack whose launch template it names.
        fleet: the arguments of CreateFleet, which must be the same whenever its client token is.
    """

    request_id: str
    annex: Annex
    capacity: Capacity
    weight: int
    account_id: str
    region: str
    stack_id: str
    fleet: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """Its file."""
        return (
            expand_home(DIRECTORY) / f"{_prefix(self.account_id, self.region, self.annex.name)}{self.request_id}.json"
        )

    @property
    def given_tags(self) -> dict[str, str]:
        """The tags of its fleet that people gave, as far as EventBridge takes them: it may not take a comma in a key.

        Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-tagging.html
        """
        return {
            tag["Key"]: tag["Value"]
            for specification in self.fleet["TagSpecifications"]
            if specification["ResourceType"] == "fleet"
            for tag in specification["Tags"]
            if not tag["Key"].lower().startswith(RESERVED) and tag["Key"] != NAME and "," not in tag["Key"]
        }

    @contextlib.contextmanager
    def under_way(self) -> Iterator[None]:
        """Keep the file until the context ends, and show that the request is alive; only ``forget`` deletes it.

        Raises:
            UserError: it cannot be written.
        """
        try:
            make_private_directory(self.path.parent)
            # No other process writes this one.
            replace_file(self.path, json.dumps(asdict(self), indent=2).encode(), PRIVATE)
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be written: {error.strerror or error}; check who owns its directory"
            ) from error
        over = threading.Event()
        beating = threading.Thread(target=self._beat, args=(over,), daemon=True)
        beating.start()
        try:
            yield
        finally:
            over.set()
            beating.join()

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(BEAT):
            with contextlib.suppress(OSError):
                os.utime(self.path)

    def is_alive(self) -> bool:
        """Return whether somebody carries it out now, or did until a moment ago; takes ``SILENCE`` if nobody does."""
        before = _touched(self.path)
        for _ in range(SILENCE):
            time.sleep(BEAT)
            if _touched(self.path) != before:
                return True
        return False

    def forget(self) -> None:
        """Delete the file, where it exists."""
        self.path.unlink(missing_ok=True)


def find_requests(account_id: str, region: str, annex: str) -> list[Request]:
    """Return the requests of an annex that are under way or were interrupted, the first at the top.

    Raises:
        UserError: a file cannot be read.
    """
    name = re.compile(re.escape(_prefix(account_id, region, annex)) + "[0-9a-f]{32}.json")
    try:
        paths = [path for path in expand_home(DIRECTORY).iterdir() if name.fullmatch(path.name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{DIRECTORY} cannot be read: {error.strerror or error}; check who owns it") from error
    touched = {path: _touched(path) for path in paths}
    return [request for path in sorted(paths, key=lambda path: touched[path]) if (request := _read(path)) is not None]


def _read(path: Path) -> Request | None:
    content = read_private(path)
    if content is None:
        # It has just ended.
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


def _touched(path: Path) -> int:
    """Return when a file was last touched, in nanoseconds; 0 where there is none."""
    try:
        # Opened, so that NFS asks its server: close-to-open consistency, nfs(5).
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return 0


def _prefix(account_id: str, region: str, annex: str) -> str:
    return f"{account_id}-{region}-{annex}-"
