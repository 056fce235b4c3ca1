"""The attacks that ``test_attacks`` carries out, as a table in the documentation.

``python -m tests.local_aws.attacks`` writes it into ``docs/security.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

PAGE = Path(__file__).parent.parent.parent / "docs" / "security.md"
BEGIN = "<!-- attacks: written by python -m tests.local_aws.attacks -->\n"
END = "<!-- end of attacks -->\n"

Test = TypeVar("Test", bound=Callable[..., Any])


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        what: is tried.
        by: the principal who tries it.
        stopped_by: what stops it.
    """

    what: str
    by: str
    stopped_by: str


ATTACKS: list[Attack] = []
"""Every attack, in the order in which the tests define them."""


def attack(what: str, *, by: str, stopped_by: str) -> Callable[[Test], Test]:
    """Say what a test tries; the test shows that it does not succeed."""
    ATTACKS.append(Attack(what, by, stopped_by))
    return lambda test: test


def table(attacks: Iterable[Attack]) -> str:
    """Return the attacks as a table in Markdown."""
    rows = [f"| {each.what} | {each.by} | {each.stopped_by} |" for each in attacks]
    return "\n".join(["| Attack | Who tries it | What stops it |", "| --- | --- | --- |", *rows, ""])


def page(text: str, attacks: Iterable[Attack]) -> str:
    """Return the page's text with the table as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(attacks)}\n{END}{after}"


if __name__ == "__main__":
    from tests.local_aws import attacks, test_attacks

    assert test_attacks.__name__  # imported, so that every attack is known
    PAGE.write_text(page(PAGE.read_text(), attacks.ATTACKS))
