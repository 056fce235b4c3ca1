"""``template verify``: what is inside a template, and whether this version builds the same bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import click

from annex_bootstrap import PROGRAM
from annex_bootstrap.console.command import OUTPUT, Command, Family
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.console.tables import one_line
from annex_bootstrap.launch.verify import Function, differences, is_same_file, list_functions, read_source
from annex_bootstrap.stack.template import built_template, template_path
from annex_contract import __version__


@dataclass(frozen=True)
class Verification(Result):
    """What is inside a template, and how it differs from ours.

    Attributes:
        sha256: of the whole template, in hexadecimal.
        functions: the code inside it.
        differences: a line for each; none where it is byte for byte what this version builds.
    """

    sha256: str
    functions: tuple[Function, ...]
    differences: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether this version builds the same bytes."""
        return not self.differences


def verify(screen: Screen, source: str) -> Verification:
    """List the code inside a template, a file or an https URL, and compare the template with ours.

    Raises:
        UserError: it cannot be read, or is not a template.
    """
    text = read_source(source)
    found = Verification(
        hashlib.sha256(text.encode()).hexdigest(),
        tuple(list_functions(text)),
        tuple(differences(text, built_template())),
    )
    for function in found.functions:
        screen.say(one_line(function.name), bold=True)
        screen.say(f"  {function.loader_sha256}  (the code around the archive)")
        for module in function.modules:
            screen.say(f"  {module.sha256}  {one_line(module.path)}")
    screen.say(f"The whole template: {found.sha256}")
    for line in found.differences:
        screen.say(f"  {one_line(line)}")
    if not found.ok:
        screen.fail(f"{source} is not what {PROGRAM} {__version__} builds: the differences are above")
    elif is_same_file(source, template_path()):
        screen.say(
            f"{source} is the file that this version compares with, so it was compared with itself.", fg="yellow"
        )
        screen.say("Compare its SHA-256 with the one that python build.py prints for the sources that you trust.")
    else:
        screen.say(f"Byte for byte what {PROGRAM} {__version__} builds.", fg="green")
    return found


command = Family("template", help="Inspect templates.")
command.add_command(
    Command(
        "verify",
        verify,
        click.Argument(["source"], metavar="FILE_OR_URL"),
        *OUTPUT,
        help="""List the code inside a template with its hashes, and say whether this version builds the same bytes.

        Exits with 1 if it does not.
        """,
    )
)
