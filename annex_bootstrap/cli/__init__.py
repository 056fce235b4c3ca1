"""The command line: one module a command, and the only place that prints or exits."""

from __future__ import annotations

import signal
import sys

import click

from annex_bootstrap.cli import (
    completion,
    credentials,
    delete,
    demo,
    deploy,
    doctor,
    fleet_config,
    generate_role,
    image,
    launch_url,
    leases,
    local,
    policy,
    pool_config,
    publish,
    pull_config,
    setup,
    start,
    status,
    template,
)
from annex_bootstrap.cli.output import Screen, wants_colour
from annex_bootstrap.errors import UserError
from annex_contract import __version__

INTERRUPTED = 130
"""The exit code after Ctrl-C: 128 + SIGINT, as shells have it."""


GROUPS = {
    "Set up": (setup, deploy, pull_config, credentials, pool_config, fleet_config, image, delete),
    "Run": (start, leases),
    "Look": (status, doctor),
    "Share": (launch_url, publish, template, policy, generate_role),
    "Try": (demo, local, completion),
}
"""The commands by what people want to do, as the help lists them."""


class Grouped(click.Group):
    """A group of commands whose help lists them by what people want to do."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under the headings of ``GROUPS``."""
        del context
        for heading, modules in GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(str(module.command.name), module.command.get_short_help_str(limit=62)) for module in modules]
                )


@click.group(
    cls=Grouped,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with `annex-bootstrap demo`: every step on a local AWS, without an account. "
    "Then `annex-bootstrap setup` does everything in yours.",
)
@click.version_option(__version__, prog_name=completion.PROGRAM)
@click.pass_context
def commands(context: click.Context) -> None:
    """Prepare an AWS account and an HTCondor pool for condor_annex, and undo it just as easily.

    Without a command: say where you stand, and what to do next.
    """
    if context.invoked_subcommand is None:
        from annex_bootstrap.commands.standing import tell_standing

        tell_standing(context.ensure_object(Screen))


for modules in GROUPS.values():
    for module in modules:
        commands.add_command(module.command)


def main() -> None:
    """Run a command; report an error in one sentence and with the exit code.

    Exit codes: 0 done; 1 it failed, or a check found a difference; 2 wrong usage; 130 Ctrl-C.
    """
    # On SIGTERM a command cleans up as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    screen = Screen()
    try:
        commands.main(prog_name=completion.PROGRAM, standalone_mode=False, obj=screen, color=wants_colour())
    except UserError as error:
        screen.document({"error": str(error)})
        screen.fail(str(error))
        sys.exit(error.exit_code)
    except click.ClickException as error:
        screen.document({"error": error.format_message()})
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("annex-bootstrap: stopped.", err=True)
        sys.exit(INTERRUPTED)
