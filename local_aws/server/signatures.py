"""Who sent a request: Signature Version 4, computed by botocore's own signer and compared.

MiniStack takes any secret for the keys that it counts as root, and no signature at all for root itself.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from ministack.core import iam_evaluator

ALGORITHM = "AWS4-HMAC-SHA256"
TIME_FORMAT = "%Y%m%dT%H%M%SZ"

CLOCK_SKEW = timedelta(minutes=5)
"""How far a request's time may be from ours; same source as above."""

LENIENT_SKEW = timedelta(minutes=15)
"""The same in the services below: https://github.com/aws/aws-cli/issues/6676, of STS."""

LENIENT = ("iam", "s3", "sns", "sts")
"""The services among ours that take a request for longer, as MiniStack knows them."""

UNHASHED = ("UNSIGNED-PAYLOAD", "STREAMING-")
"""How a declared hash begins where it is none. TLS protects those bodies."""


@dataclass(frozen=True)
class Request:
    """A request as it was sent.

    Attributes:
        method: such as ``GET``.
        path: before the question mark, still encoded.
        query: after it, still encoded.
        headers: by lower-case name; repeated ones joined by commas.
        body: all of it.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class NotSignedError(Exception):
    """A request that is not proven to come from the holder of a key.

    Attributes:
        code: AWS's error code: https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
    """

    def __init__(self, code: str, message: str) -> None:
        """Keep the code beside the message."""
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class _Claim:
    """What a request says about its signature."""

    key_id: str
    scope_date: str
    region: str
    service: str
    signed_headers: frozenset[str]
    signature: str
    time: str
    lifetime: timedelta | None
    token: str


def verify(request: Request, account: str, now: datetime) -> str:
    """Check that a key of this account that exists signed the request, in its header or in its URL.

    Returns:
        The region that it was signed for.

    Raises:
        NotSignedError: it did not, or not now.
    """
    claim = _claim(request)
    _check_time(claim, now)
    actual = hashlib.sha256(request.body).hexdigest()
    declared = request.headers.get("x-amz-content-sha256", actual)
    if declared != actual and not declared.startswith(UNHASHED):
        raise NotSignedError("SignatureDoesNotMatch", "The body is not the one that was signed.")
    computed = _signature(request, claim, _secret(claim, account))
    if not hmac.compare_digest(computed, claim.signature):
        raise NotSignedError(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method.",
        )
    return claim.region


def _claim(request: Request) -> _Claim:
    header = request.headers.get("authorization", "")
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    if header.startswith(f"{ALGORITHM} "):
        parts = dict(part.strip().partition("=")[::2] for part in header.removeprefix(ALGORITHM).split(","))
        time, lifetime = request.headers.get("x-amz-date", ""), None
        token = request.headers.get("x-amz-security-token", "")
    elif not header and query.get("X-Amz-Algorithm") == ALGORITHM:
        parts = {name.removeprefix("X-Amz-"): value for name, value in query.items()}
        time, lifetime = query.get("X-Amz-Date", ""), timedelta(seconds=_number(query.get("X-Amz-Expires", "")))
        token = query.get("X-Amz-Security-Token", "")
    else:
        raise NotSignedError("MissingAuthenticationToken", "Request is missing Authentication Token")
    match parts.get("Credential", "").split("/"):
        case [key_id, date, region, service, "aws4_request"] if "host" in parts.get("SignedHeaders", "").split(";"):
            signed = frozenset(parts["SignedHeaders"].split(";"))
            signature = parts.get("Signature", "")
            return _Claim(key_id, date, region, service, signed, signature, time, lifetime, token)
    raise NotSignedError("IncompleteSignature", "The request signature does not conform to AWS standards.")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0


def _check_time(claim: _Claim, now: datetime) -> None:
    try:
        signed_at = datetime.strptime(claim.time, TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError as error:
        raise NotSignedError("IncompleteSignature", "The request has no time in the form of X-Amz-Date.") from error
    skew = LENIENT_SKEW if claim.service in LENIENT else CLOCK_SKEW
    expires = signed_at + (skew if claim.lifetime is None else claim.lifetime)
    if claim.time[:8] != claim.scope_date or not signed_at - skew <= now <= expires:
        code = "RequestTimeTooSkewed" if claim.lifetime is None else "RequestExpired"
        minutes = skew.seconds // 60
        if now > expires:
            limit = f"expired: {claim.time} is now earlier than {now - skew:{TIME_FORMAT}}"
            raise NotSignedError(code, f"Signature {limit} ({now:{TIME_FORMAT}} - {minutes} min.)")
        limit = f"not yet current: {claim.time} is still later than {now + skew:{TIME_FORMAT}}"
        raise NotSignedError(code, f"Signature {limit} ({now:{TIME_FORMAT}} + {minutes} min.)")


def _secret(claim: _Claim, account: str) -> str:
    # MiniStack counts more keys as root than the one that it was given.
    is_root = claim.key_id == os.environ["AWS_ACCESS_KEY_ID"]
    if is_root or not iam_evaluator.is_root_access_key(claim.key_id):
        found = iam_evaluator.resolve_credential(claim.key_id, account, claim.token)
        if isinstance(found, iam_evaluator.ResolvedCredential):
            return str(found.secret_access_key)
    raise NotSignedError("InvalidClientTokenId", "The security token included in the request is invalid.")


def _signature(request: Request, claim: _Claim, secret: str) -> str:
    signer = {
        (False, False): SigV4Auth,
        (False, True): SigV4QueryAuth,
        (True, False): S3SigV4Auth,
        (True, True): S3SigV4QueryAuth,
    }[claim.service == "s3", claim.lifetime is not None](Credentials(claim.key_id, secret), claim.service, claim.region)
    query = "&".join(part for part in request.query.split("&") if not part.startswith("X-Amz-Signature="))
    # The host is in the headers.
    resent = AWSRequest(
        request.method,
        f"https://host{request.path}?{query}",
        {name: value for name, value in request.headers.items() if name in claim.signed_headers},
        request.body,
    )
    resent.context["timestamp"] = claim.time
    canonical = signer.canonical_request(resent)
    return str(signer.signature(signer.string_to_sign(resent, canonical), resent))
