"""The spot fleet file: in exactly the form that condor_annex reads. Pure.

Source of the form: the contract with HTCondor, "The spot fleet JSON": values of a launch specification are strings,
and condor_annex silently drops others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from annex_bootstrap.errors import UserError
from annex_bootstrap.machines.offers import Offer

ALLOCATION = "lowestPrice"


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


def tag_options(tags: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the options of condor_annex that tag a spot fleet's machines, and the keys of tags that it cannot give.

    It takes no tags from the file, tags no fleet, and cuts the list of tags at blanks: ``validateAndStore`` in
    https://github.com/htcondor/htcondor/blob/v23.9.6/src/annex/BulkRequest.cpp

    Args:
        tags: to give.
    """
    told = {key: value for key, value in tags.items() if " " not in value}
    options = tuple(word for key, value in told.items() for word in ("-tag", key, value))
    return options, tuple(key for key in tags if key not in told)


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
