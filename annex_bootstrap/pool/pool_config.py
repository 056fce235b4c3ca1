"""The pool's side of an annex: the configuration by which rented machines may join.

The pool belongs to somebody else, so the block changes as little as possible: it adds methods and identities to those
that the pool uses, and never asks more of anybody than the pool does. Machines ask for authentication themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.blocks import find_block
from annex_bootstrap.pool.collector import Address, parse_collectors
from annex_bootstrap.pool.htcondor import (
    COLLECTOR,
    FIRST_HTCONDOR_ANNEX,
    IN_FORCE,
    MASTER,
    SCHEDD,
    TOOL,
    Daemon,
    version,
)
from annex_bootstrap.pool.security import (
    ADVERTISING,
    DEFAULT_METHODS,
    NEEDED,
    Values,
    add_methods,
    covers,
    find_setting,
    is_true,
    methods,
    parts,
)
from annex_contract.knobs import DEFAULT_PORT, Macro

BLOCK = "annex-pool"
OWN_FILE = "90-annex-pool.config"
"""Our file in a configuration directory, which HTCondor reads in the order of names."""

_BEGIN = f"# BEGIN {BLOCK}: written by `annex-bootstrap pool-config`; do not edit between BEGIN and END."
_END = f"# END {BLOCK}"
_USERS = "# Who may start annexes, beside those who hold the pool password:"

TOKEN_MARGIN = 3600
"""Seconds that a machine's token outlives the longest lease: a machine may boot late, and its lease be ended late."""

AP_SOCKET = "ap_collector"
"""The name of the access point's own collector behind the shared port. Source: HTCondor's ``use feature:HPC_ANNEX``."""

PASSWORD_IDENTITIES = ("condor_pool@*", "condor@password")
"""The holders of the pool password: condor@password in HTCondor 9 and later, condor_pool@... in older versions."""


@dataclass(frozen=True)
class Pool:
    """The pool without our block, and what is wanted of it.

    Attributes:
        password_file: where HTCondor keeps the pool password.
        own: what each daemon reads; empty on a machine without HTCondor.
        port: the TCP port at which machines reach the daemons; None for the one that the pool has.
        collector: the name under which machines on AWS reach the collector; empty where that is COLLECTOR_HOST.
        longest_lease: seconds that an annex lives at most.
        users: who may start annexes whose machines join with a token of theirs; without a domain, of this one.
    """

    password_file: Path
    own: Mapping[Daemon, Values] = field(default_factory=dict)
    port: int | None = None
    collector: str = ""
    longest_lease: int = 24 * 3600
    users: Sequence[str] = ()

    def values(self, daemon: Daemon) -> Values:
        """Return what a daemon reads."""
        return self.own.get(daemon, {})

    def value(self, knob: str) -> str:
        """Return what HTCondor's tools read for a knob; nothing where it has no value."""
        return self.values(TOOL).get(knob, "")

    @property
    def daemons(self) -> Sequence[str]:
        """The pool's own DAEMON_LIST of this machine; empty where that is not known."""
        return parts(self.value(Macro.DAEMON_LIST).upper())

    @property
    def access_point(self) -> bool:
        """Whether this machine has a schedd, as far as is known."""
        return not self.daemons or "SCHEDD" in self.daemons

    @property
    def central_manager(self) -> bool:
        """Whether this machine has the pool's collector, as far as is known."""
        return not self.daemons or "COLLECTOR" in self.daemons

    @property
    def uses_password(self) -> bool:
        """Whether the pool authenticates with a pool password already, which must then stay what it is."""
        return any(
            "PASSWORD" in methods(value)
            for values in self.own.values()
            for knob, value in values.items()
            if knob.startswith("SEC_") and "_AUTHENTICATION_METHODS" in knob
        )

    @property
    def collectors(self) -> Sequence[Address]:
        """The pool's collectors, the first one first."""
        return parse_collectors(self.value(Macro.COLLECTOR_HOST))

    @property
    def annex_port(self) -> int:
        """The TCP port at which machines reach the daemons."""
        if self.port is not None:
            return self.port
        if self.central_manager:
            return next((address.port for address in self.collectors), DEFAULT_PORT)
        known = self.values(MASTER).get(Macro.SHARED_PORT_PORT, "")
        return int(known) if known.isdigit() else DEFAULT_PORT

    @property
    def announced(self) -> str:
        """Where machines of annexes find the collectors, as COLLECTOR_HOST takes it."""
        if self.collector:
            return ", ".join(map(str, parse_collectors(self.collector, self.annex_port)))
        return ", ".join(map(str, self.collectors))

    @property
    def identities(self) -> list[str]:
        """Whom machines of annexes join as, as the configuration names them."""
        held = [] if self.uses_password else PASSWORD_IDENTITIES
        return [*held, *(user if "@" in user else f"{user}@$({Macro.UID_DOMAIN})" for user in self.users)]

    def expand(self, identity: str) -> str:
        """Return an identity with the pool's UID_DOMAIN in it."""
        return identity.replace(f"$({Macro.UID_DOMAIN})", self.value(Macro.UID_DOMAIN))

    @property
    def needed(self) -> Sequence[tuple[str, Daemon]]:
        """The levels, and the daemons on this machine, that machines of annexes deal with."""
        here = {COLLECTOR: self.central_manager, SCHEDD: self.access_point}
        return [(level, daemon) for level, daemon in NEEDED if here[daemon] or level in ADVERTISING]


def render(pool: Pool) -> str:
    """Return the block, from BEGIN to END, each line with its newline.

    Raises:
        UserError: the port is another one, and the collectors are named in a way that cannot be changed.
    """
    lines = [
        _BEGIN,
        *_password_lines(pool),
        *_security_lines(pool),
        *_port_lines(pool),
        *_collector_lines(pool),
        *(_access_point_lines(pool) if pool.access_point else []),
        _END,
    ]
    return "".join(line + "\n" for line in lines)


def _password_lines(pool: Pool) -> list[str]:
    if pool.uses_password:
        return ["# Machines that condor_annex starts have the password that this pool uses."]
    key = pool.value(Macro.SEC_TOKEN_POOL_SIGNING_KEY_FILE) or "$(SEC_PASSWORD_DIRECTORY)/POOL"
    return [
        "# Machines that condor_annex starts have this password, and may tell the collector of themselves with it.",
        f"{Macro.SEC_PASSWORD_FILE} = {pool.password_file}",
        "# Tokens stay signed with the key that they are signed with.",
        f"{Macro.SEC_TOKEN_POOL_SIGNING_KEY_FILE} = {key}",
    ]


def _security_lines(pool: Pool) -> Iterator[str]:
    settings: dict[str, str] = {}
    for level, daemon in pool.needed:
        values = pool.values(daemon)
        for what in ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY"):
            setting = find_setting(values, f"SEC_{{}}_{what}", level, daemon)
            # Machines ask for all three, and nobody who asks for less notices.
            if setting.value.upper().startswith("NEVER"):
                settings[setting.own] = "OPTIONAL"
        setting = find_setting(values, "SEC_{}_AUTHENTICATION_METHODS", level, daemon)
        settings[setting.own] = add_methods(setting.value or DEFAULT_METHODS)
    yield "# The pool's own methods, and what machines of annexes authenticate with."
    yield from (f"{knob} = {value}" for knob, value in settings.items())
    allowed = dict(_allowing(pool))
    if pool.users:
        yield f"{_USERS} {' '.join(pool.users)}"
    if allowed:
        # Not everybody of the domain: those who may advertise a machine are sent other people's jobs.
        yield "# Whom machines of annexes join as; they may do this and no more."
        yield from (f"{knob} = {value}" for knob, value in allowed.items())


def _allowing(pool: Pool) -> Iterator[tuple[str, str]]:
    for level, daemon in pool.needed:
        if level not in (*ADVERTISING, "READ"):
            continue
        setting = find_setting(pool.values(daemon), "ALLOW_{}", level, daemon)
        if not pool.own:
            setting = find_setting({Macro.ALLOW_DAEMON: "?", "ALLOW_READ": "*"}, "ALLOW_{}", level, daemon)
        known = parts(setting.value)
        # What other daemons let people read is not widened, nor what somebody derives from it.
        own = f"ALLOW_READ_{daemon.subsystem}" if level == "READ" else setting.own
        missing = [identity for identity in pool.identities if not covers(known, pool.expand(identity))]
        if missing:
            yield own, " ".join([*([f"$({setting.knob})"] if setting.knob else []), *missing])


def _port_lines(pool: Pool) -> Iterator[str]:
    master, port = pool.values(MASTER), pool.annex_port
    shares, known = master.get(Macro.USE_SHARED_PORT, ""), master.get(Macro.SHARED_PORT_PORT, "")
    lines = []
    if not is_true(shares):
        lines.append(f"{Macro.USE_SHARED_PORT} = True")
    if known != str(port):
        lines.append(f"{Macro.SHARED_PORT_PORT} = {port}")
    if pool.port is not None and any(address.port != port for address in pool.collectors):
        lines.append(f"{Macro.COLLECTOR_HOST} = {', '.join(str(address.at(port)) for address in pool.collectors)}")
    if lines:
        yield "# All daemons behind one port: the one that must be open to AWS."
        yield from lines


def _collector_lines(pool: Pool) -> Iterator[str]:
    if pool.collector:
        yield "# Where machines of annexes find the collector. Nothing but annex-bootstrap reads this."
        yield f"{Macro.ANNEX_BOOTSTRAP_COLLECTOR} = {pool.announced}"


def _access_point_lines(pool: Pool) -> list[str]:
    # On an access point beside the central manager, --collector is another machine's name.
    named = parse_collectors(pool.collector, pool.annex_port)[:1] if pool.central_manager else []
    feature_on = is_true(pool.value(Macro.HPC_ANNEX_ENABLED))
    return [
        "# From 24.11 on, htcondor annex wants a second collector beside the schedd; from 25.14 on, it has to be told",
        "# that annexes on AWS are meant. Older versions skip this.",
        f"if version >= {'.'.join(map(str, FIRST_HTCONDOR_ANNEX))}",
        *([] if feature_on else ["  use feature:HPC_ANNEX"]),
        f"  {Macro.ANNEX_USE_OLD_CREATE} = True",
        *(f"  {Macro.ANNEX_COLLECTOR} = {replace(place, socket_name=AP_SOCKET)}" for place in named),
        "  # Seconds. Such a token may submit jobs as its user, and without it a machine leaves: the longest lease and",
        "  # an hour.",
        f"  {Macro.ANNEX_TOKEN_LIFETIME} = {pool.longest_lease + TOKEN_MARGIN}",
        "endif",
    ]


def users_of(content: bytes) -> list[str]:
    """Return whom the block in a file's content lets start annexes.

    Raises:
        UserError: its markers do not pair.
    """
    span = find_block(content, BLOCK)
    lines = content[span[0] : span[1]].decode(errors="replace").splitlines() if span else []
    named = [user for line in lines if line.startswith(_USERS) for user in line.removeprefix(_USERS).split()]
    # As earlier versions wrote them.
    knob = f"{Macro.ALLOW_ADVERTISE_STARTD} = "
    found = [user for line in lines if line.startswith(knob) for user in re.findall(r"(\S+)@\$\(UID_DOMAIN\)", line)]
    return named or found


def find_pool_file(given: Path | None, *, read_only: bool = False) -> Path:
    """The file that the block goes into: the one given, else ours in the pool's last configuration directory.

    Args:
        given: what the user named.
        read_only: whether nothing will be written, so that any name will do where there is no HTCondor.

    Raises:
        UserError: none was given, and no HTCondor on this machine names one.
    """
    if given is not None:
        return given.absolute()
    for directory in reversed(IN_FORCE.parts(Macro.LOCAL_CONFIG_DIR)):
        if Path(directory).is_dir():
            return Path(directory, OWN_FILE)
    named = IN_FORCE.ask(Macro.LOCAL_CONFIG_FILE)
    if named.endswith("|"):
        raise UserError(
            f"HTCondor here gets its configuration from a program, {named.rstrip('| ')}: give --config a file that it"
            " reads, or put into the program's output what pool-config --print --config FILE prints"
        )
    files = parts(named)
    if files:
        return Path(files[-1])
    if version() is not None:
        # An HTCondor that names none cannot read its configuration, and says why.
        IN_FORCE.values(TOOL)
    if read_only:
        return Path(OWN_FILE)
    raise UserError(
        "no HTCondor on this machine says where its configuration is: give --config the pool's local configuration "
        "file, or run this where condor_config_val is in the PATH"
    )
