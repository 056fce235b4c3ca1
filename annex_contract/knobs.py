"""HTCondor's configuration macros that we write or read."""

from __future__ import annotations

from dataclasses import dataclass

from annex_contract.stack import Output


@dataclass(frozen=True)
class Knob:
    """One HTCondor configuration macro, its value taken from one output.

    Attributes:
        name: the macro's name, without a region's prefix.
        output: the output whose value it gets.
        guide: whether it is the name that HTCondor's 8.7.0 guide used.
    """

    name: str
    output: Output
    guide: bool = False


KNOBS: tuple[Knob, ...] = (
    Knob("ANNEX_DEFAULT_S3_BUCKET", Output.S3_BUCKET_NAME),
    Knob("ANNEX_DEFAULT_ODI_LEASE_FUNCTION_ARN", Output.LEASE_FUNCTION_ARN),
    Knob("ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN", Output.LEASE_FUNCTION_ARN),
    Knob("ANNEX_DEFAULT_CONNECTIVITY_FUNCTION_ARN", Output.CONNECTIVITY_FUNCTION_ARN),
    Knob("ANNEX_DEFAULT_ODI_INSTANCE_PROFILE_ARN", Output.INSTANCE_CONFIGURATION_PROFILE),
    Knob("ANNEX_DEFAULT_ODI_SECURITY_GROUP_IDS", Output.SECURITY_GROUP_ID),
    Knob("ANNEX_DEFAULT_ODI_KEY_NAME", Output.KEY_PAIR_NAME),
    Knob("ANNEX_DEFAULT_LEASE_ARN", Output.LEASE_FUNCTION_ARN, guide=True),
    Knob("ANNEX_DEFAULT_INSTANCE_ROLE_ARN", Output.INSTANCE_CONFIGURATION_PROFILE, guide=True),
    Knob("ANNEX_DEFAULT_SECURITY_GROUP_ID", Output.SECURITY_GROUP_ID, guide=True),
    Knob("ANNEX_DEFAULT_IAM_FLEET_ROLE_ARN", Output.IAM_FLEET_ROLE_ARN, guide=True),
)
