"""``pool-config``: the pool password, and the block that lets rented machines join with it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from annex_bootstrap.pool import pool_config as pool
from annex_bootstrap.screen import Screen


@dataclass(frozen=True)
class PoolOptions:
    """The options of ``pool-config``.

    Attributes:
        config: the pool's local configuration file, or None for the one in HTCondor's configuration directory.
        password_file: a text file with the pool password in its first line, or None.
        stored_password: where HTCondor keeps the password, or None for the default.
        port: the shared port.
        collector: the public name of the pool's collector; empty leaves that as it is.
        print_only: only print the block.
    """

    config: Path | None
    password_file: Path | None
    stored_password: Path | None
    port: int
    collector: str
    print_only: bool


def pool_config(options: PoolOptions, screen: Screen) -> None:
    """Store the pool password where there is none, and write the block; or print the block.

    Raises:
        UserError: a file cannot be read or written, or HTCondor did not store the password.
    """
    home = Path("/etc/condor") if os.geteuid() == 0 else Path("~/.condor").expanduser()
    stored = (options.stored_password or home / "annex_pool_password").absolute()
    block = pool.render(pool.Pool(stored, pool.signing_key_file(stored), options.port, options.collector))
    if options.print_only:
        screen.result(block)
        screen.document({"block": block})
        return
    path = pool.find_pool_file(options.config)
    plain = _keep_password(screen, options.password_file, stored)
    changed = pool.write_block(path, block)
    screen.say(f"{path} {'now lets' if changed else 'already lets'} annexes join through port {options.port}.")
    screen.say("Next: condor_restart, so that the pool uses it.")
    if os.geteuid() == 0:
        screen.say("Every user who runs condor_annex needs a private copy of the pool password:")
        screen.say(f"  install -D -m 600 -o USER {stored} ~USER/.condor/annex_pool_password")
        screen.say("  and in ~USER/.condor/user_config: SEC_PASSWORD_FILE = the path of that copy")
    screen.document(
        {
            "config": str(path),
            "changed": changed,
            "stored_password": str(stored),
            "password_waits_in": None if plain is None else str(plain),
        }
    )


def _keep_password(screen: Screen, given: Path | None, stored: Path) -> Path | None:
    """Store the password; where there is no HTCondor, leave it as text and return that file's path."""
    if given is None and stored.exists():
        screen.say(f"{stored} already holds the pool password.")
        return None
    plain = pool.plain_file(stored)
    source = given or (plain if plain.exists() else None)
    password = pool.new_password() if source is None else pool.read_password(source)
    if pool.can_store():
        pool.store_password(password, stored)
        screen.say(f"{stored} now holds the pool password.")
        return None
    pool.write_password(password, plain)
    screen.say(f"{plain} holds the pool password as text, since there is no condor_store_cred here.")
    screen.say(f"Copy it to the pool's machine, and run there: condor_store_cred add -c -i {plain.name} -f {stored}")
    return plain
