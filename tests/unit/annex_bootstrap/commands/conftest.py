"""What the tests of commands share: a target in an account that keeps its calls, and a home of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap import target as target_module
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.target import Target
from annex_contract import __version__
from annex_contract.stack import Output
from tests.unit.recorded import Recorded

STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/annex-bootstrap/0a1b2c3d-1111-1111-1111-0a1b2c3d4e5f"
_FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:annex-bootstrap"
_IAM = "arn:aws:iam::123456789012"
OUTPUTS = {
    str(Output.S3_BUCKET_NAME): "annex-bootstrap-123456789012-0a1b2c3d-0a1b2c3d4e5f",
    str(Output.LEASE_FUNCTION_ARN): f"{_FUNCTION}-LeaseFunction-A",
    str(Output.CONNECTIVITY_FUNCTION_ARN): f"{_FUNCTION}-ConnectivityFunction-A",
    str(Output.INSTANCE_CONFIGURATION_PROFILE): (
        f"{_IAM}:instance-profile/annex-bootstrap/annex-bootstrap-instance-0a1b2c3d-0a1b2c3d4e5f"
    ),
    str(Output.INSTANCE_ROLE_ARN): f"{_IAM}:role/annex-bootstrap/annex-bootstrap-instance-0a1b2c3d-0a1b2c3d4e5f",
    str(Output.SECURITY_GROUP_ID): "sg-0a1b",
    str(Output.IAM_FLEET_ROLE_ARN): f"{_IAM}:role/annex-bootstrap/annex-bootstrap-fleet-0a1b2c3d-0a1b2c3d4e5f",
    str(Output.ANNEX_USER_POLICY_ARN): f"{_IAM}:policy/annex-bootstrap/annex-bootstrap-AnnexUserPolicy-A",
    str(Output.VERSION): __version__,
    str(Output.IMAGE_ID): "ami-0a1b",
    str(Output.INSTANCE_TYPE): "m7i.large",
    str(Output.LAUNCH_TEMPLATE_ID): "lt-0a1b",
    str(Output.LAUNCH_TEMPLATE_VERSION): "3",
    str(Output.START_POLICY_ARN): f"{_IAM}:policy/annex-bootstrap/annex-bootstrap-StartPolicy-A",
    str(Output.START_INSTANCE_PROFILE): (
        f"{_IAM}:instance-profile/annex-bootstrap/annex-bootstrap-instance-start-0a1b2c3d-0a1b2c3d4e5f"
    ),
    str(Output.START_ROLE_ID): "AROA0A1B2C3D4E5F",
}
PARAMETERS = {
    "CondorCidrs": "0.0.0.0/0",
    "ConfigKeyPattern": "config-*.tar.gz",
    "BucketName": "",
    "FleetRoleName": "",
    "Image": "yes",
    "ImageArchitecture": "amd64",
    "SubnetIds": "",
}
"""Of a stack that made everything itself."""


def a_stack(
    status: str = "CREATE_COMPLETE", *, protected: bool = False, parameters: Mapping[str, str] | None = None
) -> Stack:
    """Return a deployed stack."""
    changed = datetime(2026, 1, 1, tzinfo=UTC)
    return Stack(
        STACK_ID, "annex-bootstrap", status, "", PARAMETERS | dict(parameters or {}), OUTPUTS, changed, protected
    )


def described(stack: Stack) -> dict[str, Any]:
    """Return a stack as DescribeStacks has it."""
    return {
        "Stacks": [
            {
                "StackId": stack.stack_id,
                "StackName": stack.name,
                "StackStatus": stack.status,
                "CreationTime": stack.changed,
                "EnableTerminationProtection": stack.protected,
                "Parameters": [
                    {"ParameterKey": key, "ParameterValue": value} for key, value in stack.parameters.items()
                ],
                "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in stack.outputs.items()],
            }
        ]
    }


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without HTCondor."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CONDOR_CONFIG", raising=False)
    return tmp_path


@pytest.fixture
def screen() -> Screen:
    """A screen for people."""
    return Screen()


class Asked:
    """Answers the questions of commands.

    Attributes:
        questions: with the answer that Enter gives.
        answer: what is answered.
    """

    def __init__(self) -> None:
        self.questions: list[tuple[str, bool]] = []
        self.answer = True

    def confirm(self, question: str, default: bool) -> bool:
        self.questions.append((question, default))
        return self.answer


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What commands ask from now on."""
    made = Asked()
    monkeypatch.setattr(Screen, "confirm", lambda _, question, default: made.confirm(question, default))
    return made


@pytest.fixture
def targeted(monkeypatch: pytest.MonkeyPatch, home: Path) -> Callable[..., Target]:
    """Return what makes the target of a stack in an account."""

    def make(aws: Recorded, *regions: str, config: Path | None = None) -> Target:
        monkeypatch.setattr(target_module, "connect", lambda region, *_: aws.account(region or "us-east-1"))
        monkeypatch.setattr(target_module, "open_session", lambda *_: None)
        return Target(regions=regions, config=config or home / "user_config")

    return make


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what makes standard output a narrow terminal without colours, on which lines to paste stay whole."""

    def make() -> None:
        monkeypatch.setenv("COLUMNS", "30")
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    return make
