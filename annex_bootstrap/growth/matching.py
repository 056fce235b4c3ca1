"""Whether machines would run jobs: HTCondor judges it, from ads in files.

``condor_q -better-analyze:summary -jobads FILE -slotads FILE`` does that without a queue and without a pool, alike in
23.9 and 25.14. It is on every access point, and needs no Python package that has to suit the pool. It counts for each
job the slots that match. So for a verdict about every pair, each job comes once for each kind of slot, and requires
that kind by its number. Amounts of CPUs, memory, disk and GPUs are no matter of kinds: `Room.holds` compares them,
since what is free in a slot changes with every job.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annex_bootstrap.growth.model import Room
from annex_bootstrap.growth.queue import AMOUNTS, Ad, UnreadableError, expression, literal, long_form, read_ads
from annex_bootstrap.pool.htcondor import run
from annex_bootstrap.pool.machine_config import start_expression

CLASS = "AnnexBootstrapKind"
"""The attribute that tells kinds of slots apart in a file."""

MOST_KINDS = 40
"""Kinds in one file: each job is compared as often as the square of that."""

MOST_OF_POOL = 400
"""Kinds of free slots of a pool that are distinguished; beyond that a slot counts as one that suits every job, so that
nothing is started for jobs that it may run."""

SIZES = {"Cpus": "TotalCpus", "Memory": "TotalMemory", "Disk": "TotalDisk", "GPUs": "TotalGPUs"}
"""What is free in a slot, and what its machine has."""

MOST_KNOWN = 200_000
"""Verdicts that are kept."""

IDS_PER_CALL = 500
"""Jobs whose whole ads are asked for at once."""

SECONDS = 120

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_LINE = re.compile(r"(\d+)\.(\d+) +(?:\S+ +)?(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +\S+ *")
_STEP = re.compile(r"\[\d+\] +(\d+)  (.+)")


def read_representatives(jobs: Sequence[str]) -> dict[str, Ad]:
    """Return the whole ads of jobs, by their IDs; those that have left the queue are missing.

    Raises:
        UnreadableError: the schedd does not answer.
    """
    found = {}
    for first in range(0, len(jobs), IDS_PER_CALL):
        for ad in read_ads(["condor_q", "-allusers", *jobs[first : first + IDS_PER_CALL], "-json"]):
            found[f"{ad['ClusterId']}.{ad['ProcId']}"] = ad
    return found


def evaluate(ads: Sequence[Ad]) -> list[list[Any]]:
    """Return what jobs ask for, as HTCondor evaluates it: ``AMOUNTS`` of each; what is not defined is None.

    Raises:
        UnreadableError: condor_q does not answer.
    """
    plain = [[ad.get(name) for name in AMOUNTS] for ad in ads]
    unclear = [place for place, values in enumerate(plain) if any(isinstance(value, str) for value in values)]
    if unclear:
        numbered = [{**ads[place], "ClusterId": number + 1, "ProcId": 0} for number, place in enumerate(unclear)]
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "jobs")
            path.write_text(long_form(numbered))
            lines = _ask(["condor_q", "-jobads", str(path), "-af", "ClusterId", *AMOUNTS])
        for line in lines.splitlines():
            number, *texts = line.split()
            if number.isdigit() and len(texts) == len(AMOUNTS):
                plain[unclear[int(number) - 1]] = [_number(text) for text in texts]
    return plain


def _number(text: str) -> float | str | None:
    if text == "undefined":
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _ask(arguments: Sequence[str]) -> str:
    ended = run(arguments, seconds=SECONDS)
    if ended.returncode:
        said = " ".join((ended.stderr or ended.stdout).split())[:300] or f"it ends with {ended.returncode}"
        raise UnreadableError(f"{arguments[0]} does not answer: {said}")
    return ended.stdout


@dataclass(frozen=True)
class Image:
    """What the machines of a stack's image say of themselves, before one has joined.

    Attributes:
        architecture: ``x86_64`` or ``arm64``.
        condor: the version of HTCondor.
        opsys: as HTCondor names the operating system with its version, such as ``Debian13``.
    """

    architecture: str
    condor: str
    opsys: str


def machine_ad(
    image: Image, room: Room, annex: str, owner: str, domain: str, only: str = "", sample: Ad | None = None
) -> Ad:
    """Return the ad of the slot that a machine would have.

    Args:
        image: of the machine.
        room: what it has.
        annex: its annex.
        owner: whose jobs it runs; empty for everybody's.
        domain: UID_DOMAIN of the pool.
        only: which jobs it also runs, an expression; empty for none.
        sample: the ad of a slot of the same image that has joined; None before one has.
    """
    name, number = ("Debian", image.opsys.removeprefix("Debian"))
    ad: dict[str, Any] = {
        "MyType": "Machine",
        "Arch": "aarch64" if image.architecture == "arm64" else "X86_64",
        "OpSys": "LINUX",
        "OpSysName": name,
        "OpSysAndVer": image.opsys,
        "OpSysMajorVer": int(number) if number.isdigit() else 0,
        "OpSysShortName": name,
        "CondorVersion": f"$CondorVersion: {image.condor} 2026-01-01 $",
        "PartitionableSlot": True,
        "SlotType": "Partitionable",
        "HasFileTransfer": True,
        "HasJICLocalConfig": True,
        "HasReconnect": True,
        "HasTransferInputRemaps": True,
        "HasVirtualMemory": True,
        "HasEncryptExecuteDirectory": True,
        "HasFileTransferPluginMethods": "file,ftp,http,https,data,dav,davs,s3,gs",
        "HasPerFileEncryption": True,
        "FileSystemDomain": "annex",
        "UidDomain": domain,
        "Rank": 0.0,
        "WithinResourceLimits": True,
        "Requirements": "/Expr(START)/",
    }
    if sample is not None:
        ad |= {key: value for key, value in sample.items() if key not in ("Name", "Machine", "EC2InstanceID")}
    ad |= {
        "State": "Unclaimed",
        "Activity": "Idle",
        "AnnexName": annex,
        "IsAnnex": True,
        "AuthenticatedIdentity": f"{owner}@{domain}",
        "START": f"/Expr({start_expression(owner, only)})/",
    }
    for free, total in SIZES.items():
        amount = getattr(room, free.lower())
        ad |= {free: amount, total: amount, f"TotalSlot{free}": amount}
    return ad


def names_in(*texts: str) -> set[str]:
    """Return the names of attributes in expressions, in small letters."""
    return {name.lower() for text in texts for name in _IDENTIFIER.findall(_TEXT.sub("", text))}


def relevant(jobs: Iterable[Ad], slots: Sequence[Ad]) -> set[str]:
    """Return the attributes of slots on which a match may depend, in small letters.

    Args:
        jobs: the whole ads of jobs.
        slots: of a pool.
    """
    texts: dict[str, set[str]] = {}
    for ad in (*jobs, *slots):
        for name, value in ad.items():
            inner = expression(value)
            if inner is not None:
                texts.setdefault(name.lower(), set()).add(inner)
    known, new = set[str](), {"requirements", "start"}
    while new:
        known |= new
        new = names_in(*(text for name in new for text in texts.get(name, ()))) - known
    return known


def kinds_of(jobs: Iterable[Ad], slots: Sequence[Ad]) -> tuple[list[Ad], list[int]]:
    """Return an ad for every kind of slot, with all that its machine has, and the kind of each slot.

    Args:
        jobs: the whole ads of jobs.
        slots: of a pool.
    """
    matter = relevant(jobs, slots)
    sizes = {name.lower() for name in SIZES}
    kinds: dict[tuple[tuple[str, str], ...], int] = {}
    ads, places = list[Ad](), list[int]()
    for slot in slots:
        key = tuple(
            sorted(
                (name.lower(), literal(value))
                for name, value in slot.items()
                if name.lower() in matter and name.lower() not in sizes
            )
        )
        if key not in kinds:
            kinds[key] = len(kinds)
            whole = {free: slot.get(f"TotalSlot{free}", slot.get(free, 0)) for free in SIZES}
            seen = {name: value for name, value in slot.items() if name.lower() in matter}
            ads.append({"MyType": "Machine", **seen, **whole, "State": "Unclaimed", "Activity": "Idle"})
        places.append(kinds[key])
    return ads, places


def fit(jobs: Mapping[str, Ad], kinds: Sequence[Ad]) -> list[frozenset[str]]:
    """Return for each kind of slot the keys of the jobs that match it, both ways.

    Args:
        jobs: their whole ads, by key.
        kinds: ads of slots.

    Raises:
        UnreadableError: condor_q does not answer.
    """
    found: list[frozenset[str]] = []
    for first in range(0, len(kinds), MOST_KINDS):
        found += _fit(jobs, kinds[first : first + MOST_KINDS])
    return found


def _fit(jobs: Mapping[str, Ad], kinds: Sequence[Ad]) -> list[frozenset[str]]:
    keys = list(jobs)
    if not keys or not kinds:
        return [frozenset()] * len(kinds)
    asked = [
        {
            **jobs[key],
            "ClusterId": cluster + 1,
            "ProcId": kind,
            "JobStatus": 1,
            # Of the jobs of a cluster only one would be judged.
            "AutoClusterId": cluster * len(kinds) + kind,
            "Requirements": f"/Expr((TARGET.{CLASS} =?= {kind}) && ({_requirements(jobs[key])}))/",
        }
        for cluster, key in enumerate(keys)
        for kind in range(len(kinds))
    ]
    slots = [
        {"Name": f"slot1@kind{kind}", "Machine": f"kind{kind}", **ad, CLASS: kind} for kind, ad in enumerate(kinds)
    ]
    printed = analyze(asked, slots, "summary")
    verdicts = {(int(cluster) - 1, int(kind)): int(count) > 0 for cluster, kind, count in printed_counts(printed)}
    if len(verdicts) != len(asked):
        raise UnreadableError(f"condor_q judged {len(verdicts)} of {len(asked)} pairs of jobs and machines")
    return [frozenset(key for cluster, key in enumerate(keys) if verdicts[cluster, kind]) for kind in range(len(kinds))]


def printed_counts(printed: str) -> list[tuple[str, str, str]]:
    """Return the two parts of each job's ID, and how many slots would run it, of an analysis' summary."""
    lines = (_LINE.fullmatch(line) for line in printed.splitlines())
    return [(found[1], found[2], found[7]) for found in lines if found]


def _requirements(ad: Ad) -> str:
    value = ad.get("Requirements", True)
    return expression(value) or literal(value)


def analyze(jobs: Iterable[Ad], slots: Iterable[Ad], kind: str = "") -> str:
    """Return what ``condor_q -better-analyze`` prints about jobs and slots.

    Args:
        jobs: their ads.
        slots: their ads.
        kind: ``summary`` for a line a job.

    Raises:
        UnreadableError: condor_q does not answer.
    """
    with tempfile.TemporaryDirectory() as directory:
        files = {}
        for name, ads in (("jobs", jobs), ("slots", slots)):
            files[name] = Path(directory, name)
            files[name].write_text(long_form(ads), errors="surrogateescape")
        option = f"-better-analyze:{kind}" if kind else "-better-analyze"
        return _ask(["condor_q", "-jobads", str(files["jobs"]), option, "-slotads", str(files["slots"])])


def unmet(printed: str) -> list[str]:
    """Return the conditions of a job's requirements that no slot meets, of an analysis."""
    return [
        found[2].strip()
        for line in printed.splitlines()
        if (found := _STEP.fullmatch(line.strip())) and found[1] == "0"
    ]


@dataclass
class Judge:
    """HTCondor's verdicts, kept for as long as this process runs: neither a job's group nor a machine's ad changes.

    Attributes:
        known: by job and by slot.
    """

    known: dict[tuple[str, str], bool] = field(default_factory=dict)

    def fit(self, jobs: Mapping[str, Ad], kinds: Sequence[Ad]) -> list[frozenset[str]]:
        """Return for each kind of slot the keys of the jobs that match it; as ``fit``, and asks for what is new."""
        names = [literal(ad) for ad in kinds]
        if len(self.known) > MOST_KNOWN:
            self.known.clear()
        for key in jobs:
            missing = [place for place, name in enumerate(names) if (key, name) not in self.known]
            if not missing:
                continue
            # Those that lack a verdict about the same kinds are asked about at once.
            alike = {
                other: jobs[other]
                for other in jobs
                if all((other, names[place]) not in self.known for place in missing)
            }
            for place, keys in zip(missing, fit(alike, [kinds[place] for place in missing]), strict=True):
                self.known |= {(other, names[place]): other in keys for other in alike}
        return [frozenset(key for key in jobs if self.known[key, name]) for name in names]
