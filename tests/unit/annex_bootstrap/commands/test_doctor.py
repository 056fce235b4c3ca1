"""What ``doctor`` leaves out of its JSON document."""

from __future__ import annotations

import pytest

from annex_bootstrap.commands.doctor import anonymous
from annex_bootstrap.doctor.check import Finding, Level


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("arn:aws:iam::123456789012:user/somebody", "arn:aws:iam::ACCOUNT:user/somebody"),
        ("the key AKIAMADEUPMADEUPMADE of 123456789012", "the key KEY of ACCOUNT"),
        ("AROAMADEUPMADEUPMADE:i-0123456789abcdef0", "KEY:i-0123456789abcdef0"),
        ("1234567890123 bytes, ami-012345678901234567", "1234567890123 bytes, ami-012345678901234567"),
        ("stack annex-bootstrap", "stack annex-bootstrap"),
    ],
)
def test_the_document_has_no_account_numbers_and_no_ids_of_keys(text: str, shown: str) -> None:
    finding = Finding("an-id", "subject", Level.PROBLEM, text, text, (text, "other"))
    assert anonymous(finding) == Finding("an-id", "subject", Level.PROBLEM, shown, shown, (shown, "other"))
