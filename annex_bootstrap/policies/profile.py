"""The AWS profile of somebody who takes the stack's role: a section in the file that every AWS tool reads.

Source of the form: https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-role.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.files import read_private, write_private

SOURCES = {"env": "Environment", "iam-role": "Ec2InstanceMetadata", "container-role": "EcsContainer"}
"""Where botocore found credentials without a profile, and how ``credential_source`` names that."""


def profile_file() -> Path:
    """Return the file with the user's profiles."""
    return Path(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()


def role_values(role_arn: str, region: str, method: str, source: str) -> dict[str, str]:
    """Return what a profile says that takes a role.

    Args:
        role_arn: of the role.
        region: of the stack.
        method: by which botocore found the credentials that may take it.
        source: the profile that they are of.
    """
    by = {"credential_source": SOURCES[method]} if method in SOURCES else {"source_profile": source}
    return {"role_arn": role_arn, **by, "region": region}


def write_profile(path: Path, name: str, values: Mapping[str, str]) -> bool:
    """Write a profile, and leave everything else of the file as it is.

    Args:
        path: the file.
        name: of the profile.
        values: of it.

    Returns:
        Whether anything was changed.

    Raises:
        UserError: the file has a profile of that name that takes another role, is not a regular file, or cannot be read
            or written.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is not a regular file: let AWS_CONFIG_FILE name one, or unset it")
    text = (read_private(path) or b"").decode(errors="surrogateescape")
    lines, header = text.splitlines(keepends=True), f"[profile {name}]"
    start = next((number for number, line in enumerate(lines) if line.strip() == header), None)
    section = "".join(f"{key} = {value}\n" for key, value in values.items())
    if start is None:
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        after = f"{text}{gap}{header}\n{section}"
    else:
        end = next((at for at in range(start + 1, len(lines)) if lines[at].lstrip().startswith("[")), len(lines))
        said = dict(_pair(line) for line in lines[start + 1 : end] if "=" in line)
        if said.get("role_arn", values["role_arn"]) != values["role_arn"]:
            raise UserError(
                f"{path} has a profile {name} that takes {said['role_arn']}: rename or remove it, then try again"
            )
        kept = [line for line in lines[start + 1 : end] if _pair(line)[0] not in _ours(values)]
        after = "".join([*lines[: start + 1], section, *kept, *lines[end:]])
        if {key: said.get(key) for key in values} == dict(values):
            return False
    write_private(path, after.encode(errors="surrogateescape"))
    return True


def _ours(values: Mapping[str, str]) -> set[str]:
    return {*values, "credential_source", "source_profile"}


def _pair(line: str) -> tuple[str, str]:
    key, _, value = line.partition("=")
    return key.strip(), value.strip()
