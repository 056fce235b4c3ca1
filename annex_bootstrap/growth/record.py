"""What growth and other commands did: an append-only file beside the pool's configuration, a JSON object a line.

EC2 says what exists, and forgets a machine about an hour after its end. So what was spent, which capacity AWS lacked
and which machines joined stands here. Every line has ``at``, in seconds since the epoch, and ``event``:

- ``rules``: what the person who runs ``grow`` wants;
- ``step``: machines that are about to start, with their ``request``;
- ``outcome``: what came of that request;
- ``machine``: one that ``start`` has started, or that was seen in EC2 for the first time; a later line about the same
  machine counts instead of an earlier one. ``by`` names the command, ``expiration`` the end of its lease then;
- ``joined``, ``ended``: what became of it. Without a ``reason`` it was only found to be gone, and ended earlier;
- ``extension``: a lease that ends later;
- ``waiting``: which jobs wait, and why, where that has changed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from annex_bootstrap.aws import Account
from annex_bootstrap.errors import UserError
from annex_bootstrap.growth.cloud import Instance, read_instances
from annex_bootstrap.growth.model import BOOT_SECONDS, History, Lack
from annex_bootstrap.growth.plan import LATE
from annex_bootstrap.machines.money import Charge
from annex_bootstrap.pool.files import PRIVATE, locked, make_private_directory

NAME = "annex-record.jsonl"

BACKOFF = 600
"""Seconds for which capacity that AWS did not have is not asked for again."""

GROW = "grow"
"""The command that watches whether machines join."""

WATCHED = 300
"""Seconds between two looks, above which nobody knows what became of a machine in between."""

Event = Mapping[str, Any]


@dataclass
class Record:
    """The record, as read once and then kept up.

    Attributes:
        path: of the file.
        events: its lines, the first at the front.
        looked: when somebody last looked at the machines, in seconds since the epoch; 0 for never.
    """

    path: Path
    events: list[dict[str, Any]] = field(default_factory=list)
    looked: float = 0

    @classmethod
    def beside(cls, config: Path) -> Record:
        """Read the record beside a pool's configuration file.

        Raises:
            UserError: it cannot be read.
        """
        path = config.with_name(NAME)
        try:
            content, looked = path.read_bytes(), path.stat().st_mtime
        except FileNotFoundError:
            return cls(path)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}; check who owns it") from error
        # A last line without an end is one that a killed process did not finish.
        lines = content.split(b"\n")[:-1]
        try:
            events = [event for line in lines if line.strip() and isinstance(event := json.loads(line), dict)]
        except ValueError as error:
            raise UserError(
                f"{path} is damaged: move it away to begin a new one, which counts what is spent from zero"
            ) from error
        return cls(path, events, looked)

    def add(self, event: str, **content: Any) -> None:
        """Append a line.

        Raises:
            UserError: it cannot be written.
        """
        self.add_all(event, [content])

    def add_all(self, event: str, contents: Sequence[Event]) -> None:
        """Append a line for each content, and wait for the disk once: a thousand machines start together.

        Raises:
            UserError: they cannot be written.
        """
        if not contents:
            return
        lines = [{"at": int(time.time()), "event": event, **content} for content in contents]
        text = b"".join(json.dumps(line, default=str).encode() + b"\n" for line in lines)
        try:
            make_private_directory(self.path.parent)
            with (
                locked(self.path),
                os.fdopen(
                    os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, PRIVATE), "r+b", buffering=0
                ) as file,
            ):
                # Its time says when somebody last looked at the machines: see look.
                before = os.fstat(file.fileno())
                size = file.seek(0, os.SEEK_END)
                if size:
                    file.seek(-1, os.SEEK_END)
                    # What a killed process did not finish ends here, and nobody reads it.
                    if file.read(1) != b"\n":
                        last = self.path.read_bytes().rfind(b"\n") + 1
                        file.truncate(last)
                file.write(text)
                os.fsync(file.fileno())
                looked = before.st_mtime if size else before.st_mtime - 2 * WATCHED
                os.utime(file.fileno(), (looked, looked))
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be written: {error.strerror or error}; nothing starts without its record"
            ) from error
        self.events += map(json.loads, text.splitlines())

    def look(self, now: float) -> bool:
        """Note that somebody looks at the machines now, and return whether the last look was a moment ago.

        Raises:
            UserError: the file cannot be touched.
        """
        watched = now - self.looked < WATCHED
        self.looked = now
        try:
            if self.path.exists():
                os.utime(self.path)
        except OSError as error:
            raise UserError(f"{self.path} cannot be written: {error.strerror or error}; check who owns it") from error
        return watched

    def of(self, event: str) -> list[Event]:
        """Return the lines of one kind."""
        return [line for line in self.events if line["event"] == event]

    def owners(self) -> dict[str, str]:
        """Return whose jobs the machines of each annex run, as far as it was started here; empty for everybody's."""
        return {line["annex"]: line["owner"] for line in self.of("step")}

    def machines(self) -> dict[str, dict[str, Any]]:
        """Return what is known of every machine that was ever seen, by its ID."""
        found = {line["id"]: dict(line) for line in self.of("machine")}
        for kind in ("joined", "ended"):
            for line in self.of(kind):
                if line["id"] in found:
                    found[line["id"]][kind] = line
        return found

    def note_machines(self, instances: Sequence[Instance], cost: Callable[[Instance], Decimal | None], by: str) -> None:
        """Append the machines that are not known yet, or whose price is not.

        Args:
            instances: as EC2 describes them; one that ended counts only with a request.
            cost: returns dollars an hour that one costs at most; None where that is unknown.
            by: the command that sees them.

        Raises:
            UserError: it cannot be written.
        """
        known, owners, news = self.machines(), self.owners(), list[Event]()
        for each in instances:
            before = known.get(each.instance_id)
            if before is None and not (each.runs or each.request):
                continue
            if before is not None and before["most"] is not None:
                continue
            most = cost(each)
            if before is not None and most is None:
                continue
            rest = ("at", "event", "joined", "ended")
            line = {key: value for key, value in (before or {}).items() if key not in rest}
            seen = {
                "id": each.instance_id,
                "annex": each.annex,
                "owner": owners.get(each.annex),
                "region": each.region,
                "type": each.type,
                "spot": each.spot,
                "launched": each.launched,
                "request": each.request,
                "starter": each.starter,
                "by": by,
            }
            news.append({**seen, **line, "most": None if most is None else str(most)})
        self.add_all("machine", news)

    def note_ends(self, instances: Sequence[Instance], regions: Collection[str], now: int, *, watched: bool) -> None:
        """Append which machines have ended.

        Args:
            instances: all of the stack that EC2 describes in some regions.
            regions: these; what is in others may run.
            now: seconds since the epoch.
            watched: whether somebody looked at them a moment ago.

        Raises:
            UserError: it cannot be written.
        """
        described, ends = {each.instance_id: each for each in instances}, list[Event]()
        for instance_id, machine in self.machines().items():
            last = described.get(instance_id)
            if machine["region"] in regions and "ended" not in machine and not (last and last.runs):
                ends.append(
                    {
                        "id": instance_id,
                        "ended": (last.ended if last else None) or now,
                        "reason": last.reason if last else "",
                        "watched": watched and last is not None,
                    }
                )
        self.add_all("ended", ends)


def note_seen(
    record: Record,
    account: Account,
    profiles: frozenset[str],
    by: str,
    cost: Callable[[Instance], Decimal | None] = lambda _: None,
) -> list[Instance]:
    """Append what EC2 says of a stack's machines in a region now, and return them.

    Args:
        record: to append to.
        account: where.
        profiles: the instance profiles of the machines.
        by: the command that looks.
        cost: returns dollars an hour that one costs at most; None where that is unknown.

    Raises:
        UserError: AWS refused, or the record cannot be written.
    """
    now = int(time.time())
    instances = read_instances(account, profiles)
    record.note_machines(instances, cost, by)
    record.note_ends(instances, [account.region], now, watched=now - record.looked < WATCHED)
    return instances


def history(record: Record, now: int, joined: Collection[str] = ()) -> History:
    """Return what happened before, as far as it matters for a decision.

    Args:
        record: what is known.
        now: seconds since the epoch.
        joined: the IDs of machines that the pool knows now.
    """
    lacks = tuple(
        Lack(line["region"], zone, kind, line["spot"], line["at"] + BACKOFF, code)
        for line in record.of("outcome")
        if line["at"] + BACKOFF > now
        for kind, zone, code in line["lacks"]
    )
    # A step that brought nothing is over, and the next one may follow at once.
    nothing = {line["request"] for line in record.of("outcome") if not line["count"]}
    steps: dict[str, int] = {}
    for line in record.of("step"):
        steps.setdefault(line["annex"], 0)
        if line["request"] not in nothing:
            steps[line["annex"]] = line["at"]
    machines = [{"joined": {}, **line} if name in joined else line for name, line in record.machines().items()]
    return History(steps, lacks, lost(machines, now))


def lost(machines: Sequence[Event], now: int) -> int:
    """Return how many machines in a row, the last ones, never joined the pool though they had the time.

    Those that AWS, the lease or a person ended before, and those that growth did not watch, say nothing.
    """
    count = 0
    for machine in sorted(machines, key=lambda machine: -machine["launched"]):
        if "joined" in machine:
            break
        if machine.get("by", GROW) != GROW:
            continue
        ended = machine.get("ended")
        if ended is None:
            count += now - machine["launched"] >= BOOT_SECONDS
        elif ended["watched"] and ended["reason"].startswith("Client.InstanceInitiatedShutdown"):
            count += 1
    return count


def charges(record: Record, running: Mapping[str, int], now: int) -> list[Charge]:
    """Return what has been spent, and what runs costs until its lease ends.

    Args:
        record: what is known.
        running: when the lease of each machine ends that runs now, by its ID, in seconds since the epoch.
        now: seconds since the epoch.
    """
    found, seen = list[Charge](), dict[str, int]()
    for instance_id, machine in record.machines().items():
        seen[machine["request"]] = seen.get(machine["request"], 0) + 1
        if machine["most"] is not None:
            ended = machine.get("ended")
            end = ended["ended"] if ended else now
            end = running[instance_id] + LATE if instance_id in running else end
            found.append(Charge(Decimal(machine["most"]), machine["launched"], end))
    outcomes: dict[str, int] = {line["request"]: line["count"] for line in record.of("outcome")}
    for step in record.of("step"):
        # What may have started and was never seen counts as if it ran to the end.
        came = outcomes.get(step["request"], int(step["count"]))
        unseen = came - seen.get(step["request"], 0)
        if unseen > 0 and step["most"] is not None:
            found += [Charge(Decimal(step["most"]), step["at"], step["expiration"] + LATE)] * unseen
    return found
