"""Which knob decides what HTCondor's security does, and which knob to write so that something comes true. Pure.

HTCondor looks for a setting of a level, such as ADVERTISE_STARTD, under several names: with the daemon's subsystem at
its end, then without, then those of the level that it inherits from, DEFAULT last. Before each name it tries the one
with the daemon's local name or its subsystem as prefix. An empty value is none. Source: ``SecMan::getSecSetting``,
``DCpermissionHierarchy`` and ``param`` in HTCondor's ``condor_utils``; seen in 23.9.6 and 25.14.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from annex_bootstrap.pool.htcondor import COLLECTOR, SCHEDD, Daemon

ADVERTISING = ("ADVERTISE_STARTD", "ADVERTISE_MASTER")
"""The levels at which a machine tells a collector of itself. Source: HTCondor's manual, "Authorization"."""

NEEDED = (
    *((level, COLLECTOR) for level in (*ADVERTISING, "READ")),
    *((level, SCHEDD) for level in ("DAEMON", "NEGOTIATOR", "READ")),
    *(("CLIENT", daemon) for daemon in (COLLECTOR, SCHEDD)),
)
"""The levels at which machines of an annex and the pool authenticate with each other, and with which daemon."""

_INHERITS = dict.fromkeys((*ADVERTISING, "ADVERTISE_SCHEDD"), "DAEMON")

_SAME_METHOD = {"TOKEN": "IDTOKENS", "TOKENS": "IDTOKENS", "IDTOKEN": "IDTOKENS", "SCITOKEN": "SCITOKENS"}
"""Other names that HTCondor takes. Source: its ``SecMan::sec_char_to_auth_method``."""

DEFAULT_METHODS = "FS,IDTOKENS,KERBEROS,SCITOKENS,SSL"
"""HTCondor's own SEC_DEFAULT_AUTHENTICATION_METHODS, for a machine that has no HTCondor to ask.
Source: ``condor_config_val -verbose SEC_DEFAULT_AUTHENTICATION_METHODS`` of 23.9.6 and 25.14.1."""

Values = Mapping[str, str]
"""The knobs that a daemon reads: values by names in capitals."""


@dataclass(frozen=True)
class Setting:
    """What decides a setting for a daemon.

    Attributes:
        knob: the name of the knob that counts; empty where none has a value.
        value: its value.
        own: the name to write in order to change this setting and as little else as possible.
    """

    knob: str
    value: str
    own: str


def find_setting(values: Values, form: str, level: str, daemon: Daemon) -> Setting:
    """Find out which knob decides a setting.

    Args:
        values: what the daemon reads.
        form: the knob's name with ``{}`` for the level, such as ``ALLOW_{}``.
        level: such as ``ADVERTISE_STARTD``.
        daemon: whose setting it is.
    """
    # What several levels share is written once, for the level that they inherit from.
    own = form.format(level if form.startswith("ALLOW") else _INHERITS.get(level, level))
    for inherited in _levels(values, level):
        plain = form.format(inherited)
        for name in (f"{plain}_{daemon.subsystem}", plain):
            for prefixed in _prefixed(name, daemon):
                if values.get(prefixed):
                    shared = inherited != level and (form.startswith("ALLOW") or inherited in ("WRITE", "DEFAULT"))
                    return Setting(prefixed, values[prefixed], own if shared else prefixed)
    return Setting("", "", own)


def _levels(values: Values, level: str) -> Iterator[str]:
    yield level
    while level in _INHERITS or (level == "DAEMON" and is_true(values.get("LEGACY_ALLOW_SEMANTICS", ""))):
        level = _INHERITS.get(level, "WRITE")
        yield level
    yield "DEFAULT"


def _prefixed(name: str, daemon: Daemon) -> list[str]:
    return [*([f"{daemon.local_name}.{name}"] if daemon.local_name else []), f"{daemon.subsystem}.{name}", name]


def parts(value: str) -> list[str]:
    """Return the parts of a list, separated by commas or spaces."""
    return value.replace(",", " ").split()


def methods(value: str) -> list[str]:
    """Return the authentication methods of a list by their usual names, each once."""
    return list(dict.fromkeys(_SAME_METHOD.get(name, name) for name in parts(value.upper())))


def add_methods(own: str) -> str:
    """Add to a list of authentication methods what annexes need.

    The server's order decides who somebody is, so the pool's own methods stay first and in their order. PASSWORD comes
    last: the holder of the pool password is ``condor@password`` by it, and a token that such a user fetches would speak
    for nobody's jobs.

    Args:
        own: the pool's own list, separated by commas or spaces.
    """
    given = methods(own)
    return ", ".join([*given, *(name for name in ("IDTOKENS", "FS", "PASSWORD") if name not in given)])


def is_true(value: str) -> bool:
    """Tell whether HTCondor takes a value for true."""
    return value.strip().lower() in ("true", "yes", "t", "1")


def covers(entries: Sequence[str], identity: str) -> bool:
    """Tell whether a list of ALLOW or DENY names an identity, whatever the address.

    Args:
        entries: its parts, such as ``alice@example.org``, ``*@example.org/192.0.2.*`` or ``*.example.org``.
        identity: ``user@domain``.
    """
    for entry in entries:
        user, slash, host = entry.partition("/")
        if "@" not in user and user != "*":
            # A host or a network, with or without a mask: it says nothing about who somebody is.
            continue
        if fnmatchcase(identity.lower(), user.lower()) and (not slash or host == "*"):
            return True
    return False
