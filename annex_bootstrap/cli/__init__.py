"""The command line: one module a command, and the only place that prints or exits."""

from __future__ import annotations

import signal
import sys

import click

from annex_bootstrap import __version__
from annex_bootstrap.cli import (
    credentials,
    delete,
    demo,
    deploy,
    fleet_config,
    launch_url,
    leases,
    local,
    policy,
    pool_config,
    publish,
    pull_config,
    template,
)
from annex_bootstrap.errors import UserError

INTERRUPTED = 130
"""The exit code after Ctrl-C: 128 + SIGINT, as shells have it."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="annex-bootstrap")
def commands() -> None:
    r"""Prepare an AWS account and an HTCondor pool for condor_annex, and undo it as easily.

    \b
    Start here:
      annex-bootstrap demo      see the whole story on a local AWS; needs no account
      annex-bootstrap deploy    make the stack in your account and write the pool's configuration
    """


for command in (
    deploy,
    pull_config,
    credentials,
    pool_config,
    fleet_config,
    leases,
    delete,
    policy,
    launch_url,
    publish,
    template,
    demo,
    local,
):
    commands.add_command(command.command)


def main() -> None:
    """Run a command; say what went wrong in one sentence, and exit with a code that tells it too."""
    # Ended from outside, a command cleans up as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        commands.main(standalone_mode=False)
    except UserError as error:
        click.secho(f"annex-bootstrap: {error}", fg="red", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.secho(
            "annex-bootstrap: stopped. What CloudFormation has begun goes on without you; "
            "run the same command again to see how it ended.",
            err=True,
        )
        sys.exit(INTERRUPTED)
