"""The table of attacks in the documentation is the one that the tests make."""

from __future__ import annotations

from tests.local_aws import attacks, test_attacks


def test_the_page_lists_every_attack_that_is_carried_out() -> None:
    text = attacks.PAGE.read_text()
    assert attacks.page(text, attacks.ATTACKS) == text, "run python -m tests.local_aws.attacks"


def test_every_attack_has_a_test() -> None:
    tests = [name for name in vars(test_attacks) if name.startswith("test_")]
    assert len(tests) == len(attacks.ATTACKS) > 0
