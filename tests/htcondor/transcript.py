"""What ``make e2e`` prints: Markdown that a newcomer can follow."""

from __future__ import annotations

import re
import sys

PROGRESS = re.compile(r" +([a-z0-9-]+ +)?\d\d:\d\d:\d\d +")
"""The beginning of a line that tells of one resource of a stack."""


class Transcript:
    """Prints each step as it happens: what it shows, the commands, what they said, what was checked."""

    def begin(self, text: str) -> None:
        """Print the heading, and what the reader must know first."""
        self._print("# annex-bootstrap and a real HTCondor\n", text)

    def step(self, test_name: str, text: str) -> None:
        """Begin a step.

        Args:
            test_name: the test's, a sentence with underscores.
            text: for the reader; its first paragraph is printed.
        """
        title = test_name.removeprefix("test_").replace("_", " ").replace("condor annex", "condor_annex")
        paragraph = " ".join(text.split("\n\n")[0].split())
        self._print(f"\n## {title[0].upper()}{title[1:]}\n", paragraph)

    def command(self, line: str, said: str, *, user: str = "") -> None:
        """Show a command as a person would type it, and what it said, without the progress of single resources.

        Args:
            line: the command; root's gets root's prompt.
            said: all that it said.
            user: who typed it.
        """
        shown = [each.rstrip() for each in said.rstrip().splitlines() if not PROGRESS.match(each)]
        self._print("", "```console", f"{'#' if user == 'root' else '$'} {line}", *shown, "```")

    def note(self, text: str) -> None:
        """Say something that is no check."""
        self._print("", f"- {text}.")

    def file(self, path: str, text: str) -> None:
        """Show the content of a file."""
        self._print("", f"`{path}`:", "", "```", *text.strip().splitlines(), "```")

    def checked(self, fact: str) -> None:
        """Say what was checked; call this after the check."""
        self._print("", f"- Checked: {fact}.")

    def _print(self, *lines: str) -> None:
        sys.stdout.write("\n".join((*lines, "")))
        sys.stdout.flush()
