"""HTCondor's configuration macros ("knobs") that we write or read, and the limits of the files that they name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from annex_contract.outputs import OUTPUTS
from annex_contract.stack import Output


@dataclass(frozen=True)
class Knob:
    """One HTCondor configuration macro that takes the value of an output.

    Attributes:
        name: the macro's name, without a region's prefix.
        output: the output whose value it gets.
        guide: whether it is the name that HTCondor's 8.7.0 guide used.
        regional: whether it is written with the region's prefix in the default region too.
    """

    name: str
    output: Output
    guide: bool
    regional: bool


KNOBS = (
    *(Knob(name, output, False, rule.regional) for output, rule in OUTPUTS.items() for name in rule.knobs),
    *(Knob(name, output, True, rule.regional) for output, rule in OUTPUTS.items() for name in rule.guide_knobs),
)
"""The knobs of all outputs, in the order in which a configuration has them."""

(IMAGE_KNOB,) = OUTPUTS[Output.IMAGE_ID].knobs
"""The image of machines on demand."""

REGION_KNOB = "ANNEX_DEFAULT_AWS_REGION"
"""The region of annexes for which the user names none."""

REGIONS_WITH_IMAGE = frozenset(
    {
        "ap-northeast-1",
        "ap-northeast-2",
        "ap-south-1",
        "ca-central-1",
        "eu-central-1",
        "eu-north-1",
        "eu-west-1",
        "eu-west-2",
        "eu-west-3",
        "sa-east-1",
        "us-east-1",
        "us-east-2",
        "us-west-1",
        "us-west-2",
    }
)
"""Where HTCondor has an image of its own, of 8.8 or 8.9, which goes before a user's knob without the region's prefix.
Source: ``condor_config_val -local-name us_east_1 ANNEX_DEFAULT_ODI_IMAGE_ID`` and so on, of 23.9.6 and 25.14.1."""

FLEET_KNOBS = ("ANNEX_DEFAULT_SFR_CONFIG_FILE", "ANNEX_DEFAULT_SPOT_FLEET_CONFIG_FILE")
"""The spot fleet file: the name of today, and the one in the 8.7.0 guide."""

ACCESS_KEY_KNOB = "ANNEX_DEFAULT_ACCESS_KEY_FILE"
SECRET_KEY_KNOB = "ANNEX_DEFAULT_SECRET_KEY_FILE"

MOST_ATTRIBUTES = 11
"""Top-level attributes of a spot fleet file that condor_annex takes. Source: HTCondor's ``src/condor_annex``."""

DEFAULT_PORT = 9618
"""HTCondor's registered TCP port: of a collector, and of a shared port."""


class Macro(StrEnum):
    """The other macros that we write into a pool's configuration or ask HTCondor for.

    ANNEX_BOOTSTRAP_COLLECTOR is ours: where machines find the collector, if that is not COLLECTOR_HOST. So is
    ANNEX_BOOTSTRAP_STACKS: the stacks that root's configuration names, each as ``NAME@REGION``.

    Source: https://htcondor.readthedocs.io/en/latest/admin-manual/configuration-macros.html
    """

    ALLOW_ADVERTISE_MASTER = "ALLOW_ADVERTISE_MASTER"
    ALLOW_ADVERTISE_STARTD = "ALLOW_ADVERTISE_STARTD"
    ALLOW_DAEMON = "ALLOW_DAEMON"
    ANNEX_BOOTSTRAP_COLLECTOR = "ANNEX_BOOTSTRAP_COLLECTOR"
    ANNEX_BOOTSTRAP_STACKS = "ANNEX_BOOTSTRAP_STACKS"
    ANNEX_COLLECTOR = "ANNEX_COLLECTOR"
    ANNEX_TOKEN_DOMAIN = "ANNEX_TOKEN_DOMAIN"
    ANNEX_TOKEN_KEY_NAME = "ANNEX_TOKEN_KEY_NAME"
    ANNEX_TOKEN_LIFETIME = "ANNEX_TOKEN_LIFETIME"
    ANNEX_USE_OLD_CREATE = "ANNEX_USE_OLD_CREATE"
    COLLECTOR_HOST = "COLLECTOR_HOST"
    CONDOR_HOST = "CONDOR_HOST"
    DAEMON_LIST = "DAEMON_LIST"
    HPC_ANNEX_ENABLED = "HPC_ANNEX_ENABLED"
    JOB_TRANSFORM_NAMES = "JOB_TRANSFORM_NAMES"
    LOCAL_CONFIG_DIR = "LOCAL_CONFIG_DIR"
    LOCAL_CONFIG_FILE = "LOCAL_CONFIG_FILE"
    SCHEDD_COLLECTOR_HOST = "SCHEDD.COLLECTOR_HOST"
    SEC_DEFAULT_AUTHENTICATION_METHODS = "SEC_DEFAULT_AUTHENTICATION_METHODS"
    SEC_PASSWORD_FILE = "SEC_PASSWORD_FILE"
    SEC_TOKEN_POOL_SIGNING_KEY_FILE = "SEC_TOKEN_POOL_SIGNING_KEY_FILE"
    SHARED_PORT_PORT = "SHARED_PORT_PORT"
    TCP_FORWARDING_HOST = "TCP_FORWARDING_HOST"
    UID_DOMAIN = "UID_DOMAIN"
    USER_CONFIG_FILE = "USER_CONFIG_FILE"
    USE_SHARED_PORT = "USE_SHARED_PORT"


def methods_of(context: str) -> str:
    """Return the macro with the authentication methods of a context.

    Args:
        context: such as ``DAEMON``.
    """
    return f"SEC_{context}_AUTHENTICATION_METHODS"
