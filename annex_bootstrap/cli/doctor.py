"""``annex-bootstrap doctor``."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from annex_bootstrap.cli.options import aws_options, config_option

if TYPE_CHECKING:
    from annex_bootstrap.doctor import Finding

COLOURS = {"OK": "green", "PROBLEM": "red", "SKIPPED": "yellow"}


@click.command(name="doctor")
@aws_options
@config_option
@click.option("--collector", metavar="HOST[:PORT]", default="", help="The pool's collector. Default: COLLECTOR_HOST.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="Form of the findings.")
def command(
    region: str | None,
    profile: str | None,
    stack_name: str,
    config: Path | None,
    collector: str,
    output: str,
) -> None:
    """Look for everything that can be wrong, and say what to do about it.

    Changes nothing. Exits with 1 where there is a problem.
    """
    from annex_bootstrap.aws import connect
    from annex_bootstrap.condor_config import find_file
    from annex_bootstrap.doctor import Level
    from annex_bootstrap.examination import Examination

    account = connect(region, profile)
    findings = []
    for finding in Examination(account, stack_name, find_file(config), collector).run():
        findings.append(finding)
        if output == "text":
            _show(finding)
    problems = sum(finding.level is Level.PROBLEM for finding in findings)
    if output == "json":
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        click.echo(f"\n{problems} {'problem' if problems == 1 else 'problems'}." if problems else "\nNo problems.")
    if problems:
        sys.exit(1)


def _show(finding: Finding) -> None:
    click.secho(f"{finding.level:<8}", fg=COLOURS[finding.level], nl=False)
    click.echo(f" {finding.subject}: {finding.detail}")
    if finding.advice:
        click.echo(f"         -> {finding.advice}")
