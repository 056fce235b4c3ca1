"""``annex-bootstrap`` without a command: where one stands, and the one next command."""

from __future__ import annotations

from annex_bootstrap.annexes.overview import ask_overview, can_start, first_annex
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.pool import blocks, config_file
from annex_bootstrap.pool.file_knobs import read_knob
from annex_bootstrap.pool.htcondor import version
from annex_bootstrap.pool.shared import shared_sections
from annex_bootstrap.target import Target
from annex_bootstrap.times import clock
from annex_contract.knobs import ACCESS_KEY_KNOB

MOST_LINES = 4
"""Annexes that are named; with the rest the whole takes at most ten lines, also where a narrow terminal breaks two."""


def show_overview(screen: Screen) -> None:
    """Print where the user of this machine stands, and the one next command.

    Raises:
        UserError: the configuration cannot be read.
    """
    path = config_file.find_file(None)
    content = config_file.preview(path, lambda block: block).old
    block = blocks.read_block(content)
    section = block.find(block.default_region) if block.sections else None
    place = str(path)
    if section is None and (shared := shared_sections()):
        section, place = shared[0], "this machine's HTCondor configuration"
    if section is None:
        screen.say(f"No stack is named in {path}.")
        screen.next_steps({"annex-bootstrap setup": "does everything; shows each step and asks first"})
        return
    name, region = section.stack_name, section.region
    target = Target(name, (region,))
    screen.say(f"The stack {name} in {region} is named in {place}.")
    known = ask_overview(section)
    if known.stack is None:
        screen.say(f"Whether annexes run is not known: {known.error}.")
        screen.next_steps({target.command("doctor"): "finds out why"})
    elif known.leases:
        for lease in known.leases[:MOST_LINES]:
            until = "an unknown time" if lease.expiration is None else clock(lease.expiration)
            screen.say(f"  {lease.annex_id} runs until {until}")
        if len(known.leases) > MOST_LINES:
            screen.say(f"  and {len(known.leases) - MOST_LINES} more")
        screen.next_steps({target.command("leases"): "shows machines and cost"})
    elif not read_knob(content, region, ACCESS_KEY_KNOB) and not can_start(known.stack, version()):
        screen.say("There are no keys for running annexes yet.")
        screen.next_steps({target.command("credentials"): "makes them"})
    else:
        screen.say("Ready. No annex runs.")
        screen.next_steps(first_annex(known.stack, target, version()))
