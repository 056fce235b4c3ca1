"""``annex-bootstrap`` alone: where one stands, and the one next command."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from annex_bootstrap.annexes.leases import Lease, Leases, clock
from annex_bootstrap.aws import connect
from annex_bootstrap.doctor.next_steps import first_annex, our_command
from annex_bootstrap.errors import UserError
from annex_bootstrap.pool import blocks, config_file
from annex_bootstrap.pool.blocks import Section
from annex_bootstrap.pool.file_knobs import read_knob
from annex_bootstrap.pool.htcondor import version
from annex_bootstrap.screen import Screen
from annex_bootstrap.stack.read import Stack, find_deployed
from annex_contract.knobs import ACCESS_KEY_KNOB

PATIENCE = 1.0
"""Seconds that AWS has to answer; what is not known by then is not shown."""

MOST_LINES = 4
"""Annexes that are named; with the rest the whole takes at most ten lines, also where a narrow terminal breaks two."""


@dataclass
class Answer:
    """What AWS said about the annexes of a stack.

    Attributes:
        stack: the stack; None where that is not known.
        leases: of its annexes; None where that is not known.
        error: why it is not known.
    """

    stack: Stack | None = None
    leases: list[Lease] | None = None
    error: str = "AWS did not answer within a second"


def known_sections() -> Sequence[Section]:
    """Return what the configuration says of stacks, the default region's first.

    Raises:
        UserError: the configuration cannot be read.
    """
    return blocks.read_block(config_file.preview(config_file.find_file(None), lambda block: block).old).sections


def tell_standing(screen: Screen) -> None:
    """Print where the user of this machine stands, and the one next command.

    Raises:
        UserError: the configuration cannot be read.
    """
    path = config_file.find_file(None)
    content = config_file.preview(path, lambda block: block).old
    block = blocks.read_block(content)
    section = block.find(block.default_region) if block.sections else None
    if section is None:
        screen.say(f"No stack is named in {path}.")
        screen.next_steps({"annex-bootstrap setup": "does everything; shows each step and asks first"})
        return
    name, region = section.stack_name, section.region
    screen.say(f"The stack {name} in {region} is named in {path}.")
    if not read_knob(content, region, ACCESS_KEY_KNOB):
        screen.say("There are no keys for running annexes yet.")
        screen.next_steps({our_command("credentials", name, region, None, None): "makes them"})
        return
    answer = ask_leases(section)
    if answer.stack is None or answer.leases is None:
        screen.say(f"Whether annexes run is not known: {answer.error}.")
        screen.next_steps({our_command("doctor", name, region, None, None): "finds out why"})
    elif answer.leases:
        for lease in answer.leases[:MOST_LINES]:
            until = "an unknown time" if lease.expiration is None else clock(lease.expiration)
            screen.say(f"  {lease.annex_id} runs until {until}")
        if len(answer.leases) > MOST_LINES:
            screen.say(f"  and {len(answer.leases) - MOST_LINES} more")
        screen.next_steps({our_command("leases", name, region, None, None): "shows machines and cost"})
    else:
        screen.say("Ready. No annex runs.")
        screen.next_steps(first_annex(answer.stack, region, None, version()))


def ask_leases(section: Section) -> Answer:
    """Ask AWS for the leases of a stack's annexes, and do not wait for longer than ``PATIENCE``."""
    answer = Answer()

    def ask() -> None:
        try:
            account = connect(section.region, None)
            answer.stack = find_deployed(account, section.stack_name)
            answer.leases = Leases.of(account, answer.stack.outputs).list()
        except UserError as error:
            answer.error = str(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return answer
