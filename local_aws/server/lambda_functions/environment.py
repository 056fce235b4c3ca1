"""What a function's process gets: its own variables and keys, and of the server's only what it needs to run.

MiniStack hands its whole environment on, and makes a function's keys from its name.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc, sts

from local_aws.forked import Forked, Origin

PASSED_ON = frozenset(
    (
        *("HOME", "LANG", "LC_ALL", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "TMPDIR"),
        # So that boto3 and crhelper reach this server and nothing else.
        *("AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_EC2_METADATA_DISABLED", "AWS_SHARED_CREDENTIALS_FILE"),
        "SSL_CERT_FILE",
    )
)
"""The server's variables that a function gets too."""

_KEY = secrets.token_bytes(32)
"""Keeps the keys of functions from being guessed; new with every server."""


def install() -> None:
    """Replace what MiniStack starts functions with."""
    guessable = lambda_runtime.execution_credentials

    def execution_credentials(config: dict[str, Any]) -> dict[str, str]:
        made: dict[str, str] = guessable(config)
        key_id = made["AWS_ACCESS_KEY_ID"]
        secret, token = (_secret(kind, key_id) for kind in ("secret", "token"))
        session = sts._sessions.get(key_id)
        # MiniStack's begins with the role's name.
        user_id = f"{sts._role_id(config['Role'])}:{session['UserId'].partition(':')[2]}"
        whose = {"UserId": user_id, "SourceFunctionArn": config["FunctionArn"]}
        sts.register_session(key_id, {**session, **whose, "SecretAccessKey": secret, "SessionToken": token})
        return {**made, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}

    for module in (lambda_runtime, lambda_svc):
        module.execution_credentials = execution_credentials
    lambda_runtime.subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": _start})


def _secret(kind: str, key_id: str) -> str:
    return hmac.new(_KEY, f"{kind}:{key_id}".encode(), hashlib.sha256).hexdigest()


@functools.cache
def _origin() -> Origin:
    return Origin("local_aws.preloaded")


def _start(command: list[str], cwd: str, env: Mapping[str, str], **options: Any) -> subprocess.Popen[str] | Forked:
    kept = {name: value for name, value in env.items() if name in PASSED_ON or os.environ.get(name) != value}
    if command[0] == sys.executable:
        return Forked(_origin(), command[1:], cwd, kept)
    return subprocess.Popen(command, cwd=cwd, env=kept, **options)
