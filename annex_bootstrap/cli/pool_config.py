"""``annex-bootstrap pool-config``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from annex_bootstrap.cli.output import Screen, output_option


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
@click.option("--print", "print_only", is_flag=True, help="Print the block and write nothing.")
@output_option
def command(
    config: Path | None,
    password_file: Path | None,
    stored_password: Path | None,
    port: int,
    collector: str | None,
    print_only: bool,
    screen: Screen,
) -> None:
    """Let rented machines join the pool: a pool password, and one marked block in the pool's configuration.

    A password that is stored already stays, unless --password-file gives another one. Needs no AWS. Run it as whoever
    owns the pool: root, or you for a personal pool.
    """
    from annex_bootstrap.pool import pool_config

    home = Path("/etc/condor") if os.geteuid() == 0 else Path("~/.condor").expanduser()
    stored = (stored_password or home / "annex_pool_password").absolute()
    block = pool_config.render(pool_config.Pool(stored, pool_config.signing_key_file(stored), port, collector or ""))
    if print_only:
        screen.say(block, nl=False)
        screen.document({"block": block})
        return
    path = pool_config.find_pool_file(config)
    waits = _keep_password(screen, password_file, stored)
    changed = pool_config.write_block(path, block)
    screen.say(f"{path} {'now lets' if changed else 'already lets'} annexes join through port {port}.")
    screen.say("Next: condor_restart, so that the pool uses it.")
    if os.geteuid() == 0:
        screen.say("Whoever runs condor_annex needs a copy of the pool password that is theirs alone:")
        screen.say(f"  install -D -m 600 -o USER {stored} ~USER/.condor/annex_pool_password")
        screen.say("  and in ~USER/.condor/user_config: SEC_PASSWORD_FILE = the path of that copy")
    screen.document(
        {
            "config": str(path),
            "changed": changed,
            "stored_password": str(stored),
            "password_waits_in": None if waits is None else str(waits),
        }
    )


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
