"""The profile that takes the stack's role: added once, changed where it must be, and nothing else touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from annex_bootstrap.errors import UserError
from annex_bootstrap.policies.profile import profile_file, role_values, write_profile

ARN = "arn:aws:iam::123456789012:role/annex-bootstrap/lab/lab-AnnexUserRole-AbC"
VALUES = role_values(ARN, "us-east-1", "sso", "research")
SECTION = f"[profile lab]\nrole_arn = {ARN}\nsource_profile = research\nregion = us-east-1\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", SECTION),
        ("[default]\nregion = a", f"[default]\nregion = a\n\n{SECTION}"),
        ("[default]\nregion = a\n", f"[default]\nregion = a\n\n{SECTION}"),
        (
            "[profile lab]\nsource_profile=old\nmfa_serial = arn\n\n[profile b]\nregion = c\n",
            f"{SECTION}mfa_serial = arn\n\n[profile b]\nregion = c\n",
        ),
    ],
)
def test_it_is_written_and_the_rest_stays(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "aws" / "config"
    if before:
        path.parent.mkdir()
        path.write_text(before)
    assert write_profile(path, "lab", VALUES)
    assert path.read_text() == after
    assert not write_profile(path, "lab", VALUES)
    assert path.read_text() == after


def test_a_profile_that_takes_another_role_is_somebody_elses(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("[profile lab]\nrole_arn = arn:other\n")
    with pytest.raises(UserError, match="has a profile lab that takes arn:other: rename or remove it"):
        write_profile(path, "lab", VALUES)
    assert path.read_text() == "[profile lab]\nrole_arn = arn:other\n"


def test_what_is_no_regular_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(UserError, match="is not a regular file: let AWS_CONFIG_FILE name one, or unset it"):
        write_profile(path, "lab", VALUES)
    assert path.is_fifo()


@pytest.mark.parametrize(
    ("method", "source"),
    [("env", "Environment"), ("iam-role", "Ec2InstanceMetadata"), ("container-role", "EcsContainer")],
)
def test_credentials_that_no_profile_holds_are_named_by_where_they_come_from(method: str, source: str) -> None:
    values = role_values(ARN, "us-east-1", method, "default")
    assert values == {"role_arn": ARN, "credential_source": source, "region": "us-east-1"}


def test_the_file_is_that_of_every_aws_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/elsewhere")
    assert profile_file() == Path("/elsewhere")
    monkeypatch.delenv("AWS_CONFIG_FILE")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert profile_file() == Path("/home/somebody/.aws/config")
