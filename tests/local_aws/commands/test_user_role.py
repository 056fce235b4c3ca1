"""People without IAM users of the stack take its role by a profile, with IAM enforced."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from annex_bootstrap.policies.deployer import deployer_policy
from local_aws.launcher import ACCOUNT, Credentials, LocalAws
from tests.local_aws.cli_user import CliUser
from tests.local_aws.commands import fake_htcondor
from tests.local_aws.conftest import make_home

pytestmark = pytest.mark.slow

START = ("start", "first", "--count", "1", "--duration", "1h", "--owner", "somebody", "--skip-pool-check", "--yes")


def test_somebody_who_is_named_takes_the_role_and_starts_a_machine(
    local: LocalAws,
    root: boto3.Session,
    new_user: Callable[[str], Credentials],
    set_account: Callable[..., None],
    tmp_path: Path,
) -> None:
    set_account(caller_rights=True)
    name = f"u-{uuid.uuid4().hex[:8]}"
    taking = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}]}
    )
    described = {"Effect": "Allow", "Action": "cloudformation:DescribeStacks", "Resource": "*"}
    named, other = (new_user(taking.replace("[{", f"[{json.dumps(described)}, {{", 1)) for _ in range(2))
    arn = boto3.Session(named.access_key_id, named.secret_access_key).client("sts").get_caller_identity()["Arn"]
    deployer = CliUser(local, new_user(json.dumps(deployer_policy("aws", ACCOUNT, name))), make_home(tmp_path), name)
    deployer.must("deploy", "--yes", "--no-pull", "--param", f"UserPrincipals={arn}")
    for number, keys in enumerate((named, other)):
        directory = tmp_path / str(number)
        directory.mkdir()
        home = make_home(directory)
        fake_htcondor.install(home)
        person = CliUser(local, keys, home, name, {"LOGNAME": "somebody", "AWS_CONFIG_FILE": str(home / "aws-config")})
        profile = f"{name}-us-east-1"
        said = person.must("credentials", "--role").stdout
        assert f"the profile {profile} takes the role" in said
        config = (home / "aws-config").read_text()
        assert "credential_source = Environment" in config
        assert re.search(rf"role_arn = arn:aws:iam::\d+:role/annex-bootstrap/{name}/{name}-AnnexUserRole-", config)
        started = person.run(*START, "--profile", profile)
        if keys is named:
            assert started.returncode == 0, started
            person.must("leases", "end", "first", "--yes", "--profile", profile)
        else:
            assert started.returncode
            assert "sts:AssumeRole" in started.stderr
    deployer.must("delete", "--yes", "--end-annexes")
    left = root.client("iam").list_roles(PathPrefix=f"/annex-bootstrap/{name}/")["Roles"]
    assert left == []
