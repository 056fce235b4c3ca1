"""The report of a live test, as Markdown that can be pasted into an issue. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tests.live.checks import CHECKS, Check


@dataclass
class Step:
    """One step of a run.

    Attributes:
        name: what it does, a key of ``CHECKS``.
        seconds: how long it took.
        error: why it failed; empty where it did not.
        unseen: why it proves nothing here, although it did not fail.
        notes: what was seen.
    """

    name: str
    seconds: float = 0.0
    error: str = ""
    unseen: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def check(self) -> Check:
        """What it proves."""
        return CHECKS[self.name]

    @property
    def result(self) -> str:
        """How it ended, in a word or two."""
        return "FAILED" if self.error else "not shown" if self.unseen else "ok"

    @property
    def seen(self) -> str:
        """What was seen, and why it failed or shows nothing."""
        return "; ".join(text for text in (*self.notes, self.unseen, self.error) if text)


def render(
    steps: Sequence[Step],
    leftovers: Sequence[str] | None,
    creation: Mapping[str, float],
    facts: Mapping[str, str],
    account: str,
    at: datetime,
) -> str:
    """Return the report, without the account's ID.

    Args:
        steps: in their order.
        leftovers: what the census found after the end; None where it could not be taken.
        creation: seconds that the slowest resource of a type took to be created, by type.
        facts: further lines, by what they say.
        account: the ID, which is replaced.
        at: when the run began.
    """
    failed = [step for step in steps if step.error]
    unseen = [step.name for step in steps if step.result == "not shown"]
    lines = [
        f"## annex-bootstrap live test: {'FAILED' if failed or leftovers is None or leftovers else 'passed'}",
        "",
        *(f"- {name}: {text}" for name, text in {"Date": f"{at:%Y-%m-%d %H:%M} UTC", **facts}.items()),
        *([f"- Not shown: {', '.join(unseen)}"] if unseen else []),
        *(f"- What to do about {step.name}: {step.check.advice}" for step in failed if step.check.advice),
        "",
        "| Part | Step | Result | Seconds | Proves | Seen |",
        "| ---: | --- | --- | ---: | --- | --- |",
        *(
            f"| {step.check.number} | {step.name} | {step.result} | {step.seconds:.0f} | {step.check.proves} "
            f"| {_cell(step.seen)} |"
            for step in steps
        ),
        "",
        "Left over, besides the account's service-linked roles: "
        + ("unknown" if leftovers is None else ", ".join(f"`{name}`" for name in leftovers) or "nothing"),
    ]
    if creation:
        slowest = sorted(creation.items(), key=lambda item: -item[1])
        lines += ["", "| Resource type | Seconds to create, at most |", "| --- | ---: |"]
        lines += [f"| {kind} | {seconds:.0f} |" for kind, seconds in slowest]
    return "\n".join(lines).replace(account, "ACCOUNT") + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
