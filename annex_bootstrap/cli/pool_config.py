"""``annex-bootstrap pool-config``."""

from __future__ import annotations

import getpass
import re
from pathlib import Path

import click

from annex_bootstrap.console.screen import Screen, output_option
from annex_contract.knobs import DEFAULT_PORT


def _check_users(_context: click.Context, _option: click.Parameter, users: tuple[str, ...]) -> tuple[str, ...]:
    for user in users:
        if not re.fullmatch(r"[A-Za-z0-9._-]+", user):
            raise click.BadParameter(
                f"{user!r} is no user's name: give it without a domain, such as {getpass.getuser()}"
            )
    return users


@click.command(name="pool-config")
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The pool's local configuration. Default: a file of its own in the last LOCAL_CONFIG_DIR.",
)
@click.option(
    "--password-file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Text file with the pool password in its first line. Default: a strong one is generated.",
)
@click.option(
    "--stored-password",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where HTCondor keeps it: SEC_PASSWORD_FILE. Default: /etc/condor/annex_pool_password for root, "
    "~/.condor/annex_pool_password for others.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, show_default=True, help="The shared port.")
@click.option(
    "--collector", metavar="HOST", help="The public name of this pool's collector, if the pool does not set it yet."
)
@click.option(
    "--longest-lease",
    metavar="DURATION",
    default="24h",
    show_default=True,
    help="The longest time that an annex runs. From HTCondor 24.11 on, its machines leave the pool an hour later.",
)
@click.option(
    "--user",
    "users",
    metavar="NAME",
    multiple=True,
    callback=_check_users,
    help="Who may start annexes with annex-bootstrap start; give it once for each. Default: those of before, else "
    "whoever runs this, also through sudo.",
)
@click.option("--print", "print_only", is_flag=True, help="Print the block and what it changes, and write nothing.")
@output_option
def command(
    config: Path | None,
    password_file: Path | None,
    stored_password: Path | None,
    port: int,
    collector: str | None,
    longest_lease: str,
    users: tuple[str, ...],
    print_only: bool,
    screen: Screen,
) -> None:
    """Let rented machines join the pool: a pool password, and one marked block in the pool's configuration.

    The pool's authentication methods are kept. A stored password is kept, unless --password-file gives another one.
    Needs no AWS. Run it as the owner of the pool: root, or you for a personal pool; on the central manager, and on
    every access point that starts annexes.
    """
    from annex_bootstrap.commands.pool_config import PoolOptions, pool_config
    from annex_bootstrap.times import parse_duration

    lease = parse_duration(longest_lease)
    options = PoolOptions(config, password_file, stored_password, port, collector or "", lease, print_only, users)
    pool_config(options, screen)
