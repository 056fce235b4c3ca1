"""An account whose EC2 and quotas give set answers, and keep what they were asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import boto3
from botocore.stub import Stubber

from annex_bootstrap.aws import Account

REGION = "us-east-1"


@contextmanager
def answering(**answers: list[tuple[str, dict[str, Any], dict[str, Any]]]) -> Iterator[Account]:
    """Give an account whose clients answer.

    Args:
        answers: for each client of `Account`, the calls that it gets in their order: operation, arguments, answer. All
            of them must be made, with exactly these arguments.
    """
    account = Account(boto3.Session("AKIAMADEUP", "made-up", region_name=REGION), REGION)
    with ExitStack() as stubs:
        stubbers = [stubs.enter_context(Stubber(getattr(account, client))) for client in answers]
        for stubber, calls in zip(stubbers, answers.values(), strict=True):
            for operation, arguments, answer in calls:
                stubber.add_response(operation, answer, arguments)
        yield account
        for stubber in stubbers:
            stubber.assert_no_pending_responses()


def described_type(name: str, vcpus: int, memory: int, *architectures: str, special: bool = False) -> dict[str, Any]:
    """Return an instance type as DescribeInstanceTypes has it."""
    return {
        "InstanceType": name,
        "VCpuInfo": {"DefaultVCpus": vcpus},
        "MemoryInfo": {"SizeInMiB": memory},
        "ProcessorInfo": {"SupportedArchitectures": list(architectures or ("x86_64",))},
        "BareMetal": False,
        "BurstablePerformanceSupported": special,
    }
