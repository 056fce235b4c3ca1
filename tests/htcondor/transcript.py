"""What ``make e2e`` prints: Markdown that a newcomer can follow."""

from __future__ import annotations

import re
import sys

PROGRESS = re.compile(r" +([a-z0-9-]+ +)?\d\d:\d\d:\d\d +")
"""The beginning of a progress line about one resource of a stack."""


class Transcript:
    """Prints each step as it happens: its purpose, the commands, their output, and what was checked."""

    def __init__(self) -> None:
        self._heading: tuple[str, ...] = ()

    def begin(self, text: str) -> None:
        """Print the heading and an introduction."""
        self._print("# annex-bootstrap and a real HTCondor\n", text)

    def step(self, test_name: str, text: str) -> None:
        """Begin a step. A step in which nothing follows, as one that is skipped, is not printed.

        Args:
            test_name: the test's, a sentence with underscores.
            text: for the reader; its first paragraph is printed.
        """
        title = test_name.removeprefix("test_").replace("_", " ").replace("condor annex", "condor_annex")
        paragraph = " ".join(text.split("\n\n")[0].split())
        self._heading = (f"\n## {title[0].upper()}{title[1:]}\n", paragraph)

    def command(self, line: str, output: str, *, user: str = "") -> None:
        """Print a command as a user would type it and its output, without the progress of single resources.

        Args:
            line: the command; root's gets root's prompt.
            output: all that it printed.
            user: who typed it.
        """
        shown = [text.rstrip() for text in output.rstrip().splitlines() if not PROGRESS.match(text)]
        self._print("", "```console", f"{'#' if user == 'root' else '$'} {line}", *shown, "```")

    def note(self, text: str) -> None:
        """Print a remark."""
        self._print("", f"- {text}.")

    def file(self, path: str, text: str) -> None:
        """Print the content of a file."""
        self._print("", f"`{path}`:", "", "```", *text.strip().splitlines(), "```")

    def checked(self, fact: str) -> None:
        """Print what was checked; call this after the check."""
        self._print("", f"- Checked: {fact}.")

    def _print(self, *lines: str) -> None:
        sys.stdout.write("\n".join((*self._heading, *lines, "")))
        self._heading = ()
        sys.stdout.flush()
