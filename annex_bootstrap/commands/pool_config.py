"""``pool-config``: the pool password, and the block that lets rented machines join with it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import CommandLineError, UserError
from annex_bootstrap.local_user import expand_home, user_name
from annex_bootstrap.pool import pool_config as block
from annex_bootstrap.pool import pool_password
from annex_bootstrap.pool.blocks import replace_block
from annex_bootstrap.pool.config_file import OLD_BACKUP_SUFFIX, forget_backup, preview_file, rewrite_file
from annex_bootstrap.pool.htcondor import FIRST_HTCONDOR_ANNEX, version
from annex_bootstrap.pool.pool_survey import NOT_SET, Change, Effect, effect_of, survey
from annex_bootstrap.pool.tokens import find_refusal, local_token
from annex_bootstrap.times import parse_duration
from annex_contract.knobs import Macro

ASK_SECONDS = 300
"""How long the token lives with which the running collector is asked."""

LONGEST_LEASE = "24h"


@dataclass(frozen=True)
class PoolConfiguration(Result):
    """The pool's configuration for annexes.

    Attributes:
        config: the file of the block.
        block: its text; empty where it was removed.
        complete: whether the file has the block and HTCondor the pool password.
        changed: whether the file was changed.
        knob_changes: what the block makes of HTCondor's knobs.
        problems: what keeps annexes from working although the block is there; a sentence each.
        needs_restart: whether the daemons have to be restarted for it; else condor_reconfig is enough.
        accepted: whether the running collector lets machines of annexes join; None where it was not asked.
        stored_password: where HTCondor keeps the pool password.
        password_waits_in: the file that holds it as text, where there is no HTCondor to keep it; else None.
    """

    config: Path
    block: str
    complete: bool
    changed: bool
    knob_changes: tuple[Change, ...]
    problems: tuple[str, ...]
    needs_restart: bool
    accepted: bool | None
    stored_password: Path
    password_waits_in: Path | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing keeps annexes from working."""
        return not self.problems


def pool_config(
    screen: Screen,
    config: Path | None = None,
    password_file: Path | None = None,
    stored_password: Path | None = None,
    port: int | None = None,
    collector: str = "",
    longest_lease: str = LONGEST_LEASE,
    users: Sequence[str] = (),
    *,
    print_only: bool = False,
    remove: bool = False,
    ask: bool = False,
) -> PoolConfiguration:
    """Store the pool password where there is none, and write the block; or print the block, or remove it.

    Args:
        screen: where to print, and whom to ask.
        config: the pool's local configuration file; None for the one in HTCondor's configuration directory.
        password_file: a text file with the pool password in its first line; None to make one up.
        stored_password: where HTCondor keeps the password; None for the default.
        port: the port of all daemons; None for the one that the pool has.
        collector: where machines on AWS reach the collector; empty where that is COLLECTOR_HOST.
        longest_lease: the longest time that an annex lives, such as ``24h``.
        users: who may start annexes; empty for those of the block that is there, else the user who runs this.
        print_only: whether to only print the block, and what it changes.
        remove: whether to take the block out, so that the file is what it was before.
        ask: whether to show the changes and to ask before anything is written.

    Raises:
        click.UsageError: print_only and remove exclude each other.
        UserError: a file cannot be read or written, HTCondor did not store the password, or the block would change
            something that it must not; nothing was changed.
    """
    if print_only and remove:
        raise click.UsageError("give either --print or --remove")
    path = block.find_pool_file(config, read_only=print_only)
    wishes = block.Pool(
        password_file=(stored_password or _default_password()).absolute(),
        port=port,
        collector=collector,
        longest_lease=parse_duration(longest_lease),
        users=users or users_so_far(path),
    )
    pool = survey(path, wishes)
    stored = pool.password_file if remove else _stored_password(pool, password_file, stored_password)
    text = "" if remove else block.render(pool)
    effect = effect_of(path, text, pool)
    result = PoolConfiguration(
        path, text, False, False, effect.changes, effect.problems, effect.needs_restart, None, stored
    )
    edit = preview_file(path, lambda content: replace_block(content, text, block.BLOCK))
    old_backup = path.with_name(path.name + OLD_BACKUP_SUFFIX)
    is_written = not edit.changes and not old_backup.exists()
    result = replace(result, complete=is_written and stored.exists())
    if remove:
        return _remove(screen, result, pool)
    if print_only:
        refusal = _ask_running(pool)
        running = [] if refusal is None else [_running(pool, refusal)]
        comments = [*map(_line, effect.changes), *running]
        screen.result("".join([text, *(f"# {comment}\n" for comment in comments)]))
        _warn(screen, effect)
        return replace(result, accepted=None if refusal is None else not refusal)
    if ask and not result.complete and not _agrees(screen, path, effect):
        screen.say("Nothing was changed.")
        return result
    plain = None if pool.uses_password else _keep_password(screen, password_file, stored)
    changed = rewrite_file(path, lambda content: replace_block(content, text, block.BLOCK))
    _warn(screen, effect)
    if effect.problems:
        screen.say(f"{path} {'now has' if changed else 'has'} the block, but annexes cannot join yet: see above.")
    else:
        named = "now lets" if changed else "already lets"
        screen.say(f"{path} {named} annexes join through port {pool.annex_port}.")
    _advise(screen, pool, effect, stored, changed=changed)
    refusal = _ask_running(pool)
    if refusal and not changed:
        screen.fail(f"warning: {_running(pool, refusal)}")
    elif refusal:
        screen.say("The running collector does not let annexes join yet.")
    elif refusal is not None:
        screen.say(_running(pool, refusal))
    accepted = None if refusal is None else not refusal
    return replace(result, complete=True, changed=changed, accepted=accepted, password_waits_in=plain)


def lets_start(user: str) -> bool:
    """Tell whether the pool's configuration on this machine has our block, and lets a user of it start annexes.

    Raises:
        UserError: the configuration cannot be read.
    """
    path = block.find_pool_file(None, read_only=True)
    return user in block.users_of(preview_file(path, lambda content: content).old)


def _default_password() -> Path:
    home = Path("/etc/condor") if os.geteuid() == 0 else expand_home(Path("~/.condor"))
    return home / "annex_pool_password"


def _stored_password(pool: block.Pool, given: Path | None, stored: Path | None) -> Path:
    """Return where HTCondor keeps the pool password.

    Raises:
        UserError: the pool uses one, and another one was given or this machine does not have it.
    """
    if not pool.uses_password:
        return pool.password_file
    known = Path(pool.value(Macro.SEC_PASSWORD_FILE))
    if given is not None or (stored is not None and stored.absolute() != known):
        raise UserError(
            f"this pool authenticates with the password in {known}, and its daemons would be lost with another one: "
            "leave out --password-file and --stored-password"
        )
    if not known.exists():
        raise UserError(
            f"this pool authenticates with a password, and {known} does not exist on this machine: copy it from the "
            "central manager, still closed to others, or take PASSWORD out of the authentication methods"
        )
    return known


def users_so_far(path: Path) -> list[str]:
    """Return who may start annexes where nobody says so: those of the block that is there, else the user who runs this.

    Args:
        path: the pool's configuration file.

    Returns:
        Nobody where real root runs this.

    Raises:
        UserError: the file cannot be read.
    """
    so_far = block.users_of(preview_file(path, lambda content: content).old)
    caller = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else user_name()
    return so_far or [user for user in [caller] if user not in ("", "root")]


def _line(change: Change) -> str:
    readers = f"  ({', '.join(change.daemons)})" if change.daemons else ""
    # A value may have several lines, which would not be comments.
    old, new = (" ".join(value.split()) or NOT_SET for value in (change.old, change.new))
    return f"{change.knob}: {old} -> {new}{readers}"


def _agrees(screen: Screen, path: Path, effect: Effect) -> bool:
    screen.say(f"In {path}:")
    for change in effect.changes:
        screen.say(f"  {_line(change)}")
    _warn(screen, effect)
    return screen.confirm("Change the pool's configuration?", default=True)


def _warn(screen: Screen, effect: Effect) -> None:
    for problem in effect.problems:
        screen.fail(f"warning: {problem}")


def _remove(screen: Screen, result: PoolConfiguration, pool: block.Pool) -> PoolConfiguration:
    path, stored = result.config, result.stored_password
    changed = rewrite_file(path, lambda content: replace_block(content, "", block.BLOCK), unlink_empty=True)
    forget_backup(path)
    screen.say(f"{path} {'is what it was before pool-config' if changed else 'has no block of pool-config'}.")
    # Only what pool-config made by itself; a user who named a file knows about it.
    if not pool.uses_password and stored == _default_password() and stored.exists():
        stored.unlink()
        screen.say(f"{stored} is deleted.")
    if changed:
        screen.say(
            f"Next: {'condor_restart' if result.needs_restart else 'condor_reconfig'}, so that the pool notices."
        )
    return replace(result, complete=False, changed=changed, problems=())


def _ask_running(pool: block.Pool) -> str | None:
    """Ask the running collector on this machine whether it lets machines of annexes join.

    Returns:
        Why it does not, or nothing where it does; None where that cannot be asked: no collector here, no user to ask
        for, or no key to make a token with.
    """
    if not (pool.own and pool.central_manager and pool.users and pool.collectors):
        return None
    token = local_token(pool.expand(pool.identities[-1]), ASK_SECONDS)
    return find_refusal(str(pool.collectors[0]), token) if token else None


def _running(pool: block.Pool, refusal: str) -> str:
    if refusal:
        return f"The running collector does not let annexes join yet: {refusal}."
    return f"The running collector lets machines of {pool.users[-1]} join."


def _advise(screen: Screen, pool: block.Pool, effect: Effect, stored: Path, *, changed: bool) -> None:
    """Print how the pool starts to use the block, and where else it belongs."""
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
    elif len(pool.collectors) > 1:
        screen.say(f"The pool has {len(pool.collectors)} collectors. On each of their machines: {copy}.")
    if os.geteuid() == 0 and (version() or (0, 0, 0)) < FIRST_HTCONDOR_ANNEX:
        screen.say("Every user who runs condor_annex needs a private copy of the pool password:")
        screen.say(f"  install -D -m 600 -o USER {stored} ~USER/.condor/annex_pool_password", wrap=False)
        screen.say("  and in ~USER/.condor/user_config: SEC_PASSWORD_FILE = the path of that copy")
        if pool.collector:
            screen.say(f"  and, since condor_annex knows no other name: COLLECTOR_HOST = {pool.announced}", wrap=False)


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


def check_users(users: Sequence[str]) -> tuple[str, ...]:
    """Return names of users, each with a domain or not.

    Raises:
        CommandLineError: one is something else.
    """
    for user in users:
        if not re.fullmatch(r"[A-Za-z0-9._-]+(@[A-Za-z0-9._-]+)?", user):
            raise CommandLineError(f"{user!r} is not a user name: give one such as {user_name()}")
    return tuple(users)


def _check_users(_context: click.Context, _option: click.Parameter, users: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return check_users(users)
    except CommandLineError as error:
        raise click.BadParameter(str(error)) from error


_FILE = click.Path(dir_okay=False, path_type=Path)

POOL_COLLECTOR = click.Option(
    ["--collector"],
    metavar="HOST[:PORT]",
    default="",
    help="Where machines on AWS reach the pool's collector, if COLLECTOR_HOST says something else.",
)

POOL_USERS = click.Option(
    ["--user", "users"],
    metavar="NAME[@DOMAIN]",
    multiple=True,
    callback=_check_users,
    help="A user who may start annexes with annex-bootstrap start; with a domain where that of the access point is "
    "another one; repeatable. Default: those named before, else the user who runs this, also through sudo.",
)

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
        ["--port"],
        type=click.IntRange(1, 65535),
        help="The port of all daemons, the one that is open to AWS. Default: the pool's own.",
    ),
    POOL_COLLECTOR,
    click.Option(
        ["--longest-lease"],
        metavar="DURATION",
        default=LONGEST_LEASE,
        show_default=True,
        help="The longest time that an annex runs. From HTCondor 24.11 on, its machines leave the pool an hour later.",
    ),
    POOL_USERS,
    click.Option(
        ["--print", "print_only"], is_flag=True, help="Print the block and what it changes, and write nothing."
    ),
    click.Option(["--remove"], is_flag=True, help="Take the block out again, to the byte."),
    *OUTPUT,
    help="""Let rented machines join the pool: a pool password, and one marked block in the pool's configuration.

    Keeps the pool's authentication methods, ports and password, and refuses where the block would change anything that
    it does not say. Needs no AWS. Run it as the owner of the pool: root, or you for a personal pool; on the central
    manager, and on every access point that starts annexes.
    """,
)
