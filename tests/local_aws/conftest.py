"""The local AWS that the tests of this directory share, and what they need to use it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.operator import operator_policy
from annex_contract.stack import DEFAULT_STACK_NAME
from local_aws.launcher import ACCOUNT, Credentials, LocalAws, local_aws
from local_aws.server_settings import ACCOUNT as ACCOUNT_SETTINGS
from local_aws.server_settings import MACHINES
from tests.local_aws import hurry, stack
from tests.local_aws.cli_user import CliUser
from tests.local_aws.custom_resources.lifecycle import account, vpc
from tests.local_aws.custom_resources.provider import provider
from tests.local_aws.second_opinions.record import judge

# Fixtures that are defined in other modules.
__all__ = ["account", "provider", "vpc"]

ROOT = Path(__file__).parent.parent.parent

SPEED = 300
"""How many times faster than real time schedules run: five minutes pass in one second."""

HURRY = 4
"""How many times faster the clock of commands and functions runs, and how many times shorter their pauses are."""

SESSION_COUNTS = pytest.StashKey[Counter[str]]()
"""What was counted over a whole session."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the sums of the counts that sweeps recorded: how many cases they covered."""
    sums: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            sums.update({name: count for name, count in report.user_properties if isinstance(count, int)})
    for name, count in (sums + terminalreporter.config.stash.get(SESSION_COUNTS, Counter())).items():
        terminalreporter.write_line(f"{name}: {count}")


def pytest_testnodedown(node: Any) -> None:
    """Add the counts of a worker's whole session."""
    node.config.stash.setdefault(SESSION_COUNTS, Counter()).update(node.workeroutput.get("counts", {}))


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[LocalAws]:
    """A local AWS with IAM enforced; this process's AWS settings point at it as root.

    At its end, others judge all that it exchanged and decided.
    """
    records = tmp_path_factory.mktemp("records")
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as started:
        patch.setenv("USER_SECRET", "made-up")
        patch.setenv("PYTHONPATH", str(hurry.write(tmp_path_factory.mktemp("hurry"), HURRY)), prepend=os.pathsep)
        running = started.enter_context(local_aws(SPEED, records=records))
        for name in [variable for variable in os.environ if variable.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in running.environ(running.root).items():
            # boto3 reads AWS_DEFAULT_REGION only; the processes of our commands get AWS_REGION only.
            if name != "AWS_REGION":
                patch.setenv(name, value)
        boto3.DEFAULT_SESSION = None
        yield running
    record = judge(records)
    if hasattr(request.config, "workeroutput"):
        request.config.workeroutput["counts"] = record.counts
    else:
        request.config.stash[SESSION_COUNTS] = Counter(record.counts)
    assert not record.objections, "\n".join(record.objections)


@pytest.fixture(scope="session")
def root(local: LocalAws) -> boto3.Session:
    """A session with the root keys of the account, which no policy restricts."""
    return boto3.Session(local.root.access_key_id, local.root.secret_access_key)


@pytest.fixture(scope="session")
def template() -> str:
    """The template as ``build.py`` builds it now."""
    subprocess.run([sys.executable, str(ROOT / "build.py")], check=True, stdout=subprocess.DEVNULL)
    return (ROOT / "dist" / "annex-bootstrap.template.json").read_text()


@pytest.fixture(scope="session")
def put_template(local: LocalAws, root: boto3.Session) -> Callable[[str], str]:
    """Return a function that uploads the text of a template and returns its URL."""
    s3 = root.client("s3")
    bucket = f"templates-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)

    def put(text: str) -> str:
        key = f"{uuid.uuid4().hex}.json"
        s3.put_object(Bucket=bucket, Key=key, Body=text.encode())
        return f"{local.endpoint}/{bucket}/{key}"

    return put


@pytest.fixture
def new_user(root: boto3.Session) -> Iterator[Callable[[str], Credentials]]:
    """Return a function that creates an IAM user with one inline policy, given as JSON text, for one test."""
    iam = root.client("iam")
    made: list[tuple[str, str]] = []

    def make(policy: str) -> Credentials:
        name = f"user-{uuid.uuid4().hex[:8]}"
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="policy", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        made.append((name, key["AccessKeyId"]))
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    yield make
    for name, key_id in made:
        iam.delete_access_key(UserName=name, AccessKeyId=key_id)
        for policy in iam.list_user_policies(UserName=name)["PolicyNames"]:
            iam.delete_user_policy(UserName=name, PolicyName=policy)
        iam.delete_user(UserName=name)


@pytest.fixture(scope="session")
def shared_stack(
    root: boto3.Session, template: str, put_template: Callable[[str], str]
) -> Iterator[stack.DeployedStack]:
    """A stack of the default name for the whole session, for commands that need one."""
    with stack.deployed(root, DEFAULT_STACK_NAME, put_template(template)) as made:
        yield made


def make_home(directory: Path) -> Path:
    """Return a new home directory of a user."""
    home = directory / "home"
    home.mkdir(mode=0o700)
    return home


@pytest.fixture
def operator(
    local: LocalAws,
    shared_stack: stack.DeployedStack,  # noqa: ARG001 (an operator needs a stack)
    new_user: Callable[[str], Credentials],
    tmp_path: Path,
) -> CliUser:
    """A user with the policy that `annex-bootstrap policy operator` prints, in an empty home directory."""
    granted = json.dumps(operator_policy("aws", ACCOUNT, DEFAULT_STACK_NAME))
    return CliUser(local, new_user(granted), make_home(tmp_path))


@pytest.fixture
def deployer(
    local: LocalAws,
    root: boto3.Session,
    template: str,  # noqa: ARG001 (`deploy` deploys what is built)
    new_user: Callable[[str], Credentials],
    tmp_path: Path,
) -> Iterator[CliUser]:
    """A user with the policy that `annex-bootstrap policy deployer` prints; what is left of the stack is deleted."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    granted = json.dumps(deployer_policy("aws", ACCOUNT, name))
    yield CliUser(local, new_user(granted), make_home(tmp_path), name)
    for region in ("us-east-1", "eu-west-1"):
        cloudformation = root.client("cloudformation", region_name=region)
        cloudformation.delete_stack(StackName=name)
        stack.wait_until_gone(cloudformation, name)


@pytest.fixture
def set_machines(root: boto3.Session) -> Iterator[Callable[..., None]]:
    """Return a function that says what becomes of machines and images from now on."""
    ssm = root.client("ssm")

    def put(**settings: Any) -> None:
        ssm.put_parameter(Name=MACHINES, Type="String", Overwrite=True, Value=json.dumps(settings))

    put()
    yield put
    ssm.delete_parameter(Name=MACHINES)


@pytest.fixture
def set_account(root: boto3.Session) -> Iterator[Callable[..., None]]:
    """Return a function that says what kind of account it is from now on (see ``local_aws.server.account``)."""
    ssm = root.client("ssm")

    def put(**settings: Any) -> None:
        ssm.put_parameter(Name=ACCOUNT_SETTINGS, Type="String", Overwrite=True, Value=json.dumps(settings))

    put()
    yield put
    ssm.delete_parameter(Name=ACCOUNT_SETTINGS)


@pytest.fixture
def put_function(root: boto3.Session) -> Iterator[Callable[[str], str]]:
    """Makes functions of Python code whose ``handler`` is called, and gives their names; they go with the test."""
    name = f"function-{uuid.uuid4().hex[:8]}"
    iam, awslambda = root.client("iam"), root.client("lambda")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    made: list[str] = []

    def put(code: str) -> str:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("index.py", code)
        made.append(f"{name}-{len(made)}")
        awslambda.create_function(
            FunctionName=made[-1],
            Runtime="python3.13",
            Handler="index.handler",
            Role=role,
            Code={"ZipFile": archive.getvalue()},
        )
        return made[-1]

    yield put
    for each in made:
        awslambda.delete_function(FunctionName=each)
    iam.delete_role(RoleName=name)
