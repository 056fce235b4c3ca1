"""What HTCondor says: the idle jobs that may leave home, in groups, and the slots of the pool.

Read with ``condor_q -json`` and ``condor_status -json``; what is an expression there stands in ``/Expr(...)/``.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annex_bootstrap.errors import UserError
from annex_bootstrap.growth.model import Group, Room
from annex_bootstrap.pool.htcondor import run, version

Ad = Mapping[str, Any]
"""A ClassAd as HTCondor prints it as JSON."""

SECONDS = 120
"""How long a queue of 100,000 jobs may take to be read."""

IDLE, VANILLA = 1, 5
"""HTCondor's numbers for the status and the universe of the jobs that machines run."""

OPTED_IN = "(MayUseAWS =?= True) || (TargetAnnexName isnt undefined)"
"""Which jobs may leave home, where nobody says otherwise."""

AMOUNTS = ("RequestCpus", "RequestMemory", "RequestDisk", "RequestGPUs")
"""What jobs ask for."""

KEPT = (
    *("Owner", "Requirements", *AMOUNTS, "RequireGPUs", "AutoClusterId"),
    *("TargetAnnexName", "MayUseAWS"),
)
"""What tells a group of jobs from others. The schedd's AutoClusterId stands for what its negotiator tells apart."""

ATTRIBUTES = ("ClusterId", "ProcId", *KEPT, "QDate", "EnteredCurrentStatus", "NumJobStarts")

MEMORY_STEP = 128
"""MiB to which a startd rounds up what a job asks for: https://htcondor.readthedocs.io/en/latest/admin-manual/configuration-macros.html#MODIFY_REQUEST_EXPR_REQUESTMEMORY"""

FREE = '((State == "Unclaimed") && (Cpus > 0)) || (EC2InstanceID isnt undefined)'
"""Which slots are asked for: the free ones, and all of machines in EC2."""

OFTEN = 2
"""Starts of a job that waits again after which it counts as one that comes back."""

_NAME = re.compile(r"[A-Za-z_]\w*")
_EXPRESSION = re.compile(r"/Expr\((.*)\)/", re.DOTALL)


class UnreadableError(UserError):
    """HTCondor does not say what waits or what is free."""


def check_here() -> None:
    """Check that there is an HTCondor to ask.

    Raises:
        UserError: there is none on this machine.
    """
    if version() is None:
        raise UserError("there is no HTCondor on this machine, whose queue is read: run this on an access point")


def expression(value: Any) -> str | None:
    """Return the text of an expression, or None where a value is something else."""
    found = _EXPRESSION.fullmatch(value) if isinstance(value, str) else None
    return found[1] if found else None


def literal(value: Any) -> str:
    """Return a value of an ad as the long form has it, in one line."""
    match value:
        case None:
            return "undefined"
        case bool():
            return str(value).lower()
        case str():
            inner = expression(value)
            # Old ClassAds, as files of ads are, know no escape but that of a quote.
            text = f'"{value.replace(chr(34), chr(92) + chr(34))}"' if inner is None else inner
            return " ".join(text.splitlines())
        case Mapping():
            return "[ " + "; ".join(f"{name} = {literal(item)}" for name, item in value.items()) + " ]"
        case Sequence():
            return "{ " + ", ".join(map(literal, value)) + " }"
    return repr(value)


def long_form(ads: Iterable[Ad]) -> str:
    """Return ads as a file for ``-jobads`` and ``-slotads``.

    In that form 23.9 and 25.14 read them; of JSON that others wrote, 23.9 reads one ad.
    """
    return "\n".join(
        "".join(f"{name} = {literal(value)}\n" for name, value in ad.items() if _NAME.fullmatch(name)) for ad in ads
    )


def read_ads(arguments: Sequence[str]) -> list[Ad]:
    """Run one of HTCondor's commands that print ads as JSON.

    Raises:
        UnreadableError: it fails, or prints something else; nothing at all means no ads only where it succeeds.
    """
    ended = run(arguments, seconds=SECONDS)
    if ended.returncode:
        said = " ".join((ended.stderr or ended.stdout).split())[:300] or f"it ends with {ended.returncode}"
        raise UnreadableError(f"{arguments[0]} does not answer: {said}")
    try:
        ads = json.loads(ended.stdout) if ended.stdout.strip() else []
    except ValueError as error:
        raise UnreadableError(f"{arguments[0]} prints no JSON: {error}") from error
    if not isinstance(ads, list) or not all(isinstance(ad, dict) for ad in ads):
        raise UnreadableError(f"{arguments[0]} prints no list of ads")
    return ads


def read_jobs(only: str = "") -> list[Ad]:
    """Return the idle jobs of all users that may leave home, as far as groups need them.

    Args:
        only: an expression of ClassAds that says which may; empty for those that opted in.

    Raises:
        UnreadableError: the schedd does not answer.
    """
    wanted = f"(JobStatus == {IDLE}) && (JobUniverse == {VANILLA}) && ({only or OPTED_IN})"
    return read_ads(["condor_q", "-allusers", "-constraint", wanted, "-json", "-attributes", ",".join(ATTRIBUTES)])


def read_slots() -> list[Ad]:
    """Return the free slots of the pool, and all slots of machines in EC2.

    Raises:
        UnreadableError: the collector does not answer.
    """
    return read_ads(["condor_status", "-constraint", FREE, "-json"])


@dataclass(frozen=True)
class Sort:
    """Jobs that are alike, before HTCondor has said what they ask for.

    Attributes:
        key: tells it from others.
        job: the ID of the first of them.
        ads: all of them.
    """

    key: str
    job: str
    ads: Sequence[Ad]


def sort_jobs(ads: Iterable[Ad]) -> list[Sort]:
    """Put jobs that are alike together.

    Args:
        ads: of idle jobs.
    """
    found: dict[tuple[Any, ...], list[Ad]] = {}
    for ad in ads:
        alike = tuple(map(ad.get, KEPT))
        found.setdefault((*alike, ad.get("NumJobStarts", 0) >= OFTEN), []).append(ad)
    return [
        Sort(hashlib.sha256(repr(alike).encode()).hexdigest()[:12], f"{same[0]['ClusterId']}.{same[0]['ProcId']}", same)
        for alike, same in found.items()
    ]


def needs_of(values: Sequence[Any]) -> Room | None:
    """Return what a job asks for; None where that is not a number, so that nobody knows what would hold it.

    Args:
        values: of ``AMOUNTS``, evaluated; those that are not defined are None.
    """
    cpus, memory, disk, gpus = (0 if value is None else value for value in values)
    if not all(isinstance(value, int | float) and 0 <= value < math.inf for value in (cpus, memory, disk, gpus)):
        return None
    rounded = math.ceil(memory / MEMORY_STEP) * MEMORY_STEP
    return Room(max(math.ceil(cpus), 1), rounded, math.ceil(disk), math.ceil(gpus))


def group_of(sort: Sort, needs: Room) -> Group:
    """Return a group of jobs.

    Args:
        sort: the jobs.
        needs: what each of them asks for.
    """
    first = sort.ads[0]
    since = sorted(int(ad.get("EnteredCurrentStatus") or ad.get("QDate") or 0) for ad in sort.ads)
    return Group(
        key=sort.key,
        owner=str(first.get("Owner", "")),
        annex=str(first.get("TargetAnnexName") or ""),
        needs=needs,
        since=tuple(since),
        returned=first.get("NumJobStarts", 0) >= OFTEN,
        job=sort.job,
        requirements=expression(first.get("Requirements")) or literal(first.get("Requirements")),
    )


def room_of(slot: Ad) -> Room:
    """Return what is free in a slot."""
    return Room(*(int(slot.get(name) or 0) for name in ("Cpus", "Memory", "Disk", "GPUs")))
