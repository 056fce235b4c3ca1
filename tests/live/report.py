"""The report of a live test, as Markdown that can be pasted into an issue. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass
class Step:
    """One step of a run.

    Attributes:
        name: what it does.
        seconds: how long it took.
        error: why it failed; empty where it did not.
        notes: what was seen.
    """

    name: str
    seconds: float = 0.0
    error: str = ""
    notes: list[str] = field(default_factory=list)


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
    failed = [step for step in steps if step.error] or leftovers is None or bool(leftovers)
    lines = [
        f"## annex-bootstrap live test: {'FAILED' if failed else 'passed'}",
        "",
        *(f"- {name}: {text}" for name, text in {"Date": f"{at:%Y-%m-%d %H:%M} UTC", **facts}.items()),
        "",
        "| Step | Result | Seconds | Seen |",
        "| --- | --- | ---: | --- |",
        *(
            f"| {step.name} | {'FAILED' if step.error else 'ok'} | {step.seconds:.0f} | "
            f"{_cell('; '.join([*step.notes, *([step.error] if step.error else [])]))} |"
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
