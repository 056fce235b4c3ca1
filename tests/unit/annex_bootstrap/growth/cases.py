"""Readings for decisions about growth, given and generated."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import strategies as st

from annex_bootstrap.growth.model import Group, History, Lack, Machine, Market, Offer, Readings, Room, Rules, Slot
from annex_bootstrap.machines.money import Budget, Charge

NOW = 1_800_000_000
REGION, OTHER = "us-east-1", "us-west-2"
DISK = 8 * 1024 * 1024
KEYS = ("a", "b", "c", "d")


def group(
    key: str = "a", jobs: int = 1, *, cpus: int = 1, memory: int = 1024, age: int = 3600, **more: object
) -> Group:
    """Idle jobs of alice, all as old as each other."""
    made = Group(key, "alice", "", Room(cpus, memory), (NOW - age,) * jobs)
    return replace(made, **more)  # type: ignore[arg-type]  # fields of a group


def offer(name: str = "m7i.large", vcpus: int = 2, price: str = "0.10", **more: object) -> Offer:
    """A type with 4 GiB a core that suits everybody."""
    dollars = Decimal(price)
    made = Offer(
        name, REGION, spot=False, vcpus=vcpus, room=Room(vcpus, vcpus * 3800, DISK), most=dollars, now=dollars,
        fits=frozenset(KEYS),
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]  # fields of an offer


def machine(number: int, vcpus: int = 2, *, age: int = 100, joined: bool = False, **more: object) -> Machine:
    """A machine of alice's annex."""
    made = Machine(
        f"i-{number}", "grow-4g", REGION, "m7i.large", vcpus, spot=False, launched=NOW - age, joined=joined,
        busy=joined, room=Room(vcpus, vcpus * 3800, DISK), fits=frozenset(KEYS), most=Decimal("0.10"),
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]  # fields of a machine


some = st.frozensets(st.sampled_from(KEYS))
rooms = st.builds(Room, st.integers(1, 16), st.integers(256, 65536), st.just(DISK), st.just(0))


@st.composite
def groups(draw: st.DrawFn) -> list[Group]:
    """Some groups with different keys."""
    return [
        Group(
            key,
            draw(st.sampled_from(["alice", "bob"])),
            draw(st.sampled_from(["", "", "named"])),
            draw(st.builds(Room, st.integers(1, 8), st.integers(128, 32768))),
            tuple(sorted(NOW - age for age in draw(st.lists(st.integers(0, 4000), min_size=1, max_size=40)))),
            draw(st.booleans()),
        )
        for key in draw(st.lists(st.sampled_from(KEYS), unique=True))
    ]


offers = st.builds(
    lambda number, vcpus, memory, cents, fits, region, spot, unpriced: Offer(
        f"t{number}.{vcpus}", region, spot, vcpus, Room(vcpus, vcpus * memory, DISK),
        None if unpriced else Decimal(cents) / 100, None if unpriced else Decimal(cents) / 100, fits, ("z1", "z2"),
    ),
    st.integers(0, 9), st.sampled_from([1, 2, 4, 8, 16]), st.sampled_from([1800, 3800, 7600]), st.integers(1, 200),
    some, st.sampled_from([REGION, OTHER]), st.booleans(), st.booleans(),
)  # fmt: skip

machines = st.builds(
    lambda number, vcpus, age, joined, busy, fits: machine(
        number, vcpus, age=age, joined=joined, busy=busy and joined, fits=fits
    ),
    st.integers(0, 999), st.sampled_from([2, 4, 8]), st.integers(0, 2000), st.booleans(), st.booleans(), some,
)  # fmt: skip

lacks = st.builds(
    Lack, st.sampled_from([REGION, OTHER]), st.sampled_from(["", "z1", "z2"]), st.sampled_from(["", "t1.2", "t2.4"]),
    st.booleans(), st.integers(NOW - 100, NOW + 600),
)  # fmt: skip

readings = st.builds(
    Readings,
    groups=groups(),
    slots=st.lists(st.builds(Slot, rooms, some, st.booleans()), max_size=5),
    machines=st.lists(machines, max_size=5, unique_by=lambda one: one.instance_id),
    offers=st.lists(offers, max_size=8),
    charges=st.lists(
        st.builds(
            lambda cents, ago, hours: Charge(Decimal(cents) / 100, NOW - ago, NOW - ago + hours * 3600),
            st.integers(1, 200), st.integers(0, 100_000), st.integers(0, 30),
        ),
        max_size=4,
    ),
    quotas=st.dictionaries(st.tuples(st.sampled_from([REGION, OTHER]), st.booleans()), st.integers(0, 64)),
    history=st.builds(History, st.just({}), st.lists(lacks, max_size=3).map(tuple), st.integers(0, 9)),
)  # fmt: skip

budgets = st.none() | st.builds(
    lambda dollars, daily: Budget(Decimal(dollars), daily), st.integers(1, 100), st.booleans()
)

rules = st.builds(
    Rules,
    st.integers(0, 100),
    budgets,
    st.sampled_from(list(Market)),
    st.sampled_from([0, 600, 1200]),
    st.sampled_from([3600, 14400]),
    st.just("pool"),
    st.just((REGION, OTHER)),
    st.booleans(),
)
