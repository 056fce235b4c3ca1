"""``annex-bootstrap template``."""

from __future__ import annotations

import click


@click.group(name="template")
def command() -> None:
    """Look into templates."""


@command.command(name="verify")
@click.argument("source", metavar="FILE_OR_URL")
def verify(source: str) -> None:
    """List the code inside a template with its hashes, and say whether this version builds the same bytes.

    Exits with 1 where it does not.
    """
    import hashlib

    from annex_bootstrap import __version__, deploy
    from annex_bootstrap import verify as verification
    from annex_bootstrap.errors import UserError

    text = verification.read_source(source)
    for function in verification.list_functions(text):
        click.secho(function.name, bold=True)
        click.echo(f"  {function.loader_sha256}  (the code around the archive)")
        for module in function.modules:
            click.echo(f"  {module.sha256}  {module.path}")
    click.echo(f"The whole template: {hashlib.sha256(text.encode()).hexdigest()}")
    found = verification.differences(text, deploy.built_template())
    if found:
        for line in found:
            click.echo(f"  {line}")
        raise UserError(f"{source} is not what annex-bootstrap {__version__} builds: the differences are above")
    click.secho(f"Byte for byte what annex-bootstrap {__version__} builds.", fg="green")
