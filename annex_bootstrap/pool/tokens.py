"""The token by which machines join a pool: it lets them advertise themselves and read, and nothing else.

Source of the form: RFC 7519; of the claims and the commands:
https://htcondor.readthedocs.io/en/latest/man-pages/condor_token_create.html
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.htcondor import run
from annex_bootstrap.times import clock

SCOPES = ("ADVERTISE_MASTER", "ADVERTISE_STARTD", "READ")

_ATTRIBUTE = re.compile(r'^(\w+) = "?(.*?)"?$', re.MULTILINE)

FIRST_TOKENS = (9, 0, 0)
"""The first HTCondor whose pools sign tokens by themselves. Source: its version history."""

MARGIN = 86_400
"""Seconds that a token outlives the lease it was made for: a lease may be extended by some hours without a new one."""


def make_token(identity: str, least: int, seconds: int, collectors: Sequence[str], *, own: bool) -> str:
    """Have HTCondor make a token: with the pool's key where this user may read it, else by the collector or the schedd.

    Args:
        identity: its subject, ``USER@UID_DOMAIN``.
        least: seconds that it must be valid.
        seconds: that it should be valid.
        collectors: to ask whether they let a machine with it join; one that does not answer is not asked.
        own: whether the identity is that of the user of this process, for whom alone a daemon makes tokens.

    Raises:
        UserError: HTCondor makes none, or none that says what it must and that the collectors accept.
    """
    problems = []
    for name, arguments in _ways(identity, seconds, own):
        made = run(arguments)
        token = made.stdout.strip()
        problem = (
            _last_line(made.stderr) if made.returncode else find_problem(token, identity, int(time.time()) + least)
        )
        for collector in collectors if not problem else []:
            problem = problem or find_refusal(collector, token)
        if not problem:
            return token
        problems.append(f"{name}: {problem}")
    raise UserError(
        f"could not get a token for {identity}; machines need one to join ({'; '.join(problems)}): run annex-bootstrap "
        "pool-config on the pool, or run this command as root on the central manager with --owner"
    )


def local_token(identity: str, seconds: int) -> str:
    """Return a token for machines that is signed with this machine's key; nothing where that cannot be done.

    Args:
        identity: its subject.
        seconds: that it is valid.
    """
    _, arguments = next(_ways(identity, seconds, own=False))
    made = run(arguments)
    return made.stdout.strip() if made.returncode == 0 and not find_problem(made.stdout.strip(), identity) else ""


def find_refusal(collector: str, token: str) -> str:
    """Ask a collector whether a machine with a token may tell it of itself, as a machine would.

    Args:
        collector: its address.
        token: as HTCondor prints it.

    Returns:
        Why it may not, and what to do; nothing where it may, or where the collector does not answer.
    """
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "token")
        file.write_text(f"{token}\n")
        file.chmod(0o600)
        # Nothing but the token: root would find other tokens, and make some with the pool's key.
        places = ("SEC_TOKEN_DIRECTORY", "SEC_TOKEN_SYSTEM_DIRECTORY", "SEC_PASSWORD_DIRECTORY")
        environment = {f"_CONDOR_{knob}": directory for knob in places} | {
            "_CONDOR_SEC_TOKEN_POOL_SIGNING_KEY_FILE": f"{directory}/none",
            "_CONDOR_SEC_PASSWORD_FILE": f"{directory}/none",
            "_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "IDTOKENS",
            "_CONDOR_SEC_CLIENT_AUTHENTICATION": "REQUIRED",
        }
        for level in SCOPES[:2]:
            asked = _ping(collector, level, environment)
            if asked.returncode and "failed!" in asked.stdout:
                return _explain_refusal(collector, token, level, asked.stdout)
    return ""


def _ping(
    collector: str, level: str, environment: Mapping[str, str] | None = None, form: str = "-verbose"
) -> subprocess.CompletedProcess[str]:
    return run(["condor_ping", "-pool", collector, "-type", "COLLECTOR", form, level], environment)


def _explain_refusal(collector: str, token: str, level: str, said: str) -> str:
    denied = re.search(r'"DENIED" from server for user (\S+)', said)
    if denied:
        return (
            f"the collector {collector} knows the machines as {denied[1]} and does not allow them {level}: on the "
            f"central manager run annex-bootstrap pool-config --user {denied[1]}, and see that no DENY_{level} names it"
        )
    try:
        header, claims = (json.loads(_decoded(part)) for part in token.split(".")[:2])
    except ValueError:
        header, claims = {}, {}
    issuer, key = claims.get("iss", ""), header.get("kid", "POOL")
    # Asked as whom this user is, the collector says which tokens it takes.
    known = dict(_ATTRIBUTE.findall(_ping(collector, "READ", form="-long").stdout))
    domain, keys = known.get("TrustDomain", ""), known.get("IssuerKeys", "")
    if domain and issuer != domain:
        return (
            f"the token's issuer is {issuer or 'nobody'}, and the collector {collector} takes only those of {domain}: "
            f"set TRUST_DOMAIN = {domain} on this machine, if the collector's key signs here"
        )
    if keys and key not in keys.replace(",", " ").split():
        return (
            f"the token is signed with the key {key}, and the collector {collector} has only {keys}: copy that key "
            "into its SEC_PASSWORD_DIRECTORY, or have the collector make the token"
        )
    return (
        f"the collector {collector} does not take the token ({_last_line(said)}): its key {key} is another one than "
        f"this machine's, or SEC_ADVERTISE_STARTD_AUTHENTICATION_METHODS there lacks IDTOKENS"
    )


def find_problem(token: str, identity: str, least_end: int = 0) -> str:
    """Return what is wrong with a token for a machine; nothing if it says what it must.

    Args:
        token: as HTCondor prints it.
        identity: what its subject must be.
        least_end: when it may end at the earliest, in seconds since the epoch.
    """
    try:
        claims = json.loads(_decoded(token.split(".")[1]))
        subject, scopes = claims["sub"], set(claims["scope"].split())
        end = int(claims.get("exp", least_end))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return "what came is not a token with a subject and scopes"
    if subject != identity:
        return f"the token is for {subject}"
    wider = scopes - {f"condor:/{scope}" for scope in SCOPES}
    if wider:
        return f"the token allows {', '.join(sorted(wider))} as well"
    if end < least_end:
        return (
            f"the token ends {clock(end)}, before the lease at {clock(least_end)}: start a shorter lease, or raise "
            "SEC_ISSUED_TOKEN_EXPIRATION on the machine that made it"
        )
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
