"""Why jobs wait, in their own terms."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from annex_bootstrap.growth.cloud import Instance
from annex_bootstrap.growth.model import Decision, History, Lack, Readings, Reason, Room, Rules, Verdict
from annex_bootstrap.growth.words import came_back, why
from annex_bootstrap.machines.money import Budget, Charge
from tests.unit.annex_bootstrap.growth.cases import NOW, REGION, group

READINGS = Readings(
    charges=[Charge(Decimal(3), NOW - 3600, NOW)],
    quotas={(REGION, False): 0},
    history=History(lacks=(Lack(REGION, "us-east-1a", "m7i.large", False, NOW + 300),)),
    denied={"eu-west-1": "there is no stack"},
)
RULES = Rules(cores=16, budget=Budget(Decimal(50), daily=False))


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (Reason.DOUBT, "not known, so nothing starts: the collector does not answer"),
        (Reason.PROTECTED, "the last 10 machines never joined the pool"),
        (Reason.HOME, "free slots of the pool suit all of them"),
        (Reason.BOOTING, "machines for 2 of them are booting"),
        (Reason.WAIT, "they wait at home for 20 minutes first: 12 minutes to go"),
        (Reason.NAME, "jobs of several owners name the annex ours"),
        (
            Reason.NO_TYPE,
            "no instance type has 1 core, 1024 MiB, 2 GPUs and meets their requirements; machines have GPUs",
        ),
        (Reason.CAPACITY, "AWS has no capacity in m7i.large in us-east-1a: asked for again at "),
        (Reason.QUOTA, "aws service-quotas request-service-quota-increase --region us-east-1"),
        (Reason.CORES, "--max-cores is 16, and 14 run already"),
        (Reason.MONEY, "--max-dollars is $50, of which $3.00 are spent or promised"),
        (Reason.PRICE, "AWS names no price"),
        (Reason.PACE, "the next one comes at "),
        (Reason.STARTED, "machines for 3 of them are starting"),
    ],
)
def test_every_reason_is_said(reason: Reason, text: str) -> None:
    jobs = group(jobs=9, annex="ours", needs=Room(1, 1024, gpus=2))
    verdict = Verdict("a", 9, 1, 2, 3, 3, reason, NOW + 720)
    decision = Decision((), (), (verdict,), 14, ("the collector does not answer",), 10)
    assert text in why(verdict, jobs, READINGS, decision, RULES, NOW)


def test_what_is_only_shown_is_said_to_be_so() -> None:
    verdict, decision = Verdict("a", 9, 0, 0, 0, 3, Reason.STARTED), Decision((), (), (), 0)
    said = why(verdict, group(jobs=9), READINGS, decision, RULES, NOW, would=True)
    assert said == "machines would start for 3 of them"


def test_the_condition_that_nothing_meets_is_named() -> None:
    verdict = Verdict("a", 1, 0, 0, 0, 1, Reason.NO_TYPE)
    said = why(
        verdict, group(), replace(READINGS, denied={}), Decision((), (), (), 0), RULES, NOW, ["TARGET.GPUs >= 8"]
    )
    assert said == "no machine satisfies TARGET.GPUs >= 8"


def test_a_job_that_came_back_says_what_became_of_its_machine() -> None:
    taken = Instance("i-1", "grow-a", REGION, "m7i.large", True, NOW, False, reason="Server.SpotInstanceTermination")
    assert came_back("slot1_1@i-1", [taken]) == "it ran on i-1 (m7i.large) before: AWS took the spot machine back"
    assert came_back("slot1_1@i-1", [replace(taken, runs=True)]) == ""
    assert came_back("slot1@home", [taken]) == ""
