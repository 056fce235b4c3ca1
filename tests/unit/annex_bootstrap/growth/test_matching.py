"""Verdicts of HTCondor: what is asked, and how what 23.9 and 25.14 print is read."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap.growth import matching
from annex_bootstrap.growth.matching import Image, Judge, fit, kinds_of, machine_ad, printed_counts, relevant, unmet
from annex_bootstrap.growth.model import Room
from annex_bootstrap.growth.queue import UnreadableError

SUMMARY = """

-- Jobads: j.ads
Analyzing matches for 3 slots
               Autocluster    Matches     Machine     Running     Serving            
 JobId        Members/Idle Requirements Rejects Job  Users Job  Other User Available Owner
------------- ------------ ------------ ----------- ----------- ---------- --------- -----
1.0                                   0           0           0          0         0 alice
1.1                                   1           0           0          0         1 alice
2.1                                   1           1           0          0         0 bob
12.3                2/2              10           0           1          0         9 bob
"""  # noqa: W291 (as HTCondor prints it)

ANALYSIS = """
The Requirements expression for job 1.000 reduces to these conditions:

         Slots
Step    Matched  Condition
-----  --------  ---------
[0]           2  TARGET.Arch == "X86_64"
[3]           0  TARGET.GPUs >= RequestGPUs
[5]           0  TARGET.Memory >= RequestMemory
"""


def test_the_summary_of_an_analysis_is_read() -> None:
    assert printed_counts(SUMMARY) == [("1", "0", "0"), ("1", "1", "1"), ("2", "1", "0"), ("12", "3", "9")]


def test_the_conditions_that_no_slot_meets_are_read() -> None:
    assert unmet(ANALYSIS) == ["TARGET.GPUs >= RequestGPUs", "TARGET.Memory >= RequestMemory"]


def answering(monkeypatch: pytest.MonkeyPatch, slots: list[str] | None = None, *, complete: bool = True) -> list[str]:
    """Let condor_q say that every job fits kind 1 only; return the files of jobs that it gets; add those of slots."""
    files: list[str] = []

    def run(arguments: Sequence[str], **_: Any) -> subprocess.CompletedProcess[str]:
        text = Path(arguments[arguments.index("-jobads") + 1]).read_text()
        files.append(text)
        if slots is not None:
            slots.append(Path(arguments[arguments.index("-slotads") + 1]).read_text())
        ids = [
            (ad.split("ClusterId = ")[1].splitlines()[0], ad.split("ProcId = ")[1].splitlines()[0])
            for ad in text.split("\n\n")
        ]
        lines = [f"{cluster}.{proc}   1 0 0 0 {int(proc == '1')} alice" for cluster, proc in ids]
        return subprocess.CompletedProcess(arguments, 0, "\n".join(lines if complete else lines[1:]), "")

    monkeypatch.setattr(matching, "run", run)
    return files


JOB = {
    "ClusterId": 7,
    "ProcId": 3,
    "JobStatus": 2,
    "AutoClusterId": 4,
    "Requirements": "/Expr(TARGET.Memory > 1 || TARGET.Cpus > 1)/",
}


def test_every_job_is_judged_for_every_kind_of_slot_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    slots: list[str] = []
    files = answering(monkeypatch, slots)
    assert fit({"a": JOB, "b": JOB}, [{"Cpus": 1}, {"Cpus": 2}]) == [frozenset(), frozenset({"a", "b"})]
    assert len(files) == 1
    assert "Requirements = (TARGET.AnnexBootstrapKind =?= 1) && (TARGET.Memory > 1 || TARGET.Cpus > 1)\n" in files[0]
    assert "JobStatus = 1\n" in files[0]
    assert [line for line in slots[0].splitlines() if "Kind" in line or "kind" in line] == [
        'Name = "slot1@kind0"',
        'Machine = "kind0"',
        "AnnexBootstrapKind = 0",
        'Name = "slot1@kind1"',
        'Machine = "kind1"',
        "AnnexBootstrapKind = 1",
    ]
    # Of jobs of one autocluster, condor_q judges one only: seen with 23.9.6 once the negotiator had come by.
    assert {line for line in files[0].splitlines() if "AutoClusterId" in line} == {
        f"AutoClusterId = {number}" for number in range(4)
    }


def test_a_pair_without_a_verdict_is_a_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, complete=False)
    with pytest.raises(UnreadableError, match="judged 3 of 4 pairs"):
        fit({"a": JOB, "b": JOB}, [{"Cpus": 1}, {"Cpus": 2}])


@pytest.mark.parametrize(
    ("out", "err", "said"),
    [("", "no such\n file\n", "no such file"), ("bad ad\n", "", "bad ad"), ("", "", "it ends with 3")],
)
def test_htcondor_that_does_not_answer_is_quoted(
    monkeypatch: pytest.MonkeyPatch, out: str, err: str, said: str
) -> None:
    monkeypatch.setattr(matching, "run", lambda asked, **_: subprocess.CompletedProcess(asked, 3, out, err))
    with pytest.raises(UnreadableError, match=f"condor_q does not answer: {said}$"):
        fit({"a": JOB}, [{"Cpus": 1}])


def test_nothing_is_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    files, judge, kinds = answering(monkeypatch), Judge(), [{"Cpus": 1}, {"Cpus": 2}]
    first = judge.fit({"a": JOB}, kinds)
    assert judge.fit({"a": JOB}, kinds) == first == [frozenset(), frozenset({"a"})]
    assert len(files) == 1
    judge.fit({"a": JOB, "b": JOB}, kinds)
    assert len(files) == 2
    assert files[1].count("AutoClusterId") == 2


def test_a_match_depends_on_what_both_sides_name_however_far() -> None:
    job = {"Requirements": "/Expr(TARGET.HasFoo && MY.Wish)/", "Wish": '/Expr(TARGET.Bar > 1 && "Baz" == "Baz")/'}
    slot = {"START": "/Expr(Busy =!= true)/", "Busy": "/Expr(LoadAvg > 0.5)/", "LoadAvg": 0.1, "Other": "/Expr(Much)/"}
    names = relevant([job], [slot])
    assert {"hasfoo", "wish", "bar", "busy", "loadavg"} <= names
    assert not {"baz", "other", "much"} & names


def test_slots_that_differ_only_in_what_no_job_asks_are_of_one_kind() -> None:
    slots = [
        {"Name": f"slot{number}", "Arch": "X86_64", "HasFoo": number > 1, "Cpus": number, "TotalSlotCpus": 8}
        for number in range(4)
    ]
    ads, places = kinds_of([{"Requirements": "/Expr(TARGET.HasFoo)/"}], slots)
    assert places == [0, 0, 1, 1]
    assert [(ad["HasFoo"], ad["Cpus"]) for ad in ads] == [(False, 8), (True, 8)]
    assert [(ad["MyType"], ad["State"], ad["Activity"]) for ad in ads] == [("Machine", "Unclaimed", "Idle")] * 2


def test_a_machine_is_described_as_one_that_has_joined_or_else_from_its_image() -> None:
    image = Image("x86_64", "25.14.1", "Debian13")
    made = machine_ad(image, Room(4, 15000, 9000, 0), "grow-a", "alice", "example.org")
    assert (made["Cpus"], made["TotalMemory"], made["Arch"], made["OpSysMajorVer"]) == (4, 15000, "X86_64", 13)
    assert made["CondorVersion"].startswith("$CondorVersion: 25.14.1 ")
    assert made["AuthenticatedIdentity"] == "alice@example.org"
    assert 'TARGET.Owner =?= "alice"' in made["START"]
    sample = {"HasDocker": True, "Name": "slot1@i-1", "EC2InstanceID": "i-1", "Memory": 3, "AnnexName": "b"}
    real = machine_ad(image, Room(4, 15000, 9000, 0), "grow-a", "", "example.org", 'X == "y"', sample)
    assert (real["HasDocker"], real["Memory"], real["AnnexName"]) == (True, 15000, "grow-a")
    assert "Name" not in real
    assert "EC2InstanceID" not in real
    assert 'X == "y"' in real["START"]
    assert "Owner" not in real["START"]
