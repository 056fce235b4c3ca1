"""Tables for people, as wide as a terminal, elsewhere a whole line for each row, for grep; and safe texts.

Texts of others may have control characters, which could change what a terminal shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

GAP = 2
"""Columns between those of a table."""

WIDE = 1000
"""Columns of what is not a terminal: more than any table has, so that no row is cut."""


def printable(text: str) -> str:
    """Return a text with escapes in place of control characters."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else ascii(character)[1:-1] for character in text
    )


def one_line(text: str) -> str:
    """Return a text with escapes in place of control characters and of the ends of lines, which could pass for ours."""
    return printable(text).replace("\n", "\\n")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: its heading.
        number: whether it holds numbers, which are aligned at their end and never broken.
        optional: whether a terminal leaves it out where the table is too wide, the last one first.
    """

    name: str
    number: bool = False
    optional: bool = False

    @property
    def key(self) -> str:
        """The name in a line of a pipe: one word, such as ``dollars_per_hour``."""
        return self.name.lower().replace("$/", "dollars_per_").replace("$", "dollars").replace(" ", "_")


def build_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> Table:
    """Return a table, on a narrow terminal with headings on two lines, and without optional columns.

    Args:
        columns: of the table.
        rows: a cell for each column.
        width: of the terminal, in columns; None where it is none.
    """
    from rich.table import Table
    from rich.text import Text

    heads = [column.name for column in columns]
    cells = [[one_line(cell) for cell in row] for row in rows]
    shown = list(range(len(columns)))

    def fits() -> bool:
        texts = ([heads[place], *(row[place] for row in cells)] for place in shown)
        needed = sum(max(len(line) for text in column for line in text.split("\n")) + GAP for column in texts) - GAP
        return width is None or needed <= width

    if not fits():
        heads = ["\n".join(head.rsplit(" ", 1)) for head in heads]
    for place in reversed(range(len(columns))):
        if columns[place].optional and not fits():
            shown.remove(place)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for place in shown:
        number = columns[place].number
        table.add_column(heads[place], justify="right" if number else "left", overflow="fold", no_wrap=number)
    for row in cells:
        table.add_row(*[Text(row[place]) for place in shown])
    return table
