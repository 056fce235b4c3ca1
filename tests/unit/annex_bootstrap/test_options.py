"""What options and arguments complete."""

from __future__ import annotations

import click
import pytest

from annex_bootstrap import options
from annex_bootstrap.annexes.leases import Lease
from annex_bootstrap.annexes.overview import Overview
from annex_bootstrap.commands.leases import command
from annex_bootstrap.options import complete_annex
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
