"""``doctor``: check a setup, and say what to do about each problem."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import click

from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.doctor import registry
from annex_bootstrap.doctor.check import Finding, Level, Setup
from annex_bootstrap.options import CONFIG, ONE_REGION
from annex_bootstrap.pool.config_file import find_file
from annex_bootstrap.target import Target

COLOURS = {Level.OK: "green", Level.PROBLEM: "red", Level.SKIPPED: "magenta"}
"""No yellow, which cannot be read on a light terminal."""


IDENTITIES = {re.compile(r"(?<!\d)\d{12}(?!\d)"): "ACCOUNT", re.compile(r"\bA[A-Z]{3}[A-Z2-7]{16}\b"): "KEY"}
"""What the JSON document leaves out, so that it can be pasted into a report: account numbers, IDs of keys and users.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids"""


@dataclass(frozen=True)
class Diagnosis(Result):
    """What the checks found, as the JSON document has it.

    Attributes:
        problem_count: how many of the findings are problems.
        findings: in the order of the checks.
    """

    problem_count: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problem_count


def doctor(screen: Screen, target: Target, collector: str = "") -> Diagnosis:
    """Run every check and print its finding.

    Args:
        screen: where to print.
        target: the stack, and the user's configuration.
        collector: ``host`` or ``host:port`` of the pool's collector; empty to ask HTCondor.

    Raises:
        UserError: the AWS account cannot be used.
    """
    findings = []
    setup = Setup(target.connect(), target.stack_name, find_file(target.config), collector)
    for finding in registry.examine(setup):
        findings.append(finding)
        show(screen, finding)
    problems = sum(finding.level is Level.PROBLEM for finding in findings)
    skipped = [finding.subject for finding in findings if finding.level is Level.SKIPPED]
    number = f"{problems} problem{'' if problems == 1 else 's'}" if problems else "No problems found"
    screen.say()
    checks = "1 check" if len(skipped) == 1 else f"{len(skipped)} checks"
    screen.say(f"{number}; {checks} skipped: {', '.join(skipped)}." if skipped else f"{number}.")
    if setup.only_starts:
        screen.say("These are the checks for those who start annexes. The rest is for those who set up the stack.")
    return Diagnosis(problems, tuple(anonymous(finding) for finding in findings))


def anonymous(finding: Finding) -> Finding:
    """Return a finding without account numbers and IDs of keys."""

    def without(text: str) -> str:
        for pattern, name in IDENTITIES.items():
            text = pattern.sub(name, text)
        return text

    return replace(
        finding,
        detail=without(finding.detail),
        advice=without(finding.advice),
        commands=tuple(without(line) for line in finding.commands),
    )


def show(screen: Screen, finding: Finding) -> None:
    """Print a finding, what to do about it, and the lines to paste as they are."""
    advice = [f"-> {finding.advice}"] if finding.advice else []
    screen.item(finding.level, [f"{finding.subject}: {finding.detail}", *advice], fg=COLOURS[finding.level])
    for line in finding.commands:
        screen.say(f"  {line}", wrap=False)


command = Command(
    "doctor",
    doctor,
    *ONE_REGION,
    CONFIG,
    click.Option(
        ["--collector"],
        metavar="HOST[:PORT]",
        default="",
        help="The pool's collector. Default: COLLECTOR_HOST.",
    ),
    *OUTPUT,
    help="""Check everything that can be wrong, and say what to do about it.

    Changes nothing. Exits with 1 if there is a problem.
    """,
)
