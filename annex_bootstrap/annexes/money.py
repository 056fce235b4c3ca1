"""What an annex with a limit of money may have spent, and until when what is left lasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal

from annex_bootstrap.annexes.leases import NOTHING, Lease, Leases, Machines
from annex_bootstrap.errors import UserError
from annex_bootstrap.machines import prices
from annex_bootstrap.machines.money import FOREVER, Allowance, Charge, lasts_until
from annex_bootstrap.times import clock

CENT = Decimal("0.01")


@dataclass(frozen=True)
class Balance:
    """What an annex costs, at most.

    Attributes:
        spent: dollars by now.
        running: dollars an hour of each machine that runs.
    """

    spent: Decimal
    running: Sequence[Decimal]

    @property
    def per_hour(self) -> Decimal:
        """Dollars an hour of all machines that run."""
        return sum(self.running, Decimal(0))


def balance(
    allowance: Allowance | None,
    machines: Machines,
    ended: Sequence[tuple[str, int, int]],
    known: Mapping[str, Decimal],
    extras: Decimal,
    now: int,
) -> Balance | None:
    """Return what an annex costs; None where a price is unknown. Pure.

    Args:
        allowance: that its lease has; None where what it spends begins to be limited now.
        machines: what runs for it.
        ended: as ``Leases.ended`` returns them.
        known: dollars an hour on demand, by type; spot machines of ``start`` cost no more.
        extras: dollars an hour that each machine costs besides.
        now: seconds since the epoch.
    """
    since = -1 if allowance is None else allowance.since
    lately = [each for each in ended if each[2] > since]
    if any(name not in known for name in {*machines.types, *(name for name, _, _ in lately)}):
        return None
    running = [known[name] + extras for name, _ in machines.since]
    if allowance is not None:
        return Balance(
            allowance.spent_by(now, running, [(known[name] + extras, end) for name, _, end in lately]), running
        )
    charges = [
        *(Charge(known[name] + extras, int(begun.timestamp()), now) for name, begun in machines.since),
        *(Charge(known[name] + extras, begun, end) for name, begun, end in lately),
    ]
    return Balance(sum((charge.within(0, FOREVER) for charge in charges), Decimal(0)) / 3600, running)


def read_balance(
    leases: Leases, annex_id: str, allowance: Allowance | None, extras: Decimal, now: int, *, with_ended: bool = True
) -> Balance:
    """Return what an annex costs.

    Args:
        leases: where.
        annex_id: of the annex.
        allowance: that it has; None where what it spends begins to be limited now.
        extras: dollars an hour that each machine costs besides.
        now: seconds since the epoch.
        with_ended: whether machines that ended lately count: not those of an earlier annex of that name.

    Raises:
        UserError: AWS refused, a price is unknown, or a fleet may start more machines.
    """
    machines = leases.machines().get(annex_id, NOTHING)
    if machines.fleets:
        raise UserError(
            f"a fleet or spot request of {annex_id} may start more machines at any time, so nobody can say what it "
            "spends: give another name, or end it first"
        )
    ended = leases.ended(annex_id) if with_ended else []
    names = {*machines.types, *(name for name, _, _ in ended)}
    known = prices.on_demand(leases.account, names) if names else {}
    found = balance(allowance, machines, ended, known, extras, now)
    if found is None:
        raise UserError(
            f"AWS names no price of {', '.join(sorted(names - known.keys()))} in {leases.account.region}, so nobody "
            f"can say what {annex_id} has spent: end it with annex-bootstrap leases end {annex_id}"
        )
    return found


def check_extension(leases: Leases, lease: Lease, until: int, now: int) -> None:
    """Refuse to let a lease end later than its money lasts, or than the stack lets its machines run.

    Args:
        leases: where.
        lease: of the annex.
        until: when it is to end, in seconds since the epoch.
        now: the same.

    Raises:
        UserError: it would; or AWS refused.
    """
    if leases.max_seconds is not None:
        begun = [time.timestamp() for _, time in leases.machines().get(lease.annex_id, NOTHING).since]
        last = int(min(begun, default=now)) + leases.max_seconds
        if until > last:
            raise UserError(
                f"the stack lets a machine run {leases.max_seconds // 3600} hours (MaxLeaseHours), so the lease of "
                f"{lease.annex_id} must not end after {clock(last)}: start other machines for the time after that"
            )
    allowance = lease.allowance
    if allowance is None:
        return
    found = read_balance(leases, lease.annex_id, allowance, allowance.extras, now)
    if not found.running:
        return
    last = lasts_until(allowance.dollars - found.spent, found.per_hour, now)
    if until > last:
        raise UserError(
            f"the ${allowance.dollars} of {lease.annex_id} may be spent by {clock(max(last, now))}, so its lease must "
            f"not end later: add money with annex-bootstrap start {lease.annex_id} --max-dollars and a larger sum"
        )


def cents(dollars: Decimal) -> Decimal:
    """Return dollars rounded up to cents."""
    return dollars.quantize(CENT, ROUND_UP)
