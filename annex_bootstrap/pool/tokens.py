"""The token by which machines join a pool: it lets them advertise themselves and read, and nothing else.

Source of the form: RFC 7519; of the claims and the commands:
https://htcondor.readthedocs.io/en/latest/man-pages/condor_token_create.html
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Sequence

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.htcondor import run

SCOPES = ("ADVERTISE_MASTER", "ADVERTISE_STARTD", "READ")

FIRST_TOKENS = (9, 0, 0)
"""The first HTCondor whose pools sign tokens by themselves. Source: its version history."""

MARGIN = 86_400
"""Seconds that a token outlives the lease it was made for: a lease may be extended by some hours without a new one."""


def make_token(identity: str, seconds: int, *, own: bool) -> str:
    """Have HTCondor make a token: with the pool's key where this user may read it, else by the collector or the schedd.

    Args:
        identity: its subject, ``USER@UID_DOMAIN``.
        seconds: that it is valid.
        own: whether the identity is that of the user of this process, for whom alone a daemon makes tokens.

    Raises:
        UserError: HTCondor makes none, or one that says something else.
    """
    problems = []
    for name, arguments in _ways(identity, seconds, own):
        made = run(arguments)
        token = made.stdout.strip()
        problem = find_problem(token, identity) if made.returncode == 0 else _last_line(made.stderr)
        if not problem:
            return token
        problems.append(f"{name}: {problem}")
    raise UserError(
        f"no token for {identity} could be had from the pool, without which no machine joins it "
        f"({'; '.join(problems)}): run annex-bootstrap pool-config on the pool, or run this command as root on the "
        "central manager with --owner"
    )


def find_problem(token: str, identity: str) -> str:
    """Return what is wrong with a token for a machine; nothing if it says what it must.

    Args:
        token: as HTCondor prints it.
        identity: what its subject must be.
    """
    try:
        claims = json.loads(_decoded(token.split(".")[1]))
        subject, scopes = claims["sub"], set(claims["scope"].split())
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return "what came is no token with a subject and scopes"
    if subject != identity:
        return f"the token is for {subject}"
    wider = scopes - {f"condor:/{scope}" for scope in SCOPES}
    if wider:
        return f"the token allows {', '.join(sorted(wider))} as well"
    return ""


def _ways(identity: str, seconds: int, own: bool) -> Iterator[tuple[str, Sequence[str]]]:
    limits = ["-lifetime", str(seconds), *(part for scope in SCOPES for part in ("-authz", scope))]
    yield "condor_token_create", ["condor_token_create", "-identity", identity, *limits]
    if own:
        for daemon in ("COLLECTOR", "SCHEDD"):
            yield f"condor_token_fetch from the {daemon.lower()}", ["condor_token_fetch", "-type", daemon, *limits]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it failed"


def _decoded(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error as error:
        raise ValueError(str(error)) from error
