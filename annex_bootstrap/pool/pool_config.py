"""The pool's side of an annex: a pool password, and the configuration by which rented machines may join with it.

The lines follow HTCondor's guide for a first annex, in a form for HTCondor 9 and later: methods and identities that
the pool already uses go on working beside the password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.blocks import find_block, replace_block
from annex_bootstrap.pool.config_file import rewrite_file
from annex_bootstrap.pool.htcondor import FIRST_HTCONDOR_ANNEX, IN_FORCE
from annex_contract.knobs import DEFAULT_PORT, Macro, methods_of

BLOCK = "annex-pool"
OWN_FILE = "90-annex-pool.config"
"""Our file in a configuration directory, which HTCondor reads in the order of names."""

_BEGIN = f"# BEGIN {BLOCK}: written by `annex-bootstrap pool-config`; do not edit between BEGIN and END."
_END = f"# END {BLOCK}"

DEFAULT_METHODS = "FS,IDTOKENS,KERBEROS,SCITOKENS,SSL"
"""HTCondor's own SEC_DEFAULT_AUTHENTICATION_METHODS, for a machine that has no HTCondor to ask.
Source: ``condor_config_val -verbose SEC_DEFAULT_AUTHENTICATION_METHODS`` of 23.9.6 and 25.14.1."""

_SAME_METHOD = {"TOKEN": "IDTOKENS", "TOKENS": "IDTOKENS", "IDTOKEN": "IDTOKENS", "SCITOKEN": "SCITOKENS"}
"""Other names that HTCondor takes. Source: its ``SecMan::sec_char_to_auth_method``."""

ADVERTISING = (Macro.ALLOW_ADVERTISE_STARTD, Macro.ALLOW_ADVERTISE_MASTER)
"""Who may tell the collector of a machine. Source: HTCondor's manual, "Authorization"."""

CONTEXTS = ("DAEMON", "NEGOTIATOR", "READ", "CLIENT")
"""The contexts in which machines of an annex authenticate with the pool."""

TOKEN_MARGIN = 3600
"""Seconds that a machine's token outlives the longest lease: a machine may boot late, and its lease be ended late."""

AP_SOCKET = "ap_collector"
"""The name of the access point's own collector behind the shared port. Source: HTCondor's ``use feature:HPC_ANNEX``."""


@dataclass(frozen=True)
class Pool:
    """What the block says.

    Attributes:
        password_file: where HTCondor keeps the pool password.
        signing_key_file: the key that the pool's tokens are signed with; by default HTCondor takes the pool password
            for it, and tokens that exist would end with a new password. Empty: HTCondor's own default file.
        port: the one TCP port through which all daemons are reached.
        collector: the name under which machines on AWS reach the collector; empty leaves that as it is.
        methods: the pool's own authentication methods, by context.
        daemons: the pool's own DAEMON_LIST of this machine; empty where that is not known.
        advertising: the knobs of ``ADVERTISING``, and which knob says who may do so without the block: without a value
            of its own, each stands for ALLOW_DAEMON.
        users: who may start annexes whose machines join with a token of theirs; names without a domain.
        feature_on: whether the pool's own configuration has ``use feature:HPC_ANNEX``.
        longest_lease: seconds that an annex lives at most.
    """

    password_file: Path
    signing_key_file: str = ""
    port: int = DEFAULT_PORT
    collector: str = ""
    methods: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(CONTEXTS, DEFAULT_METHODS))
    daemons: Sequence[str] = ()
    advertising: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(ADVERTISING, Macro.ALLOW_DAEMON))
    feature_on: bool = False
    longest_lease: int = 24 * 3600
    users: Sequence[str] = ()

    @property
    def access_point(self) -> bool:
        """Whether this machine has a schedd, as far as is known."""
        return not self.daemons or "SCHEDD" in self.daemons

    @property
    def central_manager(self) -> bool:
        """Whether this machine has the pool's collector, as far as is known."""
        return not self.daemons or "COLLECTOR" in self.daemons


def add_methods(own: str) -> str:
    """Add to a list of authentication methods what annexes need.

    FS comes first, so that a user of this machine is known by name; PASSWORD last, because whoever has the pool
    password is ``condor@password`` by it, and a token that such a user fetches would speak for nobody's jobs. All else
    keeps its order.

    Args:
        own: the pool's own list, separated by commas or spaces.
    """
    given = [_SAME_METHOD.get(name, name) for name in own.upper().replace(",", " ").split()]
    kept = [name for name in dict.fromkeys(given) if name not in ("FS", "PASSWORD")]
    if "IDTOKENS" not in kept:
        kept.append("IDTOKENS")
    return ", ".join(["FS", *kept, "PASSWORD"])


def render(pool: Pool) -> str:
    """Return the block, from BEGIN to END, each line with its newline."""
    at_port = []
    if pool.collector or pool.port != DEFAULT_PORT:
        at_port = [f"{Macro.COLLECTOR_HOST} = $({Macro.CONDOR_HOST}):{pool.port}"]
    methods = {context: add_methods(pool.methods[context]) for context in CONTEXTS}
    lines = [
        _BEGIN,
        "# Machines of an annex authenticate with the pool password.",
        f"{Macro.SEC_PASSWORD_FILE} = {pool.password_file}",
        "# Tokens stay signed with the key that they are signed with.",
        f"{Macro.SEC_TOKEN_POOL_SIGNING_KEY_FILE} = {pool.signing_key_file or '$(SEC_PASSWORD_DIRECTORY)/POOL'}",
        "SEC_DAEMON_INTEGRITY = REQUIRED",
        "SEC_DAEMON_AUTHENTICATION = REQUIRED",
        f"{methods_of('DAEMON')} = {methods['DAEMON']}",
        "SEC_NEGOTIATOR_INTEGRITY = REQUIRED",
        "SEC_NEGOTIATOR_AUTHENTICATION = REQUIRED",
        f"{methods_of('NEGOTIATOR')} = {methods['NEGOTIATOR']}",
        f"{methods_of('READ')} = {methods['READ']}",
        f"{methods_of('CLIENT')} = {methods['CLIENT']}",
        "# Owners of the password are condor@password in HTCondor 9 and later, condor_pool@... in older versions.",
        f"{Macro.ALLOW_DAEMON} = $(ALLOW_DAEMON) condor_pool@* condor@password",
        *_user_lines(pool),
        "# All daemons behind one port: the one that must be open to AWS.",
        f"{Macro.USE_SHARED_PORT} = True",
        f"{Macro.SHARED_PORT_PORT} = {pool.port}",
        *([f"{Macro.CONDOR_HOST} = {pool.collector}"] if pool.collector else []),
        *at_port,
        *(_access_point_lines(pool) if pool.access_point else []),
        _END,
    ]
    return "".join(line + "\n" for line in lines)


def _user_lines(pool: Pool) -> list[str]:
    if not pool.users:
        return []
    # Not everybody of the domain: whoever may advertise a machine is sent other people's jobs.
    identities = " ".join(f"{user}@$({Macro.UID_DOMAIN})" for user in pool.users)
    return [
        "# Who may start annexes: their machines also join with a token, which allows these two and no more.",
        *(f"{knob} = $({own}) {identities}" for knob, own in pool.advertising.items()),
    ]


def users_of(content: bytes) -> list[str]:
    """Return whom the block in a file's content lets start annexes.

    Raises:
        UserError: its markers do not pair.
    """
    span = find_block(content, BLOCK)
    if span is None:
        return []
    lines = content[span[0] : span[1]].decode(errors="replace").splitlines()
    knob = f"{Macro.ALLOW_ADVERTISE_STARTD} = "
    return [user for line in lines if line.startswith(knob) for user in re.findall(r"(\S+)@\$\(UID_DOMAIN\)", line)]


def _access_point_lines(pool: Pool) -> list[str]:
    # On an access point beside the central manager, --collector is another machine's name.
    named = pool.collector and pool.central_manager
    return [
        "# From 24.11 on, htcondor annex wants a second collector beside the schedd; from 25.14 on, it has to be told",
        "# that annexes on AWS are meant. Older versions skip this.",
        f"if version >= {'.'.join(map(str, FIRST_HTCONDOR_ANNEX))}",
        *([] if pool.feature_on else ["  use feature:HPC_ANNEX"]),
        f"  {Macro.ANNEX_USE_OLD_CREATE} = True",
        *([f"  {Macro.ANNEX_COLLECTOR} = {pool.collector}:{pool.port}?sock={AP_SOCKET}"] if named else []),
        "  # Seconds. Such a token may submit jobs as its user, and without it a machine leaves: the longest lease and",
        "  # an hour.",
        f"  {Macro.ANNEX_TOKEN_LIFETIME} = {pool.longest_lease + TOKEN_MARGIN}",
        "endif",
    ]


def write_block(path: Path, block: str) -> bool:
    """Put the block into the pool's configuration.

    Returns:
        Whether anything changed.

    Raises:
        UserError: the file cannot be read or written, or its block is damaged; nothing was changed.
    """
    return rewrite_file(path, lambda content: replace_block(content, block, BLOCK))


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
    files = IN_FORCE.parts(Macro.LOCAL_CONFIG_FILE)
    if files:
        return Path(files[-1])
    if read_only:
        return Path(OWN_FILE)
    raise UserError(
        "no HTCondor on this machine says where its configuration is: give --config the pool's local configuration "
        "file, or run this where condor_config_val is in the PATH"
    )
