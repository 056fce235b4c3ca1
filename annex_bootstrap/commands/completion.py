"""``completion``: what makes a shell complete our command line."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from annex_bootstrap import PROGRAM
from annex_bootstrap.console.command import Command
from annex_bootstrap.console.screen import Screen

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


def completion(screen: Screen, shell: str) -> None:
    """Print the completion script of a shell: ``bash``, ``zsh`` or ``fish``."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"there is no completion for {shell}")
    commands = click.get_current_context().find_root().command
    screen.result(kind(commands, {}, PROGRAM, VARIABLE).source() + "\n")


command = Command(
    "completion", completion, click.Argument(["shell"], type=click.Choice(["bash", "zsh", "fish"])), help=HELP
)
