"""The record of one local AWS, and what others think of it."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from local_aws.server.recording import DECISIONS, EXCHANGES
from tests.local_aws.second_opinions.decisions import disagreements
from tests.local_aws.second_opinions.exchanges import Exchange
from tests.local_aws.second_opinions.models import violations

TAKE_AGAIN = "TAKE_DECISIONS_AGAIN"
"""The environment variable that, with any value, asks for the second opinion on decisions; it needs Node and npm."""


@dataclass(frozen=True)
class Record:
    """What a local AWS wrote.

    Attributes:
        counts: how many exchanges were compared and how many distinct decisions were taken again.
        objections: what others hold against them, each once.
    """

    counts: dict[str, int]
    objections: list[str]


def judge(directory: Path) -> Record:
    """Ask for all opinions on a record."""
    lines = _lines(directory / EXCHANGES)
    wrong = Counter(violation for line in lines for violation in violations(Exchange.read(line)))
    counts = {"exchanges compared with botocore's models": len(lines)}
    objections = [f"{each.operation}, {each.side}: {each.text} ({count} times)" for each, count in wrong.items()]
    if os.environ.get(TAKE_AGAIN):
        distinct = sorted(set(_lines(directory / DECISIONS)))
        counts["distinct decisions taken again by iam-simulate"] = len(distinct)
        objections += disagreements(distinct)
    return Record(counts, objections)


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
