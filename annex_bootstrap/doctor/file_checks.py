"""What can be wrong in the user's files: the configuration, the keys and the spot fleet file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from annex_bootstrap.annexes.overview import can_start
from annex_bootstrap.aws import explained
from annex_bootstrap.doctor.check import Check, Finding, Setup
from annex_bootstrap.errors import UserError
from annex_bootstrap.machines.instance_types import offered_zones
from annex_bootstrap.policies.users import FROM_INSTANCE
from annex_bootstrap.pool.file_knobs import overridden_knobs
from annex_bootstrap.pool.files import read_private, why_not_private
from annex_contract.knobs import ACCESS_KEY_KNOB, KNOBS, MOST_ATTRIBUTES, SECRET_KEY_KNOB

_WRITE_AGAIN = "run annex-bootstrap fleet-config"


@dataclass(frozen=True)
class ConfigurationCheck(Check):
    """The configuration names the stack.

    Attributes:
        path: of the configuration file.
        content: of it.
        region: the stack's.
        outputs: of the stack.
        values: what the configuration says, by knob; of those that the outputs make.
        unevaluated: what to add where that may be something else to HTCondor.
    """

    id = "configuration"
    subject = "configuration"

    path: Path
    content: bytes
    region: str
    outputs: Mapping[str, str]
    values: Mapping[str, str]
    unevaluated: str = ""

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        if setup.deployed is None:
            return None
        values = {knob.name: setup.knob(knob.name) for knob in KNOBS}
        outputs = setup.deployed.outputs
        return cls(setup.config, setup.content, setup.account.region, outputs, values, setup.unevaluated)

    def judge(self) -> Finding:
        knobs = [knob for knob in KNOBS if not knob.guide and knob.output in self.outputs]
        wrong = [knob.name for knob in knobs if self.values.get(knob.name, "") != self.outputs[knob.output]]
        if not wrong:
            return self.ok(f"{self.path} names the stack")
        detail = f"{self.path} differs from the stack in {', '.join(wrong)}{self.unevaluated}"
        try:
            overriding = overridden_knobs(self.content, self.region)
        except UserError:
            # pull-config says how to repair the block.
            overriding = []
        if {name.rpartition(".")[2] for name in overriding} >= set(wrong):
            return self.problem(detail, f"delete {', '.join(overriding)} outside the stack's block")
        return self.problem(detail, f"run annex-bootstrap pull-config --region {self.region}")


@dataclass(frozen=True)
class Keys(Check):
    """condor_annex has credentials that nobody else can read.

    Attributes:
        access: the file that holds the key ID, as the configuration names it; empty where it names none.
        secret: the same of the secret.
        unevaluated: what to add where that may be something else to HTCondor.
        needed: whether annexes start with these credentials only.
    """

    id = "annex-credentials"
    subject = "credentials of condor_annex"

    access: str
    secret: str
    unevaluated: str = ""
    needed: bool = True

    @classmethod
    def read(cls, setup: Setup) -> Self:
        needed = setup.deployed is None or not can_start(setup.deployed, setup.condor)
        return cls(setup.knob(ACCESS_KEY_KNOB), setup.knob(SECRET_KEY_KNOB), setup.unevaluated, needed)

    def judge(self) -> Finding:
        access, secret = self.access, self.secret
        if "$" in access + secret:
            detail = f"{access} and {secret} were not evaluated: that needs HTCondor, which is not on this machine"
            return self.skipped(detail, "run doctor where condor_config_val is in the PATH")
        if access == secret == FROM_INSTANCE:
            return self.ok("the role of the machine it runs on")
        if not (access or secret or self.needed):
            advice = "for annexes that HTCondor's own commands start, run annex-bootstrap credentials"
            return self.skipped("none, and annex-bootstrap start needs none", advice)
        if not access or not secret:
            detail = f"the configuration names no key files{self.unevaluated}"
            return self.problem(detail, "run annex-bootstrap credentials")
        for path in (Path(access), Path(secret)):
            reason = why_not_private(path)
            if reason:
                return self.problem(reason, f"run chmod 600 {path} if it is yours, or annex-bootstrap credentials")
            if not (read_private(path) or b"").strip():
                return self.problem(f"{path} is empty", "run annex-bootstrap credentials --rotate")
        return self.ok(f"{access} and {secret} can be read by you only")


@dataclass(frozen=True)
class FleetFile(Check):
    """The spot fleet file has the form that condor_annex reads.

    Attributes:
        path: of the file; empty where the configuration names none.
        text: of it; None where it cannot be read.
    """

    id = "fleet-file"
    subject = "spot fleet file"

    path: str
    text: str | None

    @classmethod
    def read(cls, setup: Setup) -> Self:
        return cls(setup.fleet_file, setup.fleet_text)

    def judge(self) -> Finding:
        if not self.path:
            return self.skipped("none is named", f"for spot annexes {_WRITE_AGAIN}")
        if self.text is None:
            return self.problem(f"{self.path} is not there", _WRITE_AGAIN)
        wrong = fleet_problems(self.text)
        if wrong:
            return self.problem(f"{self.path}: {'; '.join(wrong)}", f"{_WRITE_AGAIN} to write it again")
        return self.ok(f"{self.path} has the form that condor_annex reads")


@dataclass(frozen=True)
class _Offered(Check):
    """AWS still offers everything that the fleet file names.

    Attributes:
        named: what the file names.
        offered: what AWS has.
    """

    key: ClassVar[str]

    named: set[str]
    offered: set[str]

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        if setup.fleet_text is None or fleet_problems(setup.fleet_text):
            return None
        named = named_in_fleet(setup.fleet_text, cls.key)
        return cls(named, set(cls.find_offered(setup, named)))

    @classmethod
    def find_offered(cls, setup: Setup, named: set[str]) -> Iterable[str]:
        """Return what AWS has of the things that are named."""
        raise NotImplementedError

    def judge(self) -> Finding:
        missing = sorted(self.named - self.offered)
        if missing:
            return self.problem(f"no longer offered: {', '.join(missing)}", f"{_WRITE_AGAIN} again")
        return self.ok(f"all {len(self.named)} are offered")


@dataclass(frozen=True)
class FleetImages(_Offered):
    """AWS still has the images that the fleet file names."""

    id = "fleet-images"
    subject = "images of the fleet file"
    key = "ImageId"

    @classmethod
    def find_offered(cls, setup: Setup, named: set[str]) -> Iterable[str]:
        with explained("checking the fleet's images"):
            # By a filter, since one unknown ID in a list of IDs is an error of the whole call.
            found = setup.account.ec2.describe_images(Filters=[{"Name": "image-id", "Values": sorted(named)}])
        return [image["ImageId"] for image in found["Images"]]


@dataclass(frozen=True)
class FleetTypes(_Offered):
    """AWS still offers the instance types that the fleet file names."""

    id = "fleet-types"
    subject = "types of the fleet file"
    key = "InstanceType"

    @classmethod
    def find_offered(cls, setup: Setup, named: set[str]) -> Iterable[str]:
        del named
        with explained("checking the fleet's subnets"):
            zones = {subnet["AvailabilityZone"] for subnet in setup.account.ec2.describe_subnets()["Subnets"]}
        return offered_zones(setup.account, zones)


def fleet_problems(text: str) -> list[str]:
    """Return what condor_annex would refuse in a fleet file, or drop silently."""
    try:
        config = json.loads(text)
        specifications = config["LaunchSpecifications"]
    except (ValueError, TypeError, KeyError):
        return ["it is not a JSON object with LaunchSpecifications"]
    wrong = [
        f"{name} must be a string" for name in ("SpotPrice", "IamFleetRole") if not isinstance(config.get(name), str)
    ]
    if len(config) > MOST_ATTRIBUTES:
        wrong.append(f"it has more than {MOST_ATTRIBUTES} attributes")
    if not isinstance(specifications, list) or not all(
        isinstance(specification, dict) for specification in specifications
    ):
        return [*wrong, "LaunchSpecifications must be a list of objects"]
    strings = ("ImageId", "InstanceType", "SpotPrice", "KeyName", "SubnetId", "UserData", "WeightedCapacity")
    bad = {
        name for specification in specifications for name in strings if not isinstance(specification.get(name, ""), str)
    }
    wrong += [f"{name} must be a string in every launch specification" for name in sorted(bad)]
    if not specifications:
        wrong.append("it has no launch specification")
    return wrong


def named_in_fleet(text: str, key: str) -> set[str]:
    """Return what the launch specifications of a fleet file of the right form have under a key."""
    return {specification[key] for specification in json.loads(text)["LaunchSpecifications"] if key in specification}
