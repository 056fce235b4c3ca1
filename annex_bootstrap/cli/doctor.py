"""``annex-bootstrap doctor``."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from annex_bootstrap.cli.options import aws_options, config_option
from annex_bootstrap.cli.output import Screen, output_option

if TYPE_CHECKING:
    from annex_bootstrap.doctor.checks import Finding

INDENT = 9
"""Columns of the level and the space behind it."""

COLOURS = {"OK": "green", "PROBLEM": "red", "SKIPPED": "yellow"}


@click.command(name="doctor")
@aws_options
@config_option
@click.option("--collector", metavar="HOST[:PORT]", default="", help="The pool's collector. Default: COLLECTOR_HOST.")
@output_option
def command(
    region: str | None,
    profile: str | None,
    stack_name: str,
    config: Path | None,
    collector: str,
    screen: Screen,
) -> None:
    """Check everything that can be wrong, and say what to do about it.

    Changes nothing. Exits with 1 if there is a problem.
    """
    from annex_bootstrap.aws import connect
    from annex_bootstrap.doctor.checks import Level
    from annex_bootstrap.doctor.doctor_run import DoctorRun
    from annex_bootstrap.pool.config_file import find_file

    account = connect(region, profile)
    findings = []
    for finding in DoctorRun(account, stack_name, find_file(config), collector).run():
        findings.append(finding)
        _show(screen, finding)
    problems = sum(finding.level is Level.PROBLEM for finding in findings)
    screen.say(f"\n{problems} {'problem' if problems == 1 else 'problems'}." if problems else "\nNo problems.")
    screen.document({"problems": problems, "findings": [dataclasses.asdict(finding) for finding in findings]})
    if problems:
        sys.exit(1)


def _show(screen: Screen, finding: Finding) -> None:
    screen.say(f"{finding.level:<{INDENT}}", fg=COLOURS[finding.level], nl=False)
    screen.say(_fit(f"{finding.subject}: {finding.detail}"))
    if finding.advice:
        screen.say(" " * INDENT + _fit(f"-> {finding.advice}"))


def _fit(text: str) -> str:
    """Break lines for the terminal, beside the column of levels; elsewhere a finding stays one line, for grep."""
    if not sys.stdout.isatty():
        return text
    width = max(shutil.get_terminal_size().columns - INDENT, 20)
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return ("\n" + " " * INDENT).join(lines)
