"""The spot fleet file: in exactly the form that condor_annex reads, and what it costs. Pure.

Source of the form: the contract with HTCondor, "The spot fleet JSON": values of a launch specification are strings,
and condor_annex silently drops others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import Any

from annex_bootstrap.errors import UserError
from annex_bootstrap.machines.instance_types import InstanceType, Slot

MOST_SPECIFICATIONS = 300
"""Launch specifications that a spot fleet may have. Source: "Spot Fleet quotas" in the EC2 user guide."""

CENT_OF_A_CENT = Decimal("0.0001")
ALLOCATION = "lowestPrice"


@dataclass(frozen=True)
class Subnet:
    """A subnet that a fleet could use.

    Attributes:
        subnet_id: its ID.
        zone: its availability zone.
        public: whether machines get a public address in it, without which they rarely reach the pool.
        free: addresses left.
    """

    subnet_id: str
    zone: str
    public: bool
    free: int


@dataclass(frozen=True)
class Image:
    """A machine image.

    Attributes:
        image_id: its ID.
        name: its name.
        created: ISO 8601 time, which sorts as text.
        architecture: ``x86_64`` or ``arm64``.
    """

    image_id: str
    name: str
    created: str
    architecture: str


@dataclass(frozen=True)
class Offer:
    """One instance type in a fleet.

    Attributes:
        machine: the type.
        slots: how many it holds; the weight.
        price: dollars an hour on demand; None where it is not known.
        subnets: IDs of the subnets in zones that offer it.
    """

    machine: InstanceType
    slots: int
    price: Decimal | None
    subnets: tuple[str, ...]

    @property
    def slot_price(self) -> Decimal | None:
        """Dollars a slot-hour on demand, rounded up to a hundredth of a cent."""
        return None if self.price is None else (self.price / self.slots).quantize(CENT_OF_A_CENT, ROUND_UP)


@dataclass(frozen=True)
class Parts:
    """What all machines of a fleet share.

    Attributes:
        image_id: the image.
        fleet_role_arn: the role of the fleet.
        profile_arn: the instance profile of its machines.
        group_id: their security group.
        key_name: their key pair; empty for none.
    """

    image_id: str
    fleet_role_arn: str
    profile_arn: str
    group_id: str
    key_name: str = ""


def newest(images: Sequence[Image]) -> Image | None:
    """Return the image that was made last, or None."""
    return max(images, key=lambda image: (image.created, image.image_id), default=None)


def one_subnet_a_zone(subnets: Sequence[Subnet]) -> dict[str, Subnet]:
    """Choose a subnet for each zone, since a fleet may not have two of one zone: a public one, then the emptiest."""
    chosen: dict[str, Subnet] = {}
    for subnet in sorted(subnets, key=lambda subnet: (subnet.public, subnet.free, subnet.subnet_id)):
        chosen[subnet.zone] = subnet
    return chosen


def make_offers(
    machines: Sequence[InstanceType],
    slot: Slot,
    prices: Mapping[str, Decimal],
    offered: Mapping[str, set[str]],
    subnets: Mapping[str, Subnet],
) -> list[Offer]:
    """Put together what is known about each type.

    Args:
        machines: the types to use.
        slot: what one slot gets.
        prices: dollars an hour by type.
        offered: zones by type.
        subnets: by zone.

    Returns:
        The types that are offered anywhere, the cheapest slot first, those of unknown price last.
    """
    offers = [
        Offer(
            machine,
            slot.fit(machine),
            prices.get(machine.name),
            tuple(subnets[zone].subnet_id for zone in sorted(offered.get(machine.name, ())) if zone in subnets),
        )
        for machine in machines
    ]
    return sorted(
        (offer for offer in offers if offer.subnets),
        key=lambda offer: (
            offer.price is None,
            offer.price / offer.slots if offer.price is not None else Decimal(0),
            offer.machine.name,
        ),
    )


def within_limits(offers: Sequence[Offer]) -> list[Offer]:
    """Return the first offers, as many as fit in one fleet.

    AWS counts a launch specification for each pair of type and subnet.
    """
    kept, count = [], 0
    for offer in offers:
        count += len(offer.subnets)
        if count > MOST_SPECIFICATIONS:
            break
        kept.append(offer)
    return kept


def bid(offers: Sequence[Offer], most: Decimal | None) -> Decimal:
    """Return the most that a fleet pays a slot-hour.

    Args:
        offers: of the fleet.
        most: the user's limit; None for the on-demand price.

    Raises:
        UserError: neither is known.
    """
    if most is not None:
        return most
    known = [offer.slot_price for offer in offers if offer.slot_price is not None]
    if not known:
        raise UserError("AWS's price list has no price for these types: give --max-price, in dollars a slot-hour")
    return max(known)


def render(offers: Sequence[Offer], parts: Parts, most: Decimal | None) -> str:
    """Return the file's text.

    Args:
        offers: at least one.
        parts: what all machines share.
        most: dollars a slot-hour to pay at most; None for each type's on-demand price.

    Raises:
        UserError: no price is known.
    """
    common = bid(offers, most)
    specifications = [
        _specification(offer, subnet, parts, most or offer.slot_price or common)
        for offer in offers
        for subnet in offer.subnets
    ]
    config = {
        "SpotPrice": _price(common),
        "IamFleetRole": parts.fleet_role_arn,
        "AllocationStrategy": ALLOCATION,
        # condor_annex -slots takes its place.
        "TargetCapacity": 1,
        "LaunchSpecifications": specifications,
    }
    return json.dumps(config, indent=2) + "\n"


def _specification(offer: Offer, subnet: str, parts: Parts, price: Decimal) -> dict[str, Any]:
    return {
        "ImageId": parts.image_id,
        "InstanceType": offer.machine.name,
        "WeightedCapacity": str(offer.slots),
        "SpotPrice": _price(price),
        "SubnetId": subnet,
        "IamInstanceProfile": {"Arn": parts.profile_arn},
        "SecurityGroups": [{"GroupId": parts.group_id}],
        **({"KeyName": parts.key_name} if parts.key_name else {}),
    }


def _price(price: Decimal) -> str:
    return f"{price:f}"
