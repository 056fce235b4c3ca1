"""Texts of others, made safe to print: control characters could change what a terminal shows."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text with escapes in place of control characters."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else ascii(character)[1:-1] for character in text
    )


def one_line(text: str) -> str:
    """Return a text with escapes in place of control characters and of the ends of lines, which could pass for ours."""
    return printable(text).replace("\n", "\\n")
