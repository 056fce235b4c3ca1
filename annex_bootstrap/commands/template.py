"""``annex-bootstrap template``."""

from __future__ import annotations

import click

from annex_bootstrap.console.screen import Screen, output_option
from annex_bootstrap.console.text import one_line


@click.group(name="template")
def command() -> None:
    """Inspect templates."""


@command.command(name="verify")
@click.argument("source", metavar="FILE_OR_URL")
@output_option
def verify(source: str, screen: Screen) -> None:
    """List the code inside a template with its hashes, and say whether this version builds the same bytes.

    Exits with 1 if it does not.
    """
    import hashlib
    import sys
    from dataclasses import asdict

    from annex_bootstrap.launch import verify as verification
    from annex_bootstrap.stack.artefact import built_template, template_path
    from annex_contract import __version__

    text = verification.read_source(source)
    functions = verification.list_functions(text)
    found = verification.differences(text, built_template())
    digest = hashlib.sha256(text.encode()).hexdigest()
    for function in functions:
        screen.say(one_line(function.name), bold=True)
        screen.say(f"  {function.loader_sha256}  (the code around the archive)")
        for module in function.modules:
            screen.say(f"  {module.sha256}  {one_line(module.path)}")
    screen.say(f"The whole template: {digest}")
    for line in found:
        screen.say(f"  {one_line(line)}")
    screen.document({"sha256": digest, "functions": [asdict(function) for function in functions], "differences": found})
    if found:
        screen.fail(f"{source} is not what annex-bootstrap {__version__} builds: the differences are above")
        sys.exit(1)
    if verification.is_same_file(source, template_path()):
        screen.say(
            f"{source} is the file that this version compares with, so it was compared with itself.", fg="yellow"
        )
        screen.say("Compare its SHA-256 with the one that python build.py prints for the sources that you trust.")
        return
    screen.say(f"Byte for byte what annex-bootstrap {__version__} builds.", fg="green")
