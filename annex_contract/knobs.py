"""HTCondor's configuration macros ("knobs") that we write or read, and the limits of the files that they name.

Those with an output are knobs that ``condor_annex`` reads today (8.7.1 and later) and those of the 8.7.0 guide. Both
the stack's outputs and the configuration come from this module, so neither can drift from the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from annex_contract.stack import Output


@dataclass(frozen=True)
class Knob:
    """One HTCondor configuration macro, its value taken from one output.

    Attributes:
        name: the macro's name, without a region's prefix.
        output: the output whose value it gets.
        guide: whether it is the name that HTCondor's 8.7.0 guide used.
        regional: whether it is written with the region's prefix in the default region too: HTCondor has defaults of
            its own with the prefix of a region, and they beat a knob without one.
    """

    name: str
    output: Output
    guide: bool = False
    regional: bool = False


IMAGE_KNOB = "ANNEX_DEFAULT_ODI_IMAGE_ID"
"""The image of machines on demand."""

KNOBS: tuple[Knob, ...] = (
    Knob("ANNEX_DEFAULT_S3_BUCKET", Output.S3_BUCKET_NAME),
    Knob("ANNEX_DEFAULT_ODI_LEASE_FUNCTION_ARN", Output.LEASE_FUNCTION_ARN),
    Knob("ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN", Output.LEASE_FUNCTION_ARN),
    Knob("ANNEX_DEFAULT_CONNECTIVITY_FUNCTION_ARN", Output.CONNECTIVITY_FUNCTION_ARN),
    Knob("ANNEX_DEFAULT_ODI_INSTANCE_PROFILE_ARN", Output.INSTANCE_CONFIGURATION_PROFILE),
    Knob("ANNEX_DEFAULT_ODI_SECURITY_GROUP_IDS", Output.SECURITY_GROUP_ID),
    Knob("ANNEX_DEFAULT_ODI_KEY_NAME", Output.KEY_PAIR_NAME),
    Knob(IMAGE_KNOB, Output.IMAGE_ID, regional=True),
    Knob("ANNEX_DEFAULT_ODI_INSTANCE_TYPE", Output.INSTANCE_TYPE, regional=True),
    Knob("ANNEX_DEFAULT_LEASE_ARN", Output.LEASE_FUNCTION_ARN, guide=True),
    Knob("ANNEX_DEFAULT_INSTANCE_ROLE_ARN", Output.INSTANCE_CONFIGURATION_PROFILE, guide=True),
    Knob("ANNEX_DEFAULT_SECURITY_GROUP_ID", Output.SECURITY_GROUP_ID, guide=True),
    Knob("ANNEX_DEFAULT_IAM_FLEET_ROLE_ARN", Output.IAM_FLEET_ROLE_ARN, guide=True),
)

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

    Source: https://htcondor.readthedocs.io/en/latest/admin-manual/configuration-macros.html
    """

    ALLOW_ADVERTISE_MASTER = "ALLOW_ADVERTISE_MASTER"
    ALLOW_ADVERTISE_STARTD = "ALLOW_ADVERTISE_STARTD"
    ALLOW_DAEMON = "ALLOW_DAEMON"
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
