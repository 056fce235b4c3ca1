"""``pool-config``: the pool password, and the block that lets rented machines join with it."""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from annex_bootstrap.console.screen import Screen
from annex_bootstrap.pool import pool_config as block
from annex_bootstrap.pool import pool_password
from annex_bootstrap.pool.blocks import replace_block
from annex_bootstrap.pool.config_file import preview_file
from annex_bootstrap.pool.htcondor import FIRST_HTCONDOR_ANNEX, version
from annex_bootstrap.pool.pool_survey import Effect, look_ahead, survey

NOT_SET = "(not set)"


@dataclass(frozen=True)
class PoolOptions:
    """The options of ``pool-config``.

    Attributes:
        config: the pool's local configuration file, or None for the one in HTCondor's configuration directory.
        password_file: a text file with the pool password in its first line, or None.
        stored_password: where HTCondor keeps the password, or None for the default.
        port: the shared port.
        collector: the public name of the pool's collector; empty leaves that as it is.
        longest_lease: seconds that an annex lives at most.
        print_only: only print the block, and what it changes.
        users: who may start annexes; empty for those of the block that is there, else whoever runs this.
    """

    config: Path | None
    password_file: Path | None
    stored_password: Path | None
    port: int
    collector: str
    longest_lease: int
    print_only: bool
    users: Sequence[str] = ()


@dataclass(frozen=True)
class Ahead:
    """What ``pool-config`` would do.

    Attributes:
        path: the file that the block goes into.
        stored: where HTCondor keeps the pool password.
        pool: as it is without the block.
        text: the block.
        effect: what HTCondor makes of it.
    """

    path: Path
    stored: Path
    pool: block.Pool
    text: str
    effect: Effect

    @property
    def is_done(self) -> bool:
        """Whether the block and the password are there already."""
        edit = preview_file(self.path, lambda content: replace_block(content, self.text, block.BLOCK))
        return self.stored.exists() and not edit.changes


def look(options: PoolOptions) -> Ahead:
    """Look at the pool and find out what ``pool-config`` would do; change nothing.

    Raises:
        UserError: a file cannot be read.
    """
    home = Path("/etc/condor") if os.geteuid() == 0 else Path("~/.condor").expanduser()
    stored = (options.stored_password or home / "annex_pool_password").absolute()
    path = block.find_pool_file(options.config, read_only=options.print_only)
    users = options.users or _users_so_far(path)
    pool = survey(path, stored, options.port, options.collector, options.longest_lease, users)
    text = block.render(pool)
    return Ahead(path, stored, pool, text, look_ahead(path, text))


def _users_so_far(path: Path) -> list[str]:
    so_far = block.users_of(preview_file(path, lambda content: content).old)
    who = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else getpass.getuser()
    return so_far or [user for user in [who] if user not in ("", "root")]


def lets_start(user: str) -> bool:
    """Tell whether the pool's configuration on this machine has our block, and lets a user start annexes.

    Raises:
        UserError: the configuration cannot be read.
    """
    path = block.find_pool_file(None, read_only=True)
    return user in block.users_of(preview_file(path, lambda content: content).old)


def pool_config(options: PoolOptions, screen: Screen) -> bool:
    """Store the pool password where there is none, and write the block; or print the block.

    Returns:
        Whether the pool's configuration changed.

    Raises:
        UserError: a file cannot be read or written, or HTCondor did not store the password.
    """
    ahead = look(options)
    path, stored, pool, text, effect = ahead.path, ahead.stored, ahead.pool, ahead.text, ahead.effect
    changes = [asdict(change) for change in effect.changes]
    if options.print_only:
        lines = [f"# {change.knob}: {change.old or NOT_SET} -> {change.new or NOT_SET}\n" for change in effect.changes]
        screen.result("".join([text, *lines]))
        screen.document({"block": text, "changes": changes, "warnings": effect.warnings})
        return False
    plain = _keep_password(screen, options.password_file, stored)
    changed = block.write_block(path, text)
    screen.say(f"{path} {'now lets' if changed else 'already lets'} annexes join through port {options.port}.")
    _advise(screen, pool, effect, stored)
    screen.document(
        {
            "config": str(path),
            "changed": changed,
            "changes": changes,
            "warnings": effect.warnings,
            "needs_restart": effect.needs_restart,
            "stored_password": str(stored),
            "password_waits_in": None if plain is None else str(plain),
        }
    )
    return changed


def _advise(screen: Screen, pool: block.Pool, effect: Effect, stored: Path) -> None:
    """Print what is in the way, how the pool starts to use the block, and where else it belongs."""
    for warning in effect.warnings:
        screen.fail(f"warning: {warning}")
    if effect.needs_restart:
        screen.say("Next: condor_restart, so that the pool uses it. For the port, condor_reconfig is not enough.")
    else:
        screen.say("Next: condor_reconfig, so that the pool uses it. Nothing has to be restarted.")
    if not pool.users:
        screen.say(
            "Nobody may start annexes with annex-bootstrap start yet: name who may with pool-config --user NAME."
        )
    copy = f"copy {stored} there, still closed to others, and run annex-bootstrap pool-config"
    if not pool.access_point:
        screen.say(f"This machine has no schedd. On every access point that starts annexes: {copy}.")
    if not pool.central_manager:
        screen.say(f"This machine has no collector. On the central manager: {copy}.")
        screen.say("If this machine has another name on the Internet, set TCP_FORWARDING_HOST to it.")
    if os.geteuid() == 0 and (version() or (0, 0, 0)) < FIRST_HTCONDOR_ANNEX:
        screen.say("Every user who runs condor_annex needs a private copy of the pool password:")
        screen.say(f"  install -D -m 600 -o USER {stored} ~USER/.condor/annex_pool_password", wrap=False)
        screen.say("  and in ~USER/.condor/user_config: SEC_PASSWORD_FILE = the path of that copy")


def _keep_password(screen: Screen, given: Path | None, stored: Path) -> Path | None:
    """Store the password; where there is no HTCondor, leave it as text and return that file's path."""
    if given is None and stored.exists():
        screen.say(f"{stored} already holds the pool password.")
        return None
    plain = pool_password.plain_file(stored)
    source = given or (plain if plain.exists() else None)
    password = pool_password.new_password() if source is None else pool_password.read_password(source)
    if pool_password.can_store():
        pool_password.store_password(password, stored)
        screen.say(f"{stored} now holds the pool password.")
        return None
    pool_password.write_password(password, plain)
    screen.say(f"{plain} holds the pool password as text, since there is no condor_store_cred here.")
    screen.say(f"Copy it to the pool's machine, and run there: condor_store_cred add -c -i {plain.name} -f {stored}")
    return plain
