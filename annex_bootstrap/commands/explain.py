"""``explain``: why a job waits, in the job's own terms."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import click

from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.growth import queue, words
from annex_bootstrap.growth.model import Reason, Rules
from annex_bootstrap.growth.plan import plan
from annex_bootstrap.growth.queue import Ad
from annex_bootstrap.growth.reading import Reader
from annex_bootstrap.growth.record import Record
from annex_bootstrap.options import CONFIG, MANY_REGIONS
from annex_bootstrap.pool.config_file import find_file
from annex_bootstrap.target import Target

STATES = {2: "runs on", 3: "was removed", 4: "is done", 5: "is held:", 6: "sends its output from", 7: "is suspended on"}
"""The numbers of JobStatus, but for idle jobs:
https://htcondor.readthedocs.io/en/latest/classad-attributes/job-classad-attributes.html#JobStatus"""


@dataclass(frozen=True)
class Explanation(Result):
    """Why a job waits.

    Attributes:
        job: its ID.
        reason: in a word; null where it does not wait, or may not leave home.
        explanation: in sentences, the one that counts first.
        like: how many idle jobs are like it, itself included.
    """

    job: str
    reason: Reason | None
    explanation: tuple[str, ...]
    like: int


def explain(screen: Screen, target: Target, job: str) -> Explanation:
    """Say why a job waits.

    Args:
        screen: where to print.
        target: the stack.
        job: its ID, such as ``12.0``, or ``12`` for the first of a cluster.

    Raises:
        UserError: there is no such job, or the schedd does not answer.
    """
    queue.check_here()
    ad = _find(job)
    job = f"{ad['ClusterId']}.{ad['ProcId']}"
    result = _explain(target, ad, job)
    screen.say(f"Job {job} of {ad.get('Owner')}:")
    for sentence in result.explanation:
        screen.say(f"  {sentence}")
    return result


def _find(job: str) -> Ad:
    cluster, _, proc = job.partition(".")
    if not cluster.isdecimal() or (proc and not proc.isdecimal()):
        raise UserError(f"{job!r} is not a job's ID: give one such as 12.0, as condor_q prints it")
    ads = queue.read_ads(["condor_q", "-allusers", job, "-json"])
    if not ads:
        raise UserError(f"there is no job {job} in the queue of this access point: see condor_history {job}")
    return min(ads, key=lambda ad: (ad["ProcId"],))


def _explain(target: Target, ad: Ad, job: str) -> Explanation:
    status = int(ad.get("JobStatus") or 0)
    if status != queue.IDLE:
        more = ad.get("HoldReason") if status == 5 else ad.get("RemoteHost", "")
        return Explanation(
            job, None, (f"It does not wait: it {STATES.get(status, 'is')} {more or ''}".strip() + ".",), 0
        )
    record = Record.beside(find_file(target.config))
    known = next(reversed(record.of("rules")), None)
    accounts = target.connect_all()
    regions = tuple(account.region for account in accounts)
    rules = (
        Rules(cores=1_000_000, regions=regions) if known is None else replace(Rules.of_event(known), regions=regions)
    )
    only = known["only"] if known else ""
    may = ad.get("MayUseAWS") is True or ad.get("TargetAnnexName") is not None or bool(only)
    if not may:
        return Explanation(
            job, None, ("It may not leave home: submit it with +MayUseAWS = True to let it run on AWS.",), 1
        )
    if ad.get("JobUniverse") != queue.VANILLA:
        return Explanation(job, None, ("It is of a universe that machines on AWS do not run.",), 1)
    now = int(time.time())
    reader = Reader(accounts, target.stack_name, rules, only, (), record, writes=False)
    view = reader.read(now)
    decision = plan(view.readings, rules, now)
    (sort,) = queue.sort_jobs([ad])
    like = [verdict for verdict in decision.verdicts if verdict.key == sort.key]
    if decision.doubts and not like:
        return Explanation(job, Reason.DOUBT, tuple(f"Not known: {doubt}." for doubt in decision.doubts), 1)
    if not like:
        return Explanation(
            job, None, ("Nothing starts for it: --only names other jobs, or what it asks for is not a number.",), 1
        )
    verdict, group = like[0], view.group(sort.key)
    unmet = reader.find_unmet(view, group) if verdict.reason is Reason.NO_TYPE else []
    sentences = [words.why(verdict, group, view.readings, decision, rules, now, unmet, would=True)]
    if verdict.jobs > 1:
        sentences.append(
            f"{verdict.jobs} jobs are like it: {verdict.home} suit free slots of the pool, {verdict.booting} machines "
            f"that boot, {verdict.missing} need more"
        )
    back = words.came_back(str(ad.get("LastRemoteHost", "")), view.instances) if ad.get("NumJobStarts") else ""
    if back:
        sentences.append(back)
    if known is None:
        sentences.append("no annex-bootstrap grow has run with this configuration, and nothing starts without one")
    return Explanation(job, verdict.reason, tuple(f"{text[0].upper()}{text[1:]}." for text in sentences), verdict.jobs)


command = Command(
    "explain",
    explain,
    click.Argument(["job"]),
    *MANY_REGIONS,
    CONFIG,
    *OUTPUT,
    help="""Say why the job JOB, such as 12.0, waits: whether it may leave home, what fits it, and which limit holds it.

    Decides as the last annex-bootstrap grow would now, and changes nothing.
    """,
)
