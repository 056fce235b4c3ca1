"""``annex-bootstrap pool-config``."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from annex_bootstrap.cli.output import Screen, output_option

if TYPE_CHECKING:
    from annex_bootstrap.pool.pool_config import Effect, Pool


@click.command(name="pool-config", short_help="Let rented machines join the pool.")
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The pool's local configuration. Default: a file of ours in the last of LOCAL_CONFIG_DIR.",
)
@click.option(
    "--password-file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Text file with the pool password in its first line. Default: a strong one is made.",
)
@click.option(
    "--stored-password",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where HTCondor keeps it: SEC_PASSWORD_FILE. Default: /etc/condor/annex_pool_password for root, "
    "~/.condor/annex_pool_password for others.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=9618, show_default=True, help="The shared port.")
@click.option("--collector", metavar="HOST", help="The public name of this pool's collector, if it is not set yet.")
@click.option(
    "--longest-lease",
    metavar="DURATION",
    default="24h",
    show_default=True,
    help="The longest that an annex lives. From HTCondor 24.11 on, its machines lose the pool an hour after that.",
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
    print_only: bool,
    screen: Screen,
) -> None:
    """Let rented machines join the pool: a pool password, and one marked block in the pool's configuration.

    The authentication methods that the pool has stay. A password that is stored already stays, unless --password-file
    gives another one. Needs no AWS. Run it as whoever owns the pool: root, or you for a personal pool; on the central
    manager, and on each access point that starts annexes.
    """
    from annex_bootstrap.annexes.leases import parse_duration
    from annex_bootstrap.pool import pool_config

    home = Path("/etc/condor") if os.geteuid() == 0 else Path("~/.condor").expanduser()
    stored = (stored_password or home / "annex_pool_password").absolute()
    lease = parse_duration(longest_lease)
    path = pool_config.find_pool_file(config, read_only=print_only)
    pool = pool_config.survey(path, stored, port, collector or "", lease)
    block = pool_config.render(pool)
    effect = pool_config.look_ahead(path, block)
    changes = [dataclasses.asdict(change) for change in effect.changes]
    if print_only:
        screen.say(block, nl=False)
        for change in effect.changes:
            screen.say(f"# {change.knob}: {change.old or '(not set)'} -> {change.new or '(not set)'}")
        screen.document({"block": block, "changes": changes, "warnings": effect.warnings})
        return
    waits = _keep_password(screen, password_file, stored)
    changed = pool_config.write_block(path, block)
    screen.say(f"{path} {'now lets' if changed else 'already lets'} annexes join through port {port}.")
    _advise(screen, pool, effect, stored)
    if os.geteuid() == 0:
        screen.say("Whoever runs condor_annex needs a copy of the pool password that is theirs alone:")
        screen.say(f"  install -D -m 600 -o USER {stored} ~USER/.condor/annex_pool_password")
        screen.say("  and in ~USER/.condor/user_config: SEC_PASSWORD_FILE = the path of that copy")
    screen.document(
        {
            "config": str(path),
            "changed": changed,
            "changes": changes,
            "warnings": effect.warnings,
            "needs_restart": effect.needs_restart,
            "stored_password": str(stored),
            "password_waits_in": None if waits is None else str(waits),
        }
    )


def _advise(screen: Screen, pool: Pool, effect: Effect, stored: Path) -> None:
    """Say what is in the way, how the pool gets to use the block, and on which other machine it belongs."""
    for warning in effect.warnings:
        screen.fail(f"warning: {warning}")
    if effect.needs_restart:
        screen.say("Next: condor_restart, so that the pool uses it. A condor_reconfig is not enough for the port.")
    else:
        screen.say("Next: condor_reconfig, so that the pool uses it. Nothing has to be restarted.")
    copy = f"copy {stored} there, still closed to others, and run annex-bootstrap pool-config"
    if not pool.access_point:
        screen.say(f"This machine has no schedd. On each access point that starts annexes: {copy}.")
    if not pool.central_manager:
        screen.say(f"This machine has no collector. On the central manager: {copy}.")
        screen.say("If this machine has another name on the Internet, let TCP_FORWARDING_HOST name it.")


def _keep_password(screen: Screen, given: Path | None, stored: Path) -> Path | None:
    """Store the password; where there is no HTCondor, leave it as text and say in which file."""
    from annex_bootstrap.pool import pool_config

    if given is None and stored.exists():
        screen.say(f"{stored} already holds the pool password.")
        return None
    plain = pool_config.plain_file(stored)
    source = given or (plain if plain.exists() else None)
    password = pool_config.new_password() if source is None else pool_config.read_password(source)
    if pool_config.can_store():
        pool_config.store_password(password, stored)
        screen.say(f"{stored} now holds the pool password.")
        return None
    pool_config.write_password(password, plain)
    screen.say(f"{plain} holds the pool password as text, for there is no condor_store_cred here.")
    screen.say(f"Take it to the pool's machine, and there: condor_store_cred add -c -i {plain.name} -f {stored}")
    return plain
