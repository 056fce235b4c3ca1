"""``pool-config``: the pool password, and the block that lets rented machines join with it."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.pool import pool_config as block
from annex_bootstrap.pool import pool_password
from annex_bootstrap.pool.blocks import replace_block
from annex_bootstrap.pool.config_file import preview_file
from annex_bootstrap.pool.htcondor import FIRST_HTCONDOR_ANNEX, version
from annex_bootstrap.pool.pool_survey import Change, Effect, effect_of, survey
from annex_bootstrap.times import parse_duration
from annex_contract.knobs import DEFAULT_PORT

NOT_SET = "(not set)"

LONGEST_LEASE = "24h"


@dataclass(frozen=True)
class PoolConfiguration(Result):
    """The pool's configuration for annexes.

    Attributes:
        config: the file of the block.
        block: its text.
        complete: whether the file has the block and HTCondor the pool password.
        changed: whether the file was changed.
        changes: what the block makes of HTCondor's knobs.
        warnings: what keeps annexes from working although the block is there; a sentence each.
        needs_restart: whether the daemons have to be restarted for it; else condor_reconfig is enough.
        stored_password: where HTCondor keeps the pool password.
        password_waits_in: the file that holds it as text, where there is no HTCondor to keep it; else None.
    """

    config: Path
    block: str
    complete: bool
    changed: bool
    changes: tuple[Change, ...]
    warnings: tuple[str, ...]
    needs_restart: bool
    stored_password: Path
    password_waits_in: Path | None = None


def pool_config(
    screen: Screen,
    config: Path | None = None,
    password_file: Path | None = None,
    stored_password: Path | None = None,
    port: int = DEFAULT_PORT,
    collector: str = "",
    longest_lease: str = LONGEST_LEASE,
    users: Sequence[str] = (),
    *,
    print_only: bool = False,
    ask: bool = False,
) -> PoolConfiguration:
    """Store the pool password where there is none, and write the block; or print the block.

    Args:
        screen: where to print, and whom to ask.
        config: the pool's local configuration file; None for the one in HTCondor's configuration directory.
        password_file: a text file with the pool password in its first line; None to make one up.
        stored_password: where HTCondor keeps the password; None for the default.
        port: the shared port.
        collector: the public name of the pool's collector; empty leaves that as it is.
        longest_lease: the longest time that an annex lives, such as ``24h``.
        users: who may start annexes; empty for those of the block that is there, else the user who runs this.
        print_only: whether to only print the block, and what it changes.
        ask: whether to show the changes and to ask before anything is written.

    Raises:
        UserError: a file cannot be read or written, or HTCondor did not store the password.
    """
    lease = parse_duration(longest_lease)
    home = Path("/etc/condor") if os.geteuid() == 0 else Path("~/.condor").expanduser()
    stored = (stored_password or home / "annex_pool_password").absolute()
    path = block.find_pool_file(config, read_only=print_only)
    pool = survey(path, stored, port, collector, lease, users or _users_so_far(path))
    text = block.render(pool)
    effect = effect_of(path, text)
    changes, warnings = effect.changes, effect.warnings
    lines = [f"{change.knob}: {change.old or NOT_SET} -> {change.new or NOT_SET}" for change in changes]
    edit = preview_file(path, lambda content: replace_block(content, text, block.BLOCK))
    plain = None
    changed = False
    complete = stored.exists() and not edit.changes
    if print_only:
        screen.result("".join([text, *(f"# {line}\n" for line in lines)]))
    elif ask and not complete and not _agrees(screen, path, lines):
        screen.say("Nothing was changed.")
    else:
        plain = _keep_password(screen, password_file, stored)
        changed = block.write_block(path, text)
        complete = True
        screen.say(f"{path} {'now lets' if changed else 'already lets'} annexes join through port {port}.")
        _advise(screen, pool, effect, stored, changed=changed)
    return PoolConfiguration(path, text, complete, changed, changes, warnings, effect.needs_restart, stored, plain)


def lets_start(user: str) -> bool:
    """Tell whether the pool's configuration on this machine has our block, and lets a user start annexes.

    Raises:
        UserError: the configuration cannot be read.
    """
    path = block.find_pool_file(None, read_only=True)
    return user in block.users_of(preview_file(path, lambda content: content).old)


def _users_so_far(path: Path) -> list[str]:
    so_far = block.users_of(preview_file(path, lambda content: content).old)
    caller = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else getpass.getuser()
    return so_far or [user for user in [caller] if user not in ("", "root")]


def _agrees(screen: Screen, path: Path, lines: Sequence[str]) -> bool:
    screen.say(f"In {path}:")
    for line in lines:
        screen.say(f"  {line}")
    return screen.confirm("Change the pool's configuration?", default=True)


def _advise(screen: Screen, pool: block.Pool, effect: Effect, stored: Path, *, changed: bool) -> None:
    """Print what is in the way, how the pool starts to use the block, and where else it belongs."""
    for warning in effect.warnings:
        screen.fail(f"warning: {warning}")
    if changed and effect.needs_restart:
        screen.say("Next: condor_restart, so that the pool uses it. For the port, condor_reconfig is not enough.")
    elif changed:
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


def _check_users(_context: click.Context, _option: click.Parameter, users: tuple[str, ...]) -> tuple[str, ...]:
    for user in users:
        if not re.fullmatch(r"[A-Za-z0-9._-]+", user):
            raise click.BadParameter(f"{user!r} is not a user name: leave out the domain, as in {getpass.getuser()}")
    return users


_FILE = click.Path(dir_okay=False, path_type=Path)

command = Command(
    "pool-config",
    pool_config,
    click.Option(
        ["--config"],
        type=_FILE,
        help="The pool's local configuration. Default: a file of its own in the last LOCAL_CONFIG_DIR.",
    ),
    click.Option(
        ["--password-file"],
        type=click.Path(dir_okay=False, exists=True, path_type=Path),
        help="Text file with the pool password in its first line. Default: a strong one is generated.",
    ),
    click.Option(
        ["--stored-password"],
        type=_FILE,
        help="Where HTCondor keeps it: SEC_PASSWORD_FILE. Default: /etc/condor/annex_pool_password for root, "
        "~/.condor/annex_pool_password for others.",
    ),
    click.Option(
        ["--port"], type=click.IntRange(1, 65535), default=DEFAULT_PORT, show_default=True, help="The shared port."
    ),
    click.Option(
        ["--collector"],
        metavar="HOST",
        default="",
        help="The public name of this pool's collector, if the pool does not set it yet.",
    ),
    click.Option(
        ["--longest-lease"],
        metavar="DURATION",
        default=LONGEST_LEASE,
        show_default=True,
        help="The longest time that an annex runs. From HTCondor 24.11 on, its machines leave the pool an hour later.",
    ),
    click.Option(
        ["--user", "users"],
        metavar="NAME",
        multiple=True,
        callback=_check_users,
        help="A user who may start annexes with annex-bootstrap start; repeatable. Default: those named before, else "
        "the user who runs this, also through sudo.",
    ),
    click.Option(
        ["--print", "print_only"], is_flag=True, help="Print the block and what it changes, and write nothing."
    ),
    *OUTPUT,
    help="""Let rented machines join the pool: a pool password, and one marked block in the pool's configuration.

    Keeps the pool's authentication methods, and a stored password unless --password-file gives another one. Needs no
    AWS. Run it as the owner of the pool: root, or you for a personal pool; on the central manager, and on every access
    point that starts annexes.
    """,
)
