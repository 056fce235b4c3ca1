"""What a spot fleet may use: instance types that hold whole slots, with their prices and subnets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal

from annex_bootstrap.aws import Account
from annex_bootstrap.errors import UserError
from annex_bootstrap.machines import prices
from annex_bootstrap.machines.instance_types import InstanceType, Slot, choose, offered_zones, spot_types
from annex_bootstrap.machines.subnets import Subnet
from annex_contract.limits import Limits

MOST_SPECIFICATIONS = 300
"""Launch specifications that a spot fleet may have. Source: "Spot Fleet quotas" in the EC2 user guide."""

HUNDREDTH_OF_A_CENT = Decimal("0.0001")


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
        return None if self.price is None else (self.price / self.slots).quantize(HUNDREDTH_OF_A_CENT, ROUND_UP)


def find_offers(
    account: Account,
    slot: Slot,
    architecture: str,
    wanted: Sequence[str],
    excluded: Sequence[str],
    subnets: Mapping[str, Subnet],
    limits: Limits,
    *,
    prices_needed: bool,
) -> list[Offer]:
    """Return the instance types that a fleet can use, the cheapest slot first.

    Args:
        account: where.
        slot: what one slot gets.
        architecture: of the machines.
        wanted: patterns of types; empty for all.
        excluded: patterns of types.
        subnets: by zone.
        limits: of the stack, of which those on types count.
        prices_needed: whether it is an error that there are no prices.

    Raises:
        UserError: no type fits, AWS refused, or prices are needed and cannot be read.
    """
    found = choose(spot_types(account, architecture), slot, wanted, excluded)
    machines = [machine for machine in found if limits.allows(machine.name)]
    if found and not machines:
        raise UserError(
            f"the stack allows only the instance types {', '.join(limits.types)} (InstanceTypes), and none that fits "
            "is one of them: give --cpus or --memory less, or --types other patterns"
        )
    known: Mapping[str, Decimal] = {}
    if machines:
        try:
            known = prices.on_demand(account)
        except UserError as error:
            if prices_needed:
                raise UserError(f"{error}; or give --max-price, in dollars a slot-hour") from error
    offers = make_offers(machines, slot, known, offered_zones(account, subnets), subnets)
    if not offers:
        raise UserError(
            f"no current {architecture} spot instance type in {account.region} holds a slot of {slot.cpus} CPUs and "
            f"{slot.memory} MiB: give --cpus or --memory less, or --types other patterns"
        )
    return offers


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
