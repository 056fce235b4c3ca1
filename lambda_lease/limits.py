"""What is beyond the limits that a stack has on all its machines together: the newest machines, so the newest annex.

Neither tags nor names decide: people who start machines choose them, and would have other people's annexes end.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

from annex_contract.prices import PRICE_LIST_ENDPOINTS, asking, parse
from annex_contract.stack import Parameter
from lambda_lease import compute
from lambda_lease.annexes import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lambda_lease.clients import Clients
    from lambda_lease.settings import Settings

    Costs = Mapping[str, int] | Mapping[str, Decimal]


class NoPricesError(RuntimeError):
    """The partition has no price list."""


def beyond(machines: Sequence[compute.Machine], costs: Costs, most: int | Decimal) -> list[compute.Machine]:
    """Return the machines that have to end so that the others cost no more than is allowed. Pure.

    Args:
        machines: all that count.
        costs: of a machine of each type.
        most: that all may cost.

    Returns:
        Those whose cost is unknown, since no limit holds with them, and of the others the newest, as many as it takes.
    """
    known = [machine for machine in machines if machine.type in costs]
    ending = [machine for machine in machines if machine.type not in costs]
    total = sum((Decimal(costs[machine.type]) for machine in known), Decimal(0))
    for machine in sorted(
        known, key=lambda machine: (machine.started, machine.annex_id or "", machine.id), reverse=True
    ):
        if total <= most:
            break
        ending.append(machine)
        total -= costs[machine.type]
    return ending


def find_beyond(
    clients: Clients, settings: Settings, machines: Sequence[compute.Machine]
) -> tuple[dict[str, list[compute.Machine]], list[Failure]]:
    """Return the machines beyond each limit, by the limit's name, and the limits that could not be judged.

    Args:
        clients: the AWS clients.
        settings: the limits, and where.
        machines: all of the stack that are not ending for another reason.
    """
    limits = settings.limits
    found = {Parameter.INSTANCE_TYPES: [machine for machine in machines if not limits.allows(machine.type)]}
    failures = list[Failure]()

    def judge(limit: Parameter, most: int | Decimal | None, costs: Callable[[set[str]], Costs]) -> None:
        ending = {machine.id for listed in found.values() for machine in listed}
        left = [machine for machine in machines if machine.id not in ending]
        if most is None or not left:
            return
        # Any exception: while sizes or prices cannot be read nothing ends by them, and the alarm says why.
        try:
            found[limit] = beyond(left, costs({machine.type for machine in left}), most)
        except Exception as error:
            failures.append(Failure(f"hold {limit}", error))

    judge(Parameter.MAX_CORES, limits.cores, lambda types: compute.count_vcpus(clients.ec2, types))
    judge(Parameter.MAX_DOLLARS_PER_HOUR, limits.dollars, lambda types: read_prices(clients, settings, types))
    return {limit: listed for limit, listed in found.items() if listed}, failures


def read_prices(clients: Clients, settings: Settings, types: Iterable[str]) -> dict[str, Decimal]:
    """Return dollars an hour on demand by type; those of which AWS names no price are missing.

    Raises:
        NoPricesError: the partition has no price list.
        ClientError: AWS refused.
    """
    endpoint = PRICE_LIST_ENDPOINTS.get(settings.partition)
    if endpoint is None:
        raise NoPricesError(f"AWS has no price list in the partition {settings.partition}")
    client, prices = clients.pricing(endpoint), dict[str, Decimal]()
    for name in sorted(types):
        for page in client.get_paginator("get_products").paginate(**asking(settings.region, name)):
            prices |= parse(json.loads(product) for product in page["PriceList"])
    return prices
