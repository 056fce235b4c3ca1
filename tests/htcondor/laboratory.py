"""A laboratory's pool, in use before there are annexes: its users authenticate with certificates and with SciTokens."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

from tests.htcondor.https_server import serving
from tests.htcondor.pool import HOST, USER, Pool
from tests.htcondor.testbed import CLIENT_DIRECTORIES, install_client

ISSUER = "issuer.example.org"
ISSUER_ADDRESS = "127.0.0.10"
"""A loopback address of its own, because a token's issuer is asked at port 443."""

CHEMIST = "chemist@laboratory.example.org"
"""Who the holder of a certificate is in the pool."""

BIOLOGIST = "biologist@laboratory.example.org"
"""Who the holder of a SciToken is in the pool."""

_AUDIENCE = f"https://{HOST}"
_CERTIFICATES = "/etc/condor/certificates"
_TOKEN = f"/home/{USER}/token"
_CERTIFICATE, _KEY = f"/home/{USER}/certificate.pem", f"/home/{USER}/key.pem"

CONFIG = [
    "SEC_DEFAULT_AUTHENTICATION_METHODS = FS, SSL, SCITOKENS",
    f"AUTH_SSL_SERVER_CERTFILE = {_CERTIFICATES}/host.pem",
    f"AUTH_SSL_SERVER_KEYFILE = {_CERTIFICATES}/host.key",
    *(f"AUTH_SSL_{side}_CAFILE = /etc/ssl/certs/ca-certificates.crt" for side in ("SERVER", "CLIENT")),
    # Commands find the local collector by its address, without a name to look for in its certificate.
    "SSL_SKIP_HOST_CHECK = True",
    f"CERTIFICATE_MAPFILE = {_CERTIFICATES}/map",
    f"SCITOKENS_SERVER_AUDIENCE = {_AUDIENCE}",
]

_MAP = f"""\
SSL /.*/ {CHEMIST}
SCITOKENS https://{ISSUER},biologist {BIOLOGIST}
"""

WITH_A_CERTIFICATE = {
    "_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "SSL",
    "_CONDOR_AUTH_SSL_CLIENT_CERTFILE": _CERTIFICATE,
    "_CONDOR_AUTH_SSL_CLIENT_KEYFILE": _KEY,
}
WITH_A_SCITOKEN = {"_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "SCITOKENS", "BEARER_TOKEN_FILE": _TOKEN}


@contextmanager
def laboratory(root: Path) -> Iterator[Pool]:
    """Run the pool, with annex-bootstrap installed, and the issuer of its users' tokens.

    Args:
        root: a root directory with HTCondor.
    """
    ca = trustme.CA()
    key = ec.generate_private_key(ec.SECP256R1())
    host, user = ca.issue_cert(HOST, "127.0.0.1"), ca.issue_cert(f"{USER}@{HOST}")
    ca_pem = ca.cert_pem.bytes().decode()
    with (
        _issuer(ca, key),
        Pool(
            root, config_lines=CONFIG, hosts={ISSUER: ISSUER_ADDRESS}, ca_pem=ca_pem, directories=CLIENT_DIRECTORIES
        ) as pool,
    ):
        install_client(pool)
        pool.write(f"{_CERTIFICATES}/host.pem", host.cert_chain_pems[0].bytes().decode(), user="root")
        pool.write(f"{_CERTIFICATES}/host.key", host.private_key_pem.bytes().decode(), user="root")
        pool.write(f"{_CERTIFICATES}/map", _MAP, user="root")
        pool.must(["condor_reconfig"])
        pool.write(_CERTIFICATE, user.cert_chain_pems[0].bytes().decode())
        pool.write(_KEY, user.private_key_pem.bytes().decode())
        pool.write(_TOKEN, _scitoken(key))
        yield pool


@contextmanager
def _issuer(ca: trustme.CA, key: ec.EllipticCurvePrivateKey) -> Iterator[None]:
    """Serve the public key of an issuer of SciTokens. Source of the form: RFC 7517, OpenID Connect Discovery 1.0."""
    point = key.public_key().public_numbers()
    coordinates = {name: _encoded(number.to_bytes(32)) for name, number in (("x", point.x), ("y", point.y))}
    documents = {
        "/.well-known/openid-configuration": {"issuer": f"https://{ISSUER}", "jwks_uri": f"https://{ISSUER}/keys"},
        "/keys": {"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1", **coordinates}]},
    }

    with serving(ca, ISSUER, ISSUER_ADDRESS, lambda _method, path, _body: documents.get(path)):
        yield


def _scitoken(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a SciToken that is valid for ten minutes. Source of the form: scitokens.org, RFC 7515 and RFC 7518."""
    now = int(time.time())
    claims = {
        "iss": f"https://{ISSUER}",
        "sub": "biologist",
        "aud": _AUDIENCE,
        "ver": "scitoken:2.0",
        "scope": "condor:/READ condor:/WRITE",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
    }
    header = {"alg": "ES256", "typ": "JWT", "kid": "1"}
    signed = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
    pair = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(SHA256())))
    return f"{signed}.{_encoded(b''.join(number.to_bytes(32) for number in pair))}"


def _encoded(part: bytes) -> str:
    return urlsafe_b64encode(part).rstrip(b"=").decode()
