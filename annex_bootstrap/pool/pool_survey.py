"""What the pool has without our block, and what HTCondor makes of the block before it is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from annex_bootstrap.pool.blocks import replace_block
from annex_bootstrap.pool.config_file import preview_file
from annex_bootstrap.pool.htcondor import IN_FORCE, Configuration, with_content
from annex_bootstrap.pool.pool_config import ADVERTISING, BLOCK, CONTEXTS, DEFAULT_METHODS, OWN_FILE, Pool
from annex_contract.knobs import Macro, methods_of

AT_START = (Macro.USE_SHARED_PORT, Macro.SHARED_PORT_PORT, Macro.CONDOR_HOST, Macro.COLLECTOR_HOST)
"""What daemons read when they start and not again."""

WATCHED = (
    Macro.SEC_PASSWORD_FILE,
    Macro.SEC_TOKEN_POOL_SIGNING_KEY_FILE,
    *(f"SEC_{context}_{what}" for context in CONTEXTS[:2] for what in ("INTEGRITY", "AUTHENTICATION")),
    *(methods_of(context) for context in CONTEXTS),
    Macro.ALLOW_DAEMON,
    *ADVERTISING,
    *AT_START,
    Macro.DAEMON_LIST,
    Macro.HPC_ANNEX_ENABLED,
    Macro.ANNEX_USE_OLD_CREATE,
    Macro.ANNEX_COLLECTOR,
    Macro.ANNEX_TOKEN_LIFETIME,
    Macro.ANNEX_TOKEN_KEY_NAME,
    Macro.ANNEX_TOKEN_DOMAIN,
    Macro.SCHEDD_COLLECTOR_HOST,
    Macro.JOB_TRANSFORM_NAMES,
)
"""The knobs that the block sets, by itself or by HTCondor's feature."""


def survey(path: Path, stored: Path, port: int, collector: str, longest_lease: int, users: Sequence[str]) -> Pool:
    """Look at what the pool has without our block, and return what the block has to say.

    Args:
        path: the file that the block goes into.
        stored: where HTCondor keeps the pool password.
        port: the shared port.
        collector: the public name of the pool's collector; empty leaves that as it is.
        longest_lease: seconds that an annex lives at most.
        users: who may start annexes.

    Raises:
        UserError: the file cannot be read, or its block is damaged.
    """
    with with_content(path, preview_file(path, lambda content: replace_block(content, "", BLOCK)).new) as own:
        default = own.ask(Macro.SEC_DEFAULT_AUTHENTICATION_METHODS) or DEFAULT_METHODS
        return Pool(
            password_file=stored,
            signing_key_file=_signing_key_file(own, stored),
            port=port,
            collector=collector,
            methods={context: own.ask(methods_of(context)) or default for context in CONTEXTS},
            advertising={knob: knob if own.ask(knob) else Macro.ALLOW_DAEMON for knob in ADVERTISING},
            daemons=[name.upper() for name in own.parts(Macro.DAEMON_LIST)],
            feature_on=own.ask(Macro.HPC_ANNEX_ENABLED).lower() == "true",
            longest_lease=longest_lease,
            users=users,
        )


@dataclass(frozen=True)
class Change:
    """What the block makes of one knob.

    Attributes:
        knob: its name.
        old: its value in force, macros expanded; empty where it has none.
        new: the same with the block.
    """

    knob: str
    old: str
    new: str


@dataclass(frozen=True)
class Effect:
    """What the block does to the pool.

    Attributes:
        changes: the knobs whose values it changes.
        warnings: what keeps annexes from working although the block is there; a sentence each.
        needs_restart: whether the daemons have to be restarted for it; else condor_reconfig is enough.
    """

    changes: tuple[Change, ...]
    warnings: tuple[str, ...]
    needs_restart: bool


def effect_of(path: Path, block: str) -> Effect:
    """Find out what HTCondor would make of the block, without writing it.

    Raises:
        UserError: the file cannot be read, or its block is damaged.
    """
    edit = preview_file(path, lambda content: replace_block(content, block, BLOCK))
    with with_content(path, edit.new) as future:
        values = ((knob, IN_FORCE.ask(knob), future.ask(knob)) for knob in WATCHED)
        changes = tuple(Change(*value) for value in values if value[1] != value[2])
        needs_restart = not IN_FORCE.files or any(change.knob in AT_START for change in changes)
        return Effect(changes, tuple(_warnings(future)), needs_restart)


def _warnings(future: Configuration) -> Iterator[str]:
    feature_on = future.ask(Macro.HPC_ANNEX_ENABLED).lower() == "true"
    daemons = future.look_up(Macro.DAEMON_LIST)
    if feature_on and "AP_COLLECTOR" not in daemons.text.upper():
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


def _signing_key_file(own: Configuration, password_file: Path) -> str:
    """Return the key that the pool's tokens are signed with, as HTCondor names it; nothing where it names none."""
    named = own.ask(Macro.SEC_TOKEN_POOL_SIGNING_KEY_FILE)
    return "" if named == str(password_file) else named
