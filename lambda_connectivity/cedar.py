"""The few messages of CEDAR, HTCondor's wire protocol, that a connectivity check needs.

Only bytes live here; sockets are in ``collector.py``. A message is one frame: a byte ``01`` (the message ends
with this frame), the payload's length as 4 bytes, the payload. Integers are 8 bytes, texts end with a zero
byte, everything is big-endian. Source: HTCondor's ``src/condor_io`` and
``src/condor_includes/condor_commands.h``; proved against HTCondor 23.9.6 by
``tests/htcondor/test_connectivity.py``.
"""

from __future__ import annotations

import re
import struct

SHARED_PORT_CONNECT = 75
"""The command that asks a condor_shared_port to hand the connection to one of the daemons behind it."""

DC_QUERY_INSTANCE = 60045
"""The command that asks a daemon for its instance ID. It needs no authentication."""

ANSWER_BYTES = 21
"""The length of the answer to DC_QUERY_INSTANCE: 5 bytes of header, 16 hexadecimal digits."""

_HEADER = struct.Struct(">BI")
_INTEGER = struct.Struct(">q")
_LAST_FRAME = 1
_INSTANCE_ID = re.compile(rb"[0-9A-Fa-f]{16}")
_OUR_NAME = "annex-bootstrap connectivity check"


class NotCedarError(ValueError):
    """The bytes are not an answer to DC_QUERY_INSTANCE."""


def query_instance() -> bytes:
    """Return the message that asks a daemon for its instance ID."""
    return _frame(_INTEGER.pack(DC_QUERY_INSTANCE))


def shared_port_request(socket_name: str, seconds: int) -> bytes:
    """Return the message that asks a shared port for one of its daemons.

    The shared port answers nothing: it hands the connection over, or closes it. What comes next on the same
    connection is for the daemon.

    Args:
        socket_name: the daemon's name behind the shared port, such as ``collector``; ``self`` is the shared
            port.
        seconds: how long the shared port may take to hand over; zero or more.
    """
    # The shared port's log shows our name, so that an administrator can see who connected.
    return _frame(
        _INTEGER.pack(SHARED_PORT_CONNECT)
        + _text(socket_name)
        + _text(_OUR_NAME)
        + _INTEGER.pack(seconds)
        + _INTEGER.pack(0)  # No further arguments follow.
    )


def check_prefix(answer: bytes) -> None:
    """Check the start of an answer, so that a peer of another protocol is recognized before the rest arrives.

    Args:
        answer: the bytes received so far, at most ``ANSWER_BYTES``.

    Raises:
        NotCedarError: no continuation makes it an answer to DC_QUERY_INSTANCE.
    """
    header = _HEADER.pack(_LAST_FRAME, ANSWER_BYTES - _HEADER.size)
    if answer[: len(header)] != header[: len(answer)]:
        raise NotCedarError("not the header of an answer to DC_QUERY_INSTANCE")


def instance_id(answer: bytes) -> str:
    """Read a whole answer to DC_QUERY_INSTANCE.

    Args:
        answer: the peer's bytes, header and payload.

    Returns:
        The daemon's instance ID, 16 hexadecimal digits: random, and the same as long as the daemon lives.

    Raises:
        NotCedarError: the bytes are something else.
    """
    check_prefix(answer)
    payload = answer[_HEADER.size :]
    if not _INSTANCE_ID.fullmatch(payload):
        raise NotCedarError("the payload is not 16 hexadecimal digits")
    return payload.decode("ascii")


def _frame(payload: bytes) -> bytes:
    return _HEADER.pack(_LAST_FRAME, len(payload)) + payload


def _text(value: str) -> bytes:
    return value.encode("ascii") + b"\0"
