"""The local AWS's authorization decisions, taken again by ``@cloud-copilot/iam-simulate``.

The simulator is a program of its own, under the AGPL: a tool of the tests, fetched from npm and never shipped. It
knows AWS's service authorization reference, so it also finds condition keys that an action does not have.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

SIMULATOR = Path(__file__).parent / "simulator"

EXCEPTIONS: dict[tuple[str, str], str] = {
    ("ssm:GetParameter", 'no such request: {"message":"no.resource.types"}'): "the ARN of a public parameter has no "
    "account: https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-public-parameters.html",
}
"""Where the simulator is wrong and why, by action and what it says."""


def disagreements(decisions: Iterable[str]) -> Iterator[str]:
    """Take decisions again.

    Args:
        decisions: as recorded, each as JSON.

    Yields:
        What the simulator says otherwise, or cannot say.
    """
    lines = list(decisions)
    done = subprocess.run(
        ["node", SIMULATOR / "replay.mjs"], input="\n".join(lines), stdout=subprocess.PIPE, text=True, check=True
    )
    for line, opinion in zip(lines, done.stdout.splitlines(), strict=True):
        decision = json.loads(line)
        said = _disagreement(decision, json.loads(opinion))
        if said and (decision["action"], said) not in EXCEPTIONS:
            yield f"{decision['action']} on {decision['resource']}: {said}; {line}"


def _disagreement(decision: dict[str, Any], opinion: dict[str, Any]) -> str:
    if "error" in opinion:
        return f"no such request: {opinion['error']}"
    if opinion["allowed"] != decision["allowed"]:
        return f"{'denied' if decision['allowed'] else 'allowed'} by AWS's rules"
    if opinion["ignored"]:
        return f"AWS has no {', '.join(sorted(opinion['ignored']))} there"
    return ""
