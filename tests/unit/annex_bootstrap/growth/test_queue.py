"""What condor_q and condor_status print, as 23.9 and 25.14 print it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from annex_bootstrap.growth import queue
from annex_bootstrap.growth.model import Group, Room
from annex_bootstrap.growth.queue import (
    UnreadableError,
    expression,
    group_of,
    literal,
    long_form,
    needs_of,
    read_jobs,
    room_of,
    sort_jobs,
)

PRINTED = r"""[
{
  "AutoClusterId": 2,
  "ClusterId": 17,
  "EnteredCurrentStatus": 1700000000,
  "MayUseAWS": true,
  "NumJobStarts": 0,
  "Owner": "alice",
  "ProcId": 0,
  "QDate": 1699999999,
  "RequestCpus": 1,
  "RequestDisk": "\/Expr(DiskUsage)\/",
  "RequestMemory": "\/Expr(ifthenelse(MemoryUsage =!= undefined,MemoryUsage,(ImageSize + 1023) \/ 1024))\/",
  "Requirements": "\/Expr((TARGET.Arch == \"X86_64\") && (TARGET.Memory >= RequestMemory))\/"
}
,
{
  "AutoClusterId": 2,
  "ClusterId": 17,
  "MayUseAWS": true,
  "NumJobStarts": 2,
  "Owner": "alice",
  "ProcId": 1,
  "QDate": 1699999000,
  "RequestCpus": 1,
  "RequestDisk": "\/Expr(DiskUsage)\/",
  "RequestMemory": "\/Expr(ifthenelse(MemoryUsage =!= undefined,MemoryUsage,(ImageSize + 1023) \/ 1024))\/",
  "Requirements": "\/Expr((TARGET.Arch == \"X86_64\") && (TARGET.Memory >= RequestMemory))\/"
}
]
"""
"""As ``condor_q -json -attributes`` prints it; the second job has come back twice."""


def answering(monkeypatch: pytest.MonkeyPatch, stdout: str, code: int = 0, stderr: str = "") -> list[Sequence[str]]:
    """Let every command of HTCondor answer that; return the list of what is asked."""
    asked: list[Sequence[str]] = []

    def run(arguments: Sequence[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(arguments)
        return subprocess.CompletedProcess(arguments, code, stdout, stderr)

    monkeypatch.setattr(queue, "run", run)
    return asked


def test_a_queue_is_read_for_all_users_and_put_into_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, PRINTED)
    first, second = sort_jobs(read_jobs())
    constraint = asked[0][3]
    assert constraint.startswith("(JobStatus == 1) && (JobUniverse == 5) && ((MayUseAWS =?= True)")
    attributes = (
        "ClusterId,ProcId,Owner,Requirements,RequestCpus,RequestMemory,RequestDisk,RequestGPUs,RequireGPUs,"
        "AutoClusterId,TargetAnnexName,MayUseAWS,QDate,EnteredCurrentStatus,NumJobStarts"
    )
    assert asked == [["condor_q", "-allusers", "-constraint", constraint, "-json", "-attributes", attributes]]
    assert group_of(first, Room(1, 128)) == Group(
        first.key,
        "alice",
        "",
        Room(1, 128),
        (1700000000,),
        returned=False,
        job="17.0",
        requirements='(TARGET.Arch == "X86_64") && (TARGET.Memory >= RequestMemory)',
    )
    back = group_of(second, Room(1, 128))
    assert (back.since, back.returned, back.key == first.key) == ((1699999000,), True, False)


def test_an_expression_says_which_jobs_may_leave_home(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, "")
    assert read_jobs('ProjectName == "gluons"') == []
    assert asked[0][3].endswith('&& (ProjectName == "gluons")')


@pytest.mark.parametrize(
    ("stdout", "code", "stderr", "message"),
    [
        ("", 1, "Error: communication error\nAUTHENTICATE:1003", "does not answer: Error: communication error AUTH"),
        ("", 127, "", "it ends with 127"),
        ("Extra Info: ...", 0, "", "prints no JSON"),
        ('{"ClusterId": 1}', 0, "", "prints no list of ads"),
        ("[1, 2]", 0, "", "prints no list of ads"),
        ('[{"ClusterId": 1', 0, "", "prints no JSON"),
    ],
)
def test_a_queue_that_cannot_be_read_is_no_empty_queue(
    monkeypatch: pytest.MonkeyPatch, stdout: str, code: int, stderr: str, message: str
) -> None:
    answering(monkeypatch, stdout, code, stderr)
    with pytest.raises(UnreadableError, match=message):
        read_jobs()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (None, "undefined"),
        (3, "3"),
        (0.5, "0.5"),
        ('say "hi"', '"say \\"hi\\""'),
        ("two\nlines", '"two lines"'),
        ("/Expr(A + B)/", "A + B"),
        ("/Expr(A\n)/", "A "),
        ([1, "a"], '{ 1, "a" }'),
        ({"A": 1, "B": [True]}, "[ A = 1; B = { true } ]"),
    ],
)
def test_values_are_written_as_files_of_ads_have_them(value: object, text: str) -> None:
    assert literal(value).rstrip() == text.rstrip()


def test_an_ad_in_a_file_has_a_line_an_attribute_and_none_that_somebody_smuggles_in() -> None:
    smuggler = {"Owner": "alice\nRequirements = true", "A = 1\nB": 2, "Cmd": "/bin/true"}
    assert (
        long_form([smuggler, {"Cpus": 1}])
        == """Owner = "alice Requirements = true"
Cmd = "/bin/true"

Cpus = 1
"""
    )


@pytest.mark.parametrize(
    ("values", "needs"),
    [
        ([1, 128, 100, None], Room(1, 128, 100, 0)),
        ([4, 129.5, 0.5, 1], Room(4, 256, 1, 1)),
        ([None, None, None, None], Room(1, 0, 0, 0)),
        ([1, "error", 0, 0], None),
        ([1, float("nan"), 0, 0], None),
        ([-1, 1, 1, 1], None),
    ],
)
def test_what_jobs_ask_for_is_rounded_up_as_a_startd_does(values: list[object], needs: Room | None) -> None:
    assert needs_of(values) == needs


def test_what_is_no_expression_is_none() -> None:
    assert expression("/Expr(a)/") == "a"
    assert expression("Expr(a)") is None
    assert expression(3) is None


def test_a_slot_without_gpus_has_none() -> None:
    assert room_of({"Cpus": 2, "Memory": 100, "Disk": 5}) == Room(2, 100, 5, 0)
