"""What can be wrong with a setup: one function for each check, from facts to a finding. Pure except for file modes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from annex_bootstrap.annexes.users import FROM_INSTANCE
from annex_bootstrap.errors import DeniedError, UserError
from annex_bootstrap.fleet.quotas import increase_command
from annex_bootstrap.pool.file_knobs import beaten_knobs, read_knob
from annex_bootstrap.pool.private_files import read_private, why_not_private
from annex_bootstrap.stack import sweep
from annex_bootstrap.stack.image import StackImage
from annex_bootstrap.stack.read import Stack
from annex_contract.knobs import ACCESS_KEY_KNOB, FLEET_KNOBS, KNOBS, MOST_ATTRIBUTES, SECRET_KEY_KNOB
from annex_contract.operating_system import SYSTEM
from annex_contract.stack import SPOT_FLEET_SERVICE

LEAST_VCPUS = 2
"""Of one machine of the stack's default type."""

AMPLE_VCPUS = 64
"""A quota below this, as of a new account, keeps annexes small."""


class Level(StrEnum):
    """The result of a check."""

    OK = "OK"
    PROBLEM = "PROBLEM"
    SKIPPED = "SKIPPED"


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        subject: what was checked.
        level: the result.
        detail: what was seen.
        advice: what to do; empty if all is well.
        commands: lines to paste, for the advice.
    """

    subject: str
    level: Level
    detail: str
    advice: str = ""
    commands: tuple[str, ...] = ()


def ok(subject: str, detail: str) -> Finding:
    """Return the finding that all is well."""
    return Finding(subject, Level.OK, detail)


def problem(subject: str, detail: str, advice: str) -> Finding:
    """Return the finding that something is wrong."""
    return Finding(subject, Level.PROBLEM, detail, advice)


def skipped(subject: str, detail: str, advice: str) -> Finding:
    """Return the finding that something was not asked for, or cannot be checked from here."""
    return Finding(subject, Level.SKIPPED, detail, advice)


def check_stack(name: str, stack: Stack | None, version: str) -> Finding:
    """Check that the stack is deployed, by this version of the client.

    Args:
        name: of the stack.
        stack: as it is; None where there is none.
        version: of this client.
    """
    subject = "stack"
    if stack is None:
        return problem(subject, f"there is no stack {name}", "run annex-bootstrap deploy")
    if not stack.is_deployed:
        return problem(
            subject, f"{name} is in {stack.status}", "run annex-bootstrap deploy, which fixes or explains it"
        )
    if stack.version != version:
        detail = f"{name} has version {stack.version}, this client {version}"
        return problem(
            subject, detail, "run annex-bootstrap deploy to update it, or install the client of that version"
        )
    return ok(subject, f"{name} {stack.status}, version {version}")


def check_quota(region: str, on_demand: int, spot: int) -> Finding:
    """Check that the account may run machines, and say how to ask for more where it may run few.

    Args:
        region: where.
        on_demand: vCPUs that may run at once on demand.
        spot: vCPUs that may run at once on the spot market.
    """
    detail = f"{on_demand} on demand, {spot} on the spot market"
    commands = tuple(
        increase_command(region, AMPLE_VCPUS, spot=is_spot)
        for is_spot, limit in ((False, on_demand), (True, spot))
        if limit < AMPLE_VCPUS
    )
    enough = on_demand >= LEAST_VCPUS
    advice = ""
    if commands:
        purpose = "for larger annexes" if enough else "before the first annex"
        advice = f"{purpose} ask AWS for more, which may take days:"
    return Finding("quota of vCPUs", Level.OK if enough else Level.PROBLEM, detail, advice, commands)


def unread_quota(error: UserError) -> Finding:
    """Return the finding that the quota cannot be read."""
    policy = "ask your administrator for what `annex-bootstrap policy operator` prints"
    return skipped("quota of vCPUs", "it cannot be read", policy if isinstance(error, DeniedError) else str(error))


def check_bucket(name: str, blocks: Mapping[str, Any] | None) -> Finding:
    """Check that the bucket exists and is closed to the public.

    Args:
        name: of the bucket.
        blocks: its public access blocks by name; None where there is no such bucket.
    """
    subject = "bucket"
    if blocks is None:
        return problem(subject, f"{name} is gone", "delete the stack and deploy it again: annexes need a bucket")
    open_blocks = sorted(key for key, value in blocks.items() if value is not True)
    if len(blocks) < 4 or open_blocks:
        detail = f"{name} is not closed to the public ({', '.join(open_blocks) or 'no block is set'})"
        return problem(subject, detail, "switch on Block all public access: it holds the pool password for a while")
    return ok(subject, f"{name} is closed to the public")


def check_function(subject: str, state: str, reason: str, errors: Sequence[str]) -> Finding:
    """Check that a function can run, and has not failed lately.

    Args:
        subject: which function.
        state: as Lambda says; empty where there is none.
        reason: why it has that state.
        errors: its last error lines, the newest last.
    """
    if not state:
        return problem(subject, "it is gone", "delete the stack and deploy it again")
    if state not in ("Active", "Inactive"):
        return problem(subject, f"it is {state}: {reason}", "run annex-bootstrap deploy, or check it in the console")
    if errors:
        detail = f"{len(errors)} error lines in the last day, the last: {errors[-1]}"
        return problem(subject, detail, "read its log: annexes may keep running after their lease")
    return ok(subject, f"{state}, no error in the last day")


def check_sweep(age: float, calls: float, refused: float) -> Finding:
    """Check that EventBridge calls the lease function, as the orphan check makes it do every hour.

    Args:
        age: seconds since the stack was created or last updated.
        calls: of the lease function in the last `sweep.HOURS` hours.
        refused: orphan checks that EventBridge could not deliver in that time.
    """
    subject = "orphan check"
    if refused:
        detail = f"EventBridge could not call the lease function {_times(refused)} in the last {sweep.HOURS} hours"
        return problem(subject, detail, "run annex-bootstrap deploy; until it can, leases do not end annexes")
    if calls:
        return ok(subject, f"the lease function was called {_times(calls)} in the last {sweep.HOURS} hours")
    if age < sweep.HOURS * 3600:
        return skipped(subject, "the stack is new, and nothing has called the lease function yet", "try again later")
    detail = f"nothing has called the lease function in the last {sweep.HOURS} hours"
    return problem(subject, detail, "enable the rule SweepRule in the EventBridge console, or deploy the stack again")


def _times(count: float) -> str:
    return "once" if count == 1 else f"{count:.0f} times"


def check_profile(arn: str, roles: Sequence[str] | None, expected_role: str) -> Finding:
    """Check that the instance profile contains the machines' role.

    Args:
        arn: of the profile.
        roles: ARNs of the roles in it; None where there is no such profile.
        expected_role: ARN of the role that must be in it.
    """
    subject = "instance profile"
    if roles is None:
        return problem(subject, f"{arn} is gone", "delete the stack and deploy it again")
    if expected_role not in roles:
        return problem(subject, f"{arn} does not hold {expected_role}", "put the role back, or deploy the stack again")
    return ok(subject, "holds the machines' role")


def check_fleet_role(arn: str, trusted: Sequence[str] | None) -> Finding:
    """Check that the fleet role exists and spot fleets may assume it.

    Args:
        arn: of the role.
        trusted: the services that may take it; None where there is no such role.
    """
    subject = "fleet role"
    if trusted is None:
        return problem(subject, f"{arn} is gone", "deploy the stack again: spot annexes need it")
    if SPOT_FLEET_SERVICE not in trusted:
        return problem(subject, f"{arn} does not trust {SPOT_FLEET_SERVICE}", "add that service to its trust policy")
    return ok(subject, "trusts spot fleets")


def check_group(group_id: str, ports: Sequence[tuple[int, int]] | None, port: int) -> Finding:
    """Check that the machines' security group lets HTCondor in.

    Args:
        group_id: of the group.
        ports: the ranges that are open to somebody; None where there is no such group.
        port: HTCondor's, as the stack was asked for.
    """
    subject = "security group"
    if ports is None:
        return problem(subject, f"{group_id} is gone", "delete the stack and deploy it again")
    if not any(first <= port <= last for first, last in ports):
        advice = "deploy with --param CondorCidrs=0.0.0.0/0, or with the networks of your pool"
        return problem(subject, f"{group_id} does not open port {port}", advice)
    return ok(subject, f"{group_id} opens port {port}")


def check_knobs(path: Path, content: bytes, region: str, outputs: Mapping[str, str]) -> Finding:
    """Check that the configuration names this stack.

    Args:
        path: of the configuration file.
        content: of it.
        region: the stack's.
        outputs: of the stack.
    """
    subject = "configuration"
    wanted = {knob.name: outputs[knob.output] for knob in KNOBS if not knob.guide and knob.output in outputs}
    wrong = [name for name, value in wanted.items() if read_knob(content, region, name) != value]
    if wrong:
        detail = f"{path} differs from the stack in {', '.join(wrong)}"
        try:
            beaten = beaten_knobs(content, region)
        except UserError:
            # pull-config says how to repair the block.
            beaten = []
        if {name.rpartition(".")[2] for name in beaten} >= set(wrong):
            return problem(subject, detail, f"delete {', '.join(beaten)} outside the stack's block")
        return problem(subject, detail, f"run annex-bootstrap pull-config --region {region}")
    return ok(subject, f"{path} names the stack")


def check_keys(content: bytes, region: str) -> Finding:
    """Check that condor_annex has credentials that nobody else can read.

    Args:
        content: of the configuration file.
        region: the stack's.
    """
    subject = "credentials of condor_annex"
    access, secret = (read_knob(content, region, knob) for knob in (ACCESS_KEY_KNOB, SECRET_KEY_KNOB))
    if access == secret == FROM_INSTANCE:
        return ok(subject, "the role of the machine it runs on")
    if not access or not secret:
        return problem(subject, "the configuration names no key files", "run annex-bootstrap credentials")
    for path in (Path(access), Path(secret)):
        reason = why_not_private(path)
        if reason:
            return problem(subject, reason, f"run chmod 600 {path} if it is yours, or annex-bootstrap credentials")
        if not (read_private(path) or b"").strip():
            return problem(subject, f"{path} is empty", "run annex-bootstrap credentials --rotate")
    return ok(subject, f"{access} and {secret} can be read by you only")


def check_password(named: str) -> Finding:
    """Check that condor_annex can read the pool password.

    Args:
        named: the value of SEC_PASSWORD_FILE; empty where it is not known.
    """
    subject = "pool password"
    if not named:
        return skipped(
            subject, "no HTCondor on this machine says where it is", "run doctor where condor_config_val is in the PATH"
        )
    reason = why_not_private(Path(named))
    if reason:
        advice = "give yourself a copy with mode 0600 and name it as SEC_PASSWORD_FILE in your user_config"
        return problem(subject, reason, f"run annex-bootstrap pool-config; or {advice}")
    return ok(subject, f"{named} can be read by you only")


def check_collector(address: str, answer: Mapping[str, Any] | None) -> Finding:
    """Check that AWS reaches the pool's collector.

    Args:
        address: ``host:port``; empty where it is not known.
        answer: of the connectivity function.
    """
    subject = "collector from AWS"
    if not address or answer is None:
        advice = "give --collector HOST:PORT, or run doctor where condor_config_val is in the PATH"
        return skipped(subject, "no HTCondor on this machine says where it is", advice)
    if answer.get("success") == "1":
        return ok(subject, f"{address} answers as {answer.get('result')}")
    said = answer.get("description") or answer.get("errorMessage") or "the connectivity function gave no answer"
    return problem(subject, f"{address}: {said}", "annexes can only join a pool that AWS reaches; run pool-config")


def check_image(image: StackImage | None, now: datetime) -> Finding:
    """Check that machines can start from the stack's image, and say what is in it.

    Args:
        image: as it is; None for a stack without one.
        now: the time.
    """
    subject = "image"
    if image is None:
        advice = "run annex-bootstrap deploy --param Image=yes"
        return skipped(subject, "the stack has none; machines start from HTCondor's own, which is years old", advice)
    advice = "run annex-bootstrap image rebuild" if image.made else "give another one: deploy --param Image=ami-..."
    if image.state != "available":
        return problem(subject, f"{image.image_id} is {image.state or 'gone'}", advice)
    if not image.made:
        return ok(subject, f"{image.image_id} is available; it is yours")
    detail = f"{image.image_id} has HTCondor {image.condor or 'unknown'} and is {image.days(now)} days old"
    newer = f"; {SYSTEM.name} has a newer image: {advice}" if image.newer_base else ""
    return ok(subject, detail + newer)


def check_fleet_form(path: str, text: str | None) -> Finding:
    """Check that the spot fleet file has the form that condor_annex reads.

    Args:
        path: of the file; empty where the configuration names none.
        text: of it; None where it cannot be read.
    """
    subject = "spot fleet file"
    if not path:
        return skipped(subject, "none is named", "for spot annexes run annex-bootstrap fleet-config")
    if text is None:
        return problem(subject, f"{path} is not there", "run annex-bootstrap fleet-config")
    wrong = fleet_problems(text)
    if wrong:
        return problem(subject, f"{path}: {'; '.join(wrong)}", "run annex-bootstrap fleet-config to write it again")
    return ok(subject, f"{path} has the form that condor_annex reads")


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


def fleet_parts(text: str) -> tuple[set[str], set[str]]:
    """Return the image IDs and the instance types of a fleet file of the right form."""
    specifications = json.loads(text)["LaunchSpecifications"]
    return (
        {specification["ImageId"] for specification in specifications if "ImageId" in specification},
        {specification["InstanceType"] for specification in specifications if "InstanceType" in specification},
    )


def check_offered(kind: str, wanted: Iterable[str], offered: Iterable[str]) -> Finding:
    """Check that AWS still offers everything that the fleet file names.

    Args:
        kind: ``images`` or ``types``.
        wanted: what the file names.
        offered: what AWS has.
    """
    subject = f"{kind} of the fleet file"
    named = set(wanted)
    missing = sorted(named - set(offered))
    if missing:
        return problem(subject, f"no longer offered: {', '.join(missing)}", "run annex-bootstrap fleet-config again")
    return ok(subject, f"all {len(named)} are offered")


def fleet_file(content: bytes, region: str) -> str:
    """Return the path of the spot fleet file that a configuration names; nothing where it names none."""
    return read_knob(content, region, FLEET_KNOBS[0])
