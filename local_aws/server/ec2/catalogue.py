"""A few instance types, where they are offered and what they cost: enough for every rule of choosing among them.

Sizes are those of the real types. Prices and zones are made up, so that nobody takes them for AWS's.
"""

from __future__ import annotations

from dataclasses import dataclass

from local_aws.server import account

GIB = 1024


@dataclass(frozen=True)
class InstanceType:
    """One instance type.

    Attributes:
        name: such as ``c7i.large``.
        vcpus: how many.
        memory: MiB.
        price: US dollars an hour on demand; empty where the price list has none.
        architecture: ``x86_64`` or ``arm64``.
        current: whether it is of the current generation.
        spot: whether it can be had as a spot instance.
        bare_metal: whether it has no hypervisor.
        burstable: whether it gives full CPU only for a while.
        zones: the letters of the availability zones that offer it.
    """

    name: str
    vcpus: int
    memory: int
    price: str
    architecture: str = "x86_64"
    current: bool = True
    spot: bool = True
    bare_metal: bool = False
    burstable: bool = False
    zones: str = "abc"


_USUAL: dict[str, InstanceType] = {
    instance_type.name: instance_type
    for instance_type in (
        InstanceType("c7i.large", 2, 4 * GIB, "0.0892500000"),
        InstanceType("c7i.xlarge", 4, 8 * GIB, "0.1785000000"),
        InstanceType("c7i.4xlarge", 16, 32 * GIB, "0.7140000000", zones="ab"),
        InstanceType("m7i.large", 2, 8 * GIB, "0.1008000000"),
        InstanceType("m7i.2xlarge", 8, 32 * GIB, "0.4032000000", zones="c"),
        InstanceType("r7i.large", 2, 16 * GIB, "0.1323000000"),
        InstanceType("c7g.large", 2, 4 * GIB, "0.0725000000", architecture="arm64"),
        InstanceType("m5.large", 2, 8 * GIB, "0.0960000000", current=False),
        InstanceType("t3.medium", 2, 4 * GIB, "0.0416000000", burstable=True),
        InstanceType("t3.nano", 2, GIB // 2, "0.0052000000", burstable=True),
        InstanceType("c7i.metal-24xl", 96, 192 * GIB, "4.2840000000", bare_metal=True),
        InstanceType("hpc7a.96xlarge", 192, 768 * GIB, "7.2000000000", spot=False),
        InstanceType("x8i.large", 2, 32 * GIB, "", zones="a"),
    )
}

_FREE_PLAN: dict[str, InstanceType] = {
    instance_type.name: instance_type
    for instance_type in (
        InstanceType("t3.micro", 2, GIB, "0.0104000000", burstable=True),
        InstanceType("t3.small", 2, 2 * GIB, "0.0208000000", burstable=True),
        InstanceType("t4g.micro", 2, GIB, "0.0084000000", architecture="arm64", burstable=True),
        InstanceType("t4g.small", 2, 2 * GIB, "0.0168000000", architecture="arm64", burstable=True),
        InstanceType("c7i-flex.large", 2, 4 * GIB, "0.0847900000"),
        InstanceType("m7i-flex.large", 2, 8 * GIB, "0.0957600000"),
    )
}
"""The types that an account on the free plan may start, seen in https://github.com/RhinoSecurityLabs/cloudgoat/issues/375.

Only such an account has them here: in others they would be one more size of what is there.
"""

FREE_PLAN = frozenset(_FREE_PLAN)


def instance_types() -> dict[str, InstanceType]:
    """Return every type by its name."""
    return {**_USUAL, **(_FREE_PLAN if account.settings().free_plan else {})}
