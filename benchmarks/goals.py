"""Every goal beside what was measured when it was set, and what is measured now.

Run from a checkout: ``python -m benchmarks.goals``.
"""

from __future__ import annotations

import sys

from benchmarks import client, creation, custom_resources, lease, size
from template_gen.template import build

IMAGE = ("ImageBuilder", "MachineImage")
"""What makes the image, which takes minutes in any case."""


def table() -> str:
    """Return the goals as Markdown."""
    rows = [
        ("longest chain of creations, without the image", "141 s", "85 s", _chain()),
        ("a cold tick before expiry", "2.0 times HTCondor's function", "1.0 times", _ratio(lease.BEFORE)),
        ("after expiry, 1,000 machines", "1.2 times HTCondor's function", "0.8 times", _ratio(lease.after(1_000))),
        ("after expiry, 1 machine", "0.8 times HTCondor's function", "no more", _ratio(lease.after(1))),
        ("after expiry, 5 machines", "0.5 times HTCondor's function", "no more", _ratio(lease.after(5))),
        ("peak memory after expiry, the worst of all", "1.02 of the plain script", "1.0 of it", _memory()),
        ("the template", "301,000 bytes", f"{size.GOAL:,} bytes", f"{size.sizes()[size.WHOLE]:,} bytes"),
        ("`annex-bootstrap --help`", "7.5 bare interpreters", "6", f"{client.help_ratio():.1f}"),
        ("`make test` on two processors that do nothing else", "4 to 5.5 minutes", "4 minutes", "[below](#the-tests)"),
        ("calls that create the custom resources, without the image", "23", "fewer", str(_calls())),
        ("the slowest of their cold starts", "1.5 of the plain script", "less", _cold_start()),
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(["| what | at first | at most | now |", "| --- | --- | --- | --- |", *lines]) + "\n"


def _chain() -> str:
    return f"{creation.longest_chain(build().to_dict()['Resources']).seconds} s"


def _ratio(tick: str) -> str:
    ours, plain = lease.ticks()[tick]
    processes = ours.busy / lease.bare().busy
    return f"{ours.seconds / plain.seconds:.2f} of the plain script's time; {processes:.1f} bare processes"


def _memory() -> str:
    after = [pair for tick, pair in lease.ticks().items() if tick != lease.BEFORE]
    return f"{max(ours.megabytes / plain.megabytes for ours, plain in after):.2f} of it"


def _calls() -> int:
    return sum(len(calls) for title, calls in custom_resources.calls_of_creations().items() if title not in IMAGE)


def _cold_start() -> str:
    starts = [pair for title, pair in custom_resources.cold_starts().items() if title not in IMAGE]
    return f"{max(ours.busy / plain.busy for ours, plain in starts):.2f} of it"


if __name__ == "__main__":
    sys.stdout.write(table())
