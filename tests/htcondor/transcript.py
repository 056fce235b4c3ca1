"""What ``make e2e`` prints: Markdown that a newcomer can follow."""

from __future__ import annotations

import sys


class Transcript:
    """Prints each step as it happens: what it shows, the commands, what they said, what was checked."""

    def step(self, test_name: str, text: str) -> None:
        """Begin a step.

        Args:
            test_name: the test's, a sentence with underscores.
            text: for the reader; its first paragraph is printed.
        """
        title = test_name.removeprefix("test_").replace("_", " ")
        paragraph = " ".join(text.split("\n\n")[0].split())
        self._print(f"\n## {title[0].upper()}{title[1:]}\n", paragraph)

    def command(self, line: str, said: str) -> None:
        """Show a command as a person would type it, and all that it said."""
        self._print("", "```console", f"$ {line}", *said.strip().splitlines(), "```")

    def file(self, path: str, text: str) -> None:
        """Show the content of a file."""
        self._print("", f"`{path}`:", "", "```", *text.strip().splitlines(), "```")

    def checked(self, fact: str) -> None:
        """Say what was checked; call this after the check."""
        self._print("", f"- Checked: {fact}.")

    def _print(self, *lines: str) -> None:
        sys.stdout.write("\n".join((*lines, "")))
        sys.stdout.flush()
