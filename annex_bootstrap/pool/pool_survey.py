"""What the pool has without our block, and what every daemon would make of the block before it is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.blocks import replace_block
from annex_bootstrap.pool.config_file import OLD_BACKUP_SUFFIX, preview_file
from annex_bootstrap.pool.htcondor import (
    AP_COLLECTOR,
    DAEMONS,
    IN_FORCE,
    MASTER,
    TOOL,
    VOLATILE,
    Configuration,
    Daemon,
    version,
    with_content,
)
from annex_bootstrap.pool.pool_config import BLOCK, OWN_FILE, Pool
from annex_bootstrap.pool.security import ADVERTISING, Values, covers, find_setting, is_true, methods, parts
from annex_contract.knobs import Macro

AT_START = (
    *(Macro.USE_SHARED_PORT, Macro.SHARED_PORT_PORT, Macro.CONDOR_HOST, Macro.COLLECTOR_HOST),
    "COLLECTOR_PORT",
)
"""What daemons read when they start and not again."""

_FEATURE = ("ANNEX_", "AP_COLLECTOR", "HPC_ANNEX_", "ISPERSONAL", "JOB_TRANSFORM_", "SCHEDD.COLLECTOR_HOST")
"""How the names begin of what ``use feature:HPC_ANNEX`` sets."""

_FOLLOWS = ("COLLECTOR_HOST", "SHARED_PORT_")
"""How the names begin of what HTCondor itself derives from COLLECTOR_HOST and SHARED_PORT_PORT."""


_SECURITY = ("ALLOW_", "DENY_", "SEC_", "TRUST_DOMAIN", "UID_DOMAIN")


@dataclass(frozen=True)
class Change:
    """What the block makes of one knob.

    Attributes:
        knob: its name.
        old: its value in force, macros expanded; empty where it has none.
        new: the same with the block.
        daemons: who reads it so; empty for all.
    """

    knob: str
    old: str
    new: str
    daemons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Effect:
    """What the block does to the pool.

    Attributes:
        changes: the knobs whose values it changes.
        problems: what keeps annexes from working although the block is there; a sentence each.
        needs_restart: whether the daemons have to be restarted for it; else condor_reconfig is enough.
    """

    changes: tuple[Change, ...]
    problems: tuple[str, ...]
    needs_restart: bool


NOT_SET = "(not set)"

Dumps = Mapping[Daemon, Values]


def survey(path: Path, wishes: Pool) -> Pool:
    """Return the pool with what its daemons read without our block.

    Args:
        path: the file that the block goes into.
        wishes: what is wanted of the pool.

    Raises:
        UserError: the file cannot be read, its block is damaged, or what HTCondor would read cannot be computed.
    """
    if version() is None:
        return wishes
    _check_mirror(path)
    with _without_backups(path, _without_block(path)) as own:
        return replace(wishes, own=_dump(own))


def effect_of(path: Path, block: str, pool: Pool) -> Effect:
    """Find out what HTCondor would make of the block, without writing it.

    Args:
        path: the file that the block goes into.
        block: its text; empty for none.
        pool: as ``survey`` found it.

    Raises:
        UserError: the file cannot be read, its block is damaged, or the block changes what it must not.
    """
    if not pool.own:
        return Effect((), (), needs_restart=True)
    edit = preview_file(path, lambda content: replace_block(content, block, BLOCK))
    now = _dump(IN_FORCE)
    with _without_backups(path, edit.new) as future:
        then = _dump(future)
        changes = _changes(now, then)
        _check_meant(_changes(pool.own, then), block, future, pool)
        # What one daemon reads for itself, such as the schedd of a second collector, it learns from condor_reconfig.
        needs_restart = any(
            change.knob in AT_START and (not change.daemons or str(MASTER) in change.daemons) for change in changes
        )
        return Effect(changes, tuple(dict.fromkeys(_problems(path, pool, then, future))), needs_restart)


def _without_block(path: Path) -> bytes | None:
    edit = preview_file(path, lambda content: replace_block(content, "", BLOCK))
    return edit.new if edit.new or not edit.old else None


def _without_backups(path: Path, content: bytes | None) -> AbstractContextManager[Configuration]:
    return with_content(path, content, ignored=OLD_BACKUP_SUFFIX)


def _dump(configuration: Configuration) -> Dumps:
    return {daemon: configuration.values(daemon) for daemon in DAEMONS}


def _check_mirror(path: Path) -> None:
    """Hold our copy of the configuration to the configuration itself.

    Raises:
        UserError: HTCondor cannot read one of them, or they differ.
    """
    content = path.read_bytes() if path.exists() else None
    with with_content(path, content) as copy:
        for daemon in (TOOL, MASTER):
            real, copied = IN_FORCE.values(daemon, raw=True), copy.values(daemon, raw=True)
            names = sorted((real.keys() | copied.keys()) - VOLATILE)
            differing = [knob for knob in names if real.get(knob) != copied.get(knob)]
            if differing:
                place = IN_FORCE.look_up(differing[0], daemon).place
                raise UserError(
                    f"what HTCondor would read with {path} cannot be computed here: a copy of its configuration says "
                    f"something else for {', '.join(differing[:3])}{f' ({place})' if place else ''}; give --config a "
                    "file in one of the directories of LOCAL_CONFIG_DIR"
                )


def _changes(old: Dumps, new: Dumps) -> tuple[Change, ...]:
    """Return what differs between two configurations, each change once with the daemons that read it so."""
    random = _random(IN_FORCE.values(TOOL, raw=True))
    found: dict[tuple[str, str, str], list[str]] = {}
    for daemon in DAEMONS:
        before, after = old[daemon], new[daemon]
        for knob in sorted((before.keys() | after.keys()) - VOLATILE - random):
            values = before.get(knob, ""), after.get(knob, "")
            if values[0] != values[1]:
                found.setdefault((knob, *values), []).append(str(daemon))
    return tuple(
        Change(*change, daemons=() if len(daemons) == len(DAEMONS) else tuple(daemons))
        for change, daemons in found.items()
    )


def _random(raw: Values) -> set[str]:
    """Return the knobs whose values are drawn each time that they are read."""
    names = {knob for knob, value in raw.items() if "$RANDOM" in value.upper()}
    while more := {knob for knob, value in raw.items() if _macros(value) & names} - names:
        names |= more
    return names


def _macros(value: str) -> set[str]:
    return {name.upper() for name in re.findall(r"\$\(([\w.]+)", value)}


def _check_meant(changes: Sequence[Change], block: str, future: Configuration, pool: Pool) -> None:
    """Hold what the block changes to what it says.

    Raises:
        UserError: it changes something else too.
    """
    written = {name.upper() for name in re.findall(r"^\s*([\w.]+) = ", block, re.MULTILINE)}
    meant = tuple(prefix for prefix in _FOLLOWS if any(name.startswith(prefix) for name in written))
    if "use feature:HPC_ANNEX" in block:
        written |= {Macro.DAEMON_LIST.value}
        meant += (*_FEATURE, Macro.COLLECTOR_HOST)
    # The values of knobs that belong to one daemon stand under their plain names too.
    written |= {name.rpartition(".")[2] for name in written}
    # A daemon that the block itself adds was nothing before.
    new = (str(AP_COLLECTOR),) if str(AP_COLLECTOR) not in pool.daemons else ()
    others = [
        change
        for change in changes
        if change.knob not in written and not change.knob.startswith(meant) and not (new and change.daemons == new)
    ]
    places = {change.knob: _place(change, future) for change in others}
    # What HTCondor's own defaults derive from a port follows it; who somebody is and may do is not to follow.
    others = [change for change in others if places[change.knob] or change.knob.startswith(_SECURITY)]
    if others:
        first, place = others[0], places[others[0].knob]
        names = ", ".join(dict.fromkeys(change.knob for change in others))
        raise UserError(
            f"the block would also change {names}: {first.knob} from {first.old or NOT_SET} to {first.new or NOT_SET}"
            f"{f' ({place})' if place else ''}; nothing was changed: let that line not depend on what the block sets, "
            "then try again"
        )


def _place(change: Change, configuration: Configuration) -> str:
    readers = [daemon for daemon in DAEMONS if str(daemon) in change.daemons]
    return configuration.look_up(change.knob, readers[0] if readers else TOOL).place


def _problems(path: Path, pool: Pool, then: Dumps, future: Configuration) -> Iterator[str]:
    """Find what the block means and does not reach, by daemon."""
    in_directory = str(path.parent) in IN_FORCE.parts(Macro.LOCAL_CONFIG_DIR)
    if not in_directory and str(path) not in IN_FORCE.files:
        yield f"HTCondor does not read {path}: add it to LOCAL_CONFIG_FILE, or leave out --config"
        return

    def blame(knob: str, daemon: Daemon, lacks: str) -> str:
        found = future.look_up(knob, daemon)
        return (
            f"{found.place or 'a later file'} sets {knob} to {found.text}, {lacks}: change that line, or move it into "
            f"a file that HTCondor reads before {path}"
        )

    for level, daemon in pool.needed:
        values = then[daemon]
        setting = find_setting(values, "SEC_{}_AUTHENTICATION_METHODS", level, daemon)
        if "IDTOKENS" not in methods(setting.value):
            yield blame(
                setting.knob or setting.own, daemon, f"without IDTOKENS, which machines need ({daemon}, {level})"
            )
        for what in ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY"):
            setting = find_setting(values, f"SEC_{{}}_{what}", level, daemon)
            if setting.value.upper().startswith("NEVER"):
                yield blame(setting.knob, daemon, f"but machines need it ({daemon}, {level})")
        if level in (*ADVERTISING, "READ"):
            allow = find_setting(values, "ALLOW_{}", level, daemon)
            deny = find_setting(values, "DENY_{}", level, daemon)
            for identity in (pool.expand(identity) for identity in pool.identities):
                if not covers(parts(allow.value), identity):
                    yield blame(allow.knob or allow.own, daemon, f"without {identity}")
                if covers(parts(deny.value), identity):
                    yield blame(deny.knob, daemon, f"which refuses {identity}")
    yield from _other_problems(pool, then, future, blame)


def _other_problems(
    pool: Pool, then: Dumps, future: Configuration, blame: Callable[[str, Daemon, str], str]
) -> Iterator[str]:
    master, tool = then[MASTER], then[TOOL]
    if not is_true(master.get(Macro.USE_SHARED_PORT, "")):
        yield blame(Macro.USE_SHARED_PORT, MASTER, "so that daemons have other ports")
    if master.get(Macro.SHARED_PORT_PORT, "") != str(pool.annex_port):
        yield blame(Macro.SHARED_PORT_PORT, MASTER, f"not to {pool.annex_port}")
    if is_true(tool.get(Macro.HPC_ANNEX_ENABLED, "")) and str(AP_COLLECTOR) not in parts(
        tool.get(Macro.DAEMON_LIST, "").upper()
    ):
        daemons = future.look_up(Macro.DAEMON_LIST)
        yield (
            f"{daemons.place or 'a later file'} sets DAEMON_LIST to {daemons.text}, without AP_COLLECTOR, so htcondor"
            " annex will not work: let it say DAEMON_LIST = $(DAEMON_LIST) ..., or move that line into a file that"
            f" HTCondor reads before {OWN_FILE}"
        )
    forwarding = future.look_up(Macro.TCP_FORWARDING_HOST)
    if forwarding.place and not forwarding.text:
        yield (
            f"{forwarding.place} defines TCP_FORWARDING_HOST with no value, so that no machine finds this one: delete"
            " that line, or remove the package condor-annex-ec2, which is for the machines of an annex only"
        )
