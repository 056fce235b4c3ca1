"""``doctor``: check a setup, say what to do about each problem."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from annex_bootstrap.aws import connect
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.doctor.checks import Finding, Level
from annex_bootstrap.doctor.doctor_run import DoctorRun
from annex_bootstrap.pool.config_file import find_file

COLOURS = {Level.OK: "green", Level.PROBLEM: "red", Level.SKIPPED: "magenta"}
"""No yellow, which cannot be read on a light terminal."""


@dataclass(frozen=True)
class DoctorOptions:
    """The options of ``doctor``.

    Attributes:
        stack_name: the stack's name.
        region: where; None for the one that the environment or the profile names.
        profile: the AWS profile, or None for the environment's.
        config: the user's configuration file, or None for the one that HTCondor names.
        collector: ``host`` or ``host:port`` of the pool's collector; empty to ask HTCondor.
    """

    stack_name: str
    region: str | None = None
    profile: str | None = None
    config: Path | None = None
    collector: str = ""


def doctor(options: DoctorOptions, screen: Screen) -> bool:
    """Run every check and print its finding.

    Returns:
        Whether there is no problem.

    Raises:
        UserError: the AWS account cannot be used.
    """
    account = connect(options.region, options.profile)
    findings = []
    for finding in DoctorRun(account, options.stack_name, find_file(options.config), options.collector).run():
        findings.append(finding)
        show(finding, screen)
    problems = sum(finding.level is Level.PROBLEM for finding in findings)
    screen.say(f"\n{problems} {'problem' if problems == 1 else 'problems'}." if problems else "\nNo problems.")
    screen.document({"problems": problems, "findings": [dataclasses.asdict(finding) for finding in findings]})
    return not problems


def show(finding: Finding, screen: Screen) -> None:
    """Print a finding, what to do about it, and the lines to paste as they are."""
    advice = [f"-> {finding.advice}"] if finding.advice else []
    screen.item(finding.level, [f"{finding.subject}: {finding.detail}", *advice], fg=COLOURS[finding.level])
    for command in finding.commands:
        screen.say(f"  {command}", wrap=False)
