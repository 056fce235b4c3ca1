"""Every finding of checkov that the template leaves has a reason, and no reason is left from a finding of the past."""

from __future__ import annotations

import pytest

from template_gen.findings import REASONS, Finding
from tests.stack_values import TEMPLATE

LOOKED_FOR = {
    Finding.NO_RESERVED_CONCURRENCY: ("AWS::Lambda::Function", "ReservedConcurrentExecutions"),
    Finding.NO_DEAD_LETTER_QUEUE: ("AWS::Lambda::Function", "DeadLetterConfig"),
    Finding.NO_VPC: ("AWS::Lambda::Function", "VpcConfig"),
    Finding.ENVIRONMENT_WITHOUT_KEY: ("AWS::Lambda::Function", "KmsKeyArn"),
}
"""The type of the resources that a check is about, and the property without which it fails:
https://github.com/bridgecrewio/checkov/tree/main/checkov/cloudformation/checks/resource/aws"""


def left() -> dict[tuple[str, str], str]:
    """Return the reason of each finding, by logical ID and ID of the check."""
    return {
        (title, skip["id"]): skip["comment"]
        for title, resource in TEMPLATE.items()
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", [])
    }


def has_finding(title: str, finding: Finding) -> bool:
    """Return whether a check of checkov fails for a resource."""
    kind, wanted = LOOKED_FOR[finding]
    resource = TEMPLATE[title]
    # It does not look into conditions.
    if finding is Finding.ENVIRONMENT_WITHOUT_KEY and "Variables" not in resource["Properties"].get("Environment", {}):
        return False
    return bool(resource["Type"] == kind and wanted not in resource["Properties"])


@pytest.mark.parametrize("finding", Finding)
def test_a_resource_has_a_reason_exactly_where_it_has_the_finding(finding: Finding) -> None:
    found = {title for title in TEMPLATE if has_finding(title, finding)}
    assert found
    assert {title for title, check in left() if check == finding} == found


def test_every_reason_has_words_and_belongs_to_a_known_finding() -> None:
    assert {check for _, check in left()} == set(Finding)
    assert all(len(reason.split()) > 3 for reason in left().values())
    assert set(left().values()) == set(REASONS.values())
