"""``annex-bootstrap completion``."""

from __future__ import annotations

import click

VARIABLE = "_ANNEX_BOOTSTRAP_COMPLETE"


HELP = """Print what makes a shell complete commands, options, regions, parameters,
stacks and annexes.

\b
One line for your shell, then open a new one:
bash:  annex-bootstrap completion bash >> ~/.bashrc
zsh:   (echo 'autoload -Uz compinit && compinit'; annex-bootstrap completion zsh) >> ~/.zshrc
fish:  mkdir -p ~/.config/fish/completions &&
         annex-bootstrap completion fish > ~/.config/fish/completions/annex-bootstrap.fish
"""


@click.command(name="completion", help=HELP)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"there is no completion for {shell}")
    click.echo(kind(context.find_root().command, {}, "annex-bootstrap", VARIABLE).source())
