"""The command line: the groups of commands, and how their errors end."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

import click

from annex_bootstrap import PROGRAM
from annex_bootstrap.console.screen import Screen, wants_colour
from annex_bootstrap.errors import UserError
from annex_contract import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

INTERRUPTED = 130
"""The exit code after Ctrl-C: 128 + SIGINT, as in shells."""


GROUPS: Mapping[str, Mapping[str, str]] = {
    "Set up": {
        "setup": "Do everything that comes before the first annex.",
        "deploy": "Create or update the stack, then write the configuration.",
        "pull-config": "Write the stack's outputs into the pool's configuration.",
        "credentials": "Give condor_annex keys that can only run annexes.",
        "pool-config": "Let rented machines join the pool.",
        "fleet-config": "Write the spot fleet file that condor_annex reads.",
        "image": "Show the machines' image, or rebuild it.",
        "delete": "Delete the stack and its part of the configuration.",
    },
    "Run": {
        "start": "Start machines for an annex.",
        "grow": "Start machines for the jobs that wait.",
        "explain": "Say why a job waits.",
        "leases": "List the running annexes; extend or end one.",
        "forecast": "Estimate how long the jobs that wait would take, and cost.",
        "costs": "Estimate what machines have cost, and what of it jobs used.",
        "watch": "Watch the annexes until Ctrl-C.",
    },
    "Look": {
        "status": "Show the stack, its annexes and its configuration.",
        "doctor": "Find what is wrong with a setup, and say what to do.",
    },
    "Share": {
        "launch-url": "Print the link that opens the console with the stack.",
        "publish": "Put the template and its launch page into a bucket.",
        "template": "Inspect templates.",
        "policy": "Print the minimal policies for an administrator to grant.",
        "generate-role": "Print the role template of HTCondor's 8.7.0 guide.",
    },
    "Try": {
        "demo": "Demonstrate everything on a local AWS.",
        "rehearse": "Try an institution's policies on a local AWS.",
        "local": "Run a local AWS until Ctrl-C.",
        "completion": "Print shell completion for bash, zsh or fish.",
    },
}
"""The commands by what people want to do, as the help lists them, each with its line. A command is ``command`` in a
module of its name."""


class Grouped(click.Group):
    """The commands of ``GROUPS``. A module is loaded when its command is asked for, not for a list of commands."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of all commands."""
        del context
        return sorted(name for commands in GROUPS.values() for name in commands)

    def get_command(self, context: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name."""
        del context
        for commands in GROUPS.values():
            if cmd_name in commands:
                command: click.Command = import_module(f"annex_bootstrap.commands.{cmd_name.replace('-', '_')}").command
                command.short_help = commands[cmd_name]
                return command
        return None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin so; a shell waits, so no command is loaded for its line."""
        from click.shell_completion import CompletionItem

        lines = {name: line for group in GROUPS.values() for name, line in group.items()}
        found = [
            CompletionItem(name, help=lines[name]) for name in self.list_commands(ctx) if name.startswith(incomplete)
        ]
        return [*found, *super(click.Group, self).shell_complete(ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments begin with; the error names those that come close."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            known = self.list_commands(ctx)
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=known, ctx=ctx) from None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under the headings of ``GROUPS``."""
        del context
        for heading, commands in GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl(list(commands.items()))


@click.group(
    cls=Grouped,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Start with `{PROGRAM} demo`: every step on a local AWS, without an account. "
    f"Then `{PROGRAM} setup` does everything in yours.",
)
@click.version_option(__version__, prog_name=PROGRAM)
@click.pass_context
def commands(context: click.Context) -> None:
    """Prepare an AWS account and an HTCondor pool for annexes, start annexes, and undo all of it.

    Without a command: show where you stand, and what to do next.
    """
    if context.invoked_subcommand is None:
        from annex_bootstrap.commands.overview import show_overview

        show_overview(context.ensure_object(Screen))


def main() -> None:
    """Run a command; report an error in one sentence and with the exit code.

    Exit codes: 0 done; 1 it failed, or a check found a difference; 2 wrong usage; 130 Ctrl-C.
    """
    # On SIGTERM, and when its terminal closes, a command cleans up as after Ctrl-C; nohup ignores that signal.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    screen = Screen()
    try:
        _run(screen)
    except OSError as error:
        if error.filename is not None:
            raise
        # What was printed cannot be written any more: nothing may try again when Python shuts down.
        sys.stdout = None  # as Python itself has it where there is no standard output
        screen.fail(f"standard output cannot be written: {error.strerror or error}")
        sys.exit(1)
    finally:
        # Only Python's own shutdown is left, which a second Ctrl-C would fill with tracebacks.
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _run(screen: Screen) -> None:
    try:
        commands.main(prog_name=PROGRAM, standalone_mode=False, obj=screen, color=wants_colour())
        if sys.stdout is not None:
            # A full disk shows here, and not when Python shuts down.
            sys.stdout.flush()
    except UserError as error:
        screen.document(None, str(error))
        screen.fail(str(error))
        sys.exit(error.exit_code)
    except click.ClickException as error:
        text = error.format_message()
        text = text[:1].lower() + text[1:]
        screen.document(None, text)
        path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else PROGRAM
        screen.fail(f"{text}{'' if text.endswith(('.', '?', '?)')) else '.'} Try {path} --help.")
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        # A terminal that was closed takes no more output.
        with contextlib.suppress(OSError):
            screen.document(None, "stopped")
            click.echo(f"{PROGRAM}: stopped.", err=True)
        sys.exit(INTERRUPTED)
