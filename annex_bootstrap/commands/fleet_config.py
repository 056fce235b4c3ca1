"""``fleet-config``: choose what a spot fleet may use, write its file, and name it in the configuration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from annex_bootstrap.aws import Account, connect
from annex_bootstrap.errors import UserError
from annex_bootstrap.fleet import fleet_file, sources
from annex_bootstrap.fleet.fleet_file import Image, Offer
from annex_bootstrap.fleet.instance_types import MIB_A_GIB, Slot
from annex_bootstrap.pool import config_file
from annex_bootstrap.pool.file_knobs import write_knobs
from annex_bootstrap.screen import Column, Screen
from annex_bootstrap.stack.read import find_deployed
from annex_contract.knobs import FLEET_KNOBS
from annex_contract.stack import Output, Parameter

COLUMNS = [
    Column("TYPE"),
    Column("CPUS", number=True),
    Column("MEMORY", number=True),
    Column("SLOTS", number=True),
    Column("$/SLOT-HOUR", number=True),
    Column("ZONES", number=True),
]


@dataclass(frozen=True)
class FleetOptions:
    """The options of ``fleet-config``.

    Attributes:
        stack_name: the stack's name.
        region: where; None for the one that the environment or the profile names.
        profile: the AWS profile, or None for the environment's.
        config: the user's configuration file, or None for the one that HTCondor names.
        image: the machines' image; empty to find it by name, or for the stack's own.
        image_name: a pattern; the newest image that matches is used.
        owners: whose images the name may match.
        slot: what one slot gets.
        architecture: ``x86_64`` or ``arm64``.
        types: patterns of instance types; empty for all.
        excluded: patterns of instance types to leave out.
        subnet_ids: subnets to choose from; empty for the stack's SubnetIds, else all of the VPC.
        max_price: dollars a slot-hour to pay at most; None for each type's on-demand price.
        path: the file to write; None for the default.
        print_only: only print the file's content.
    """

    stack_name: str
    region: str | None
    profile: str | None
    config: Path | None
    image: str
    image_name: str
    owners: Sequence[str]
    slot: Slot
    architecture: str
    types: Sequence[str]
    excluded: Sequence[str]
    subnet_ids: Sequence[str]
    max_price: Decimal | None
    path: Path | None
    print_only: bool


@dataclass(frozen=True)
class Fleet:
    """What the file says.

    Attributes:
        image: of the machines.
        offers: the instance types in the file, the cheapest slot first.
        left_out: how many more expensive types exceed the limits of one fleet.
        text: the file's content.
    """

    image: Image
    offers: Sequence[Offer]
    left_out: int
    text: str


def fleet_config(options: FleetOptions, screen: Screen) -> None:
    """Write the spot fleet file and name it in the configuration; or print it.

    Raises:
        UserError: there is no stack, nothing fits the options, AWS refused, or a file cannot be written.
    """
    config = config_file.find_file(options.config)
    if not options.print_only:
        config_file.check(config)
    account = connect(options.region, options.profile)
    fleet = _choose(account, options)
    if options.print_only:
        screen.result(fleet.text)
        screen.document({"fleet": json.loads(fleet.text)})
        return
    path = (options.path or Path(f"~/.condor/annex-fleet-{account.region}.json")).expanduser().absolute()
    config_file.rewrite_file(path, lambda _: fleet.text.encode())
    write_knobs(config, account.region, dict.fromkeys(FLEET_KNOBS, str(path)))
    most = fleet_file.bid(fleet.offers, options.max_price)
    screen.table(COLUMNS, [_row(offer) for offer in fleet.offers])
    screen.say()
    screen.say(f"Image    {fleet.image.image_id} {fleet.image.name}")
    screen.say(f"Pays     at most {most:f} $ a slot-hour")
    if fleet.left_out:
        screen.say(
            f"Left out {fleet.left_out} more expensive types: a fleet has at most "
            f"{fleet_file.MOST_SPECIFICATIONS} pairs of type and subnet"
        )
    screen.say(f"Fleet    {path}")
    screen.say(f"Knobs    {config}")
    screen.document(
        {
            "image": fleet.image.image_id,
            "most_a_slot_hour": str(most),
            "types": [_document(offer) for offer in fleet.offers],
            "types_left_out": fleet.left_out,
            "file": str(path),
            "config": str(config),
        }
    )


def _choose(account: Account, options: FleetOptions) -> Fleet:
    stack = find_deployed(account, options.stack_name)
    outputs = stack.outputs
    group_id = outputs[Output.SECURITY_GROUP_ID]
    image_id = options.image or ("" if options.image_name else outputs.get(Output.IMAGE_ID, ""))
    if not image_id and not options.image_name:
        raise UserError(
            f"the stack {options.stack_name} has no image: give --image or --image-name, "
            "or run annex-bootstrap deploy --param Image=yes"
        )
    image = sources.find_image(account.ec2, image_id, options.image_name, options.owners, options.architecture)
    own_subnets = [
        subnet.strip() for subnet in stack.parameters.get(Parameter.SUBNET_IDS, "").split(",") if subnet.strip()
    ]
    subnets = sources.find_subnets(account.ec2, group_id, options.subnet_ids or own_subnets)
    found = sources.find_offers(
        account,
        options.slot,
        options.architecture,
        options.types,
        options.excluded,
        subnets,
        prices_needed=options.max_price is None,
    )
    offers = fleet_file.within_limits(found)
    parts = fleet_file.Parts(
        image.image_id,
        outputs[Output.IAM_FLEET_ROLE_ARN],
        outputs[Output.INSTANCE_CONFIGURATION_PROFILE],
        group_id,
        outputs.get(Output.KEY_PAIR_NAME, ""),
    )
    return Fleet(image, offers, len(found) - len(offers), fleet_file.render(offers, parts, options.max_price))


def _document(offer: Offer) -> dict[str, object]:
    return {
        "instance_type": offer.machine.name,
        "vcpus": offer.machine.vcpus,
        "memory_mib": offer.machine.memory,
        "slots": offer.slots,
        "slot_hour": None if offer.slot_price is None else str(offer.slot_price),
        "subnets": list(offer.subnets),
    }


def _row(offer: Offer) -> list[str]:
    return [
        offer.machine.name,
        str(offer.machine.vcpus),
        f"{offer.machine.memory / MIB_A_GIB:.4g} GiB",
        str(offer.slots),
        "unknown" if offer.slot_price is None else f"{offer.slot_price:f}",
        str(len(offer.subnets)),
    ]
