"""What options and arguments complete."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

from annex_bootstrap import options
from annex_bootstrap.annexes.leases import Lease
from annex_bootstrap.annexes.overview import Overview
from annex_bootstrap.commands.leases import command
from annex_bootstrap.errors import UserError
from annex_bootstrap.main import commands
from annex_bootstrap.options import complete_annex
from annex_bootstrap.policies.limits import check_boundary
from annex_bootstrap.pool.blocks import Section


@pytest.mark.parametrize(("region", "expected"), [(None, ["first"]), ("us-east-1", ["first"]), ("eu-west-1", ["fine"])])
def test_annexes_of_the_chosen_region_are_completed(
    region: str | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = {"us-east-1": ("first", "second"), "eu-west-1": ("fine",)}
    sections = [Section("annex-bootstrap", "0.1.0", each) for each in running]

    def answer(section: Section) -> Overview:
        return Overview(leases=tuple(Lease(name, 2_000_000_000, {}) for name in running[section.region]))

    monkeypatch.setattr(options, "known_sections", lambda: sections)
    monkeypatch.setattr(options, "ask_overview", answer)
    end = command.commands["end"]
    context = click.Context(end)
    context.params["region"] = region
    assert complete_annex(context, end.params[0], "fi") == expected


@pytest.mark.parametrize(
    "boundary",
    [
        "nonsense",
        "annex-bootstrap-roles-boundary",
        "arn:aws:iam::123456789012:role/annex",
        "arn:aws:iam::12345:policy/annex",
        "arn:aws:iam:us-east-1:123456789012:policy/annex",
        "arn:aws:iam::123456789012:policy/",
        "arn:aws:iam::123456789012:policy/with blank",
        "arn:aws:iam::123456789012:policy/annex\n",
        "arn:aws:iam::123456789012:policy/*?",
    ],
)
@pytest.mark.parametrize(
    "words",
    [
        "policy deployer --boundary",
        "policy operator --boundary",
        "credentials --boundary",
        "setup --roles-boundary",
        "setup --users-boundary",
    ],
)
def test_what_is_no_arn_of_a_policy_is_refused_as_a_boundary_before_any_call_to_aws(words: str, boundary: str) -> None:
    done = CliRunner().invoke(commands, [*words.split(), boundary], env={"AWS_PROFILE": "nobody"})
    assert done.exit_code == 2
    assert "is not the ARN of a managed policy: type one such as arn:aws:iam::123456789012:policy/NAME" in done.output


@pytest.mark.parametrize(
    ("boundary", "taken"),
    [
        ("", True),
        ("arn:aws:iam::123456789012:policy/annex-bootstrap-roles-boundary", True),
        ("arn:aws:iam::123456789012:policy/with/path/x", True),
        ("arn:aws:iam::aws:policy/PowerUserAccess", True),
        ("arn:aws:iam::210987654321:policy/annex", False),
        ("arn:aws-us-gov:iam::123456789012:policy/annex", False),
        ("nonsense", False),
    ],
)
def test_a_boundary_is_of_the_account_itself_or_of_aws(boundary: str, taken: bool) -> None:
    account = SimpleNamespace(partition="aws", account_id="123456789012")
    with contextlib.nullcontext() if taken else pytest.raises(UserError, match="cannot be a permissions boundary"):
        check_boundary(account, boundary)  # type: ignore[arg-type]  # has what it asks


@pytest.mark.parametrize(
    ("text", "mebibytes"),
    [
        ("2G", 2048),
        ("1500M", 1500),
        (" 1.5 GiB ", 1536),
        ("1t", 1024 * 1024),
        ("3mb", 3),
        *((text, None) for text in ("", "G", "2", "2K", "-2G", "0G", "2 G B", "1e3M")),
    ],
)
def test_memory_is_read_in_mebibytes(text: str, mebibytes: int | None) -> None:
    context, option = click.Context(command), click.Option(["--memory"])
    if mebibytes is None:
        with pytest.raises(click.BadParameter, match="is not a memory size: type one such as 2G or 1500M"):
            options.parse_memory(context, option, text)
    else:
        assert options.parse_memory(context, option, text) == mebibytes


def test_a_sum_of_money_is_dollars_in_all() -> None:
    context, option = click.Context(command), click.Option(["--max-dollars"])
    assert options.parse_dollars(context, option, None) is None
    assert options.parse_dollars(context, option, "12.50") == Decimal("12.50")
    for text in ("", "0", "-1", "much", "5/day"):
        with pytest.raises(click.BadParameter, match=f"'{text}' is not a sum of money: type dollars such as 200"):
            options.parse_dollars(context, option, text)
