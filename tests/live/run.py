"""One live test: steps as the people who would take them, then everything deleted, whatever happened."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from annex_bootstrap.aws import Account
from tests.live import condor_annex, starting
from tests.live.census import take_census
from tests.live.harness import LiveError, Run, say
from tests.live.options import Options
from tests.live.report import render

ANNEXES = (starting.ONE, starting.CHOSEN, starting.MARKET, condor_annex.DEMAND, condor_annex.SPOT)

CLEANING = 1800
"""Seconds that cleaning up may take: a security group waits fifteen minutes for machines."""


def live(options: Options, deployer: Account, operator: Account, auditor: Account, helper: Account) -> int:
    """Take every step, then delete everything and report.

    Args:
        options: of the run.
        deployer: with the deployer's policy.
        operator: with the operator's policy.
        auditor: who may read everything.
        helper: with ``helper_policy``.

    Returns:
        The exit code: 0 where everything went well and nothing is left, 130 after Ctrl-C, else 1.
    """
    with tempfile.TemporaryDirectory(prefix="annex-bootstrap-live-") as home:
        return _run(Run(options, deployer, operator, auditor, helper, Path(home)))


def _run(run: Run) -> int:
    code = 1
    try:
        if not run.options.clean_up:
            _live(run)
        code = 0
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        # Whatever it was, the report has it, and what costs money must go.
        run.facts["Failed with"] = f"{type(error).__name__}: {error}"
    run.until = time.monotonic() + CLEANING
    cleaned, leftovers = False, None
    try:
        cleaned = _clean_up(run)
        leftovers = _census(run)
    except KeyboardInterrupt:
        code = 130
    report = run.options.report
    report.write_text(render(run.steps, leftovers, run.creation, run.facts, run.deployer.account_id, run.began))
    say(f"\n{report.read_text()}\nThe report is in {report}.")
    if cleaned and leftovers == []:
        return code
    say("Something may be left, and cost money: run the same command with --clean-up.")
    return code or 1


def _live(run: Run) -> None:
    with run.step("nothing of an earlier run is there"):
        left = take_census(run.auditor.session, run.region, ANNEXES)
        # The staging bucket may serve another stack of the account.
        if any("staging" not in name for name in left):
            raise LiveError(f"an earlier run left {', '.join(left)}: run with --clean-up first")
    starting.check_for_free(run)
    starting.deploy(run)
    starting.start(run)
    condor_annex.use_as_condor_annex(run)
    starting.read_cloudtrail(run)
    with run.step("delete") as step:
        run.starter_user().remove()
        run.command(run.options.deployer, "delete", "--yes", "--config", str(run.config))
        step.notes.append("the stack and the staging bucket")


def _clean_up(run: Run) -> bool:
    """Delete what there is, and return whether that succeeded."""
    with run.patient_step("clean up: the users"):
        run.starter_user().remove()
        run.annex_user().remove()
    with run.patient_step("clean up: images"):
        starting.delete_images(run)
    with run.patient_step("clean up: annexes and stack"):
        arguments = ("delete", "--yes", "--end-annexes", "--config", str(run.config))
        run.command(run.options.deployer, *arguments)
    with run.patient_step("clean up: rules"):
        for annex in ANNEXES:
            if not run.has_no_rule(annex) and not run.helper.events.list_targets_by_rule(Rule=annex)["Targets"]:
                run.helper.events.delete_rule(Name=annex)
    return not any(step.error for step in run.steps if step.name.startswith("clean up"))


def _census(run: Run) -> list[str] | None:
    """Return what is left; None where nobody can tell."""
    left: list[str] | None = None
    with run.patient_step("census"):
        # Deletions show late.
        for _ in range(6):
            left = take_census(run.auditor.session, run.region, ANNEXES)
            if not left:
                break
            run.sleep(run.options.poll_seconds)
    return left
