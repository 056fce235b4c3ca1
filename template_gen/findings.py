"""The findings of checkov that the template leaves as they are, and why: in its own metadata, where checkov reads it.

Source: https://www.checkov.io/2.Basics/Suppressing%20and%20Skipping%20Policies.html
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Finding(StrEnum):
    """What checkov finds, by its ID. Checks: https://www.checkov.io/5.Policy%20Index/cloudformation.html."""

    NO_RESERVED_CONCURRENCY = "CKV_AWS_115"
    NO_DEAD_LETTER_QUEUE = "CKV_AWS_116"
    NO_VPC = "CKV_AWS_117"
    ENVIRONMENT_WITHOUT_KEY = "CKV_AWS_173"


REASONS = {
    # 100 must stay unreserved: https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
    Finding.NO_RESERVED_CONCURRENCY: "New accounts have too few to reserve any",
    Finding.NO_DEAD_LETTER_QUEUE: "Failures reach the caller or an alarm",
    Finding.NO_VPC: "Uses nothing inside a VPC",
    # https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars-encryption.html
    Finding.ENVIRONMENT_WITHOUT_KEY: "No secrets; encrypted with Lambda's own key",
}
"""Few words each: a reason stands in every resource that has the finding."""


def leave(*findings: Finding) -> dict[str, Any]:
    """Return the metadata of a resource that has these findings."""
    return {"checkov": {"skip": [{"id": finding.value, "comment": REASONS[finding]} for finding in findings]}}
