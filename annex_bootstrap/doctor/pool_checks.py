"""What can be wrong on the pool's side, by its version of HTCondor: one function a check. Pure but for file modes.

Source of what each version wants: docs/htcondor.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from annex_bootstrap.doctor.checks import Finding, ok, problem, skipped
from annex_bootstrap.pool.blocks import local_name
from annex_bootstrap.pool.file_knobs import beaten_image
from annex_bootstrap.pool.htcondor import Version, starts_with_htcondor
from annex_bootstrap.pool.private_files import why_not_private
from annex_contract.knobs import IMAGE_KNOB, Macro

FIRST_SELF_SERVICE = (25, 14, 0)
"""The first HTCondor in which ``htcondor annex create`` means other systems than AWS unless it is told."""

BOOT_SECONDS = 600
"""A machine that has not joined the pool after this time never will: booting takes a minute or two."""

_CONFIGURE = "run annex-bootstrap pool-config on this machine as the owner of the pool, then condor_reconfig"


@dataclass(frozen=True)
class Machine:
    """A machine of an annex that is running.

    Attributes:
        instance_id: its ID in AWS.
        annex_id: of its annex.
        seconds: since its start.
    """

    instance_id: str
    annex_id: str
    seconds: float


def check_version(version: Version | None) -> Finding:
    """Tell which HTCondor there is, and how annexes start with it.

    Args:
        version: None where this machine has none.
    """
    subject = "HTCondor"
    if version is None:
        return skipped(subject, "there is none on this machine", "run doctor on the machine with the schedd")
    command = "htcondor annex create" if starts_with_htcondor(version) else "condor_annex"
    return ok(subject, f"version {written(version)}, where {command} starts annexes")


def check_feature(version: Version, knobs: Mapping[str, str]) -> Finding:
    """Check that ``htcondor annex`` is switched on, and for AWS.

    Args:
        version: of HTCondor, one that has ``htcondor annex``.
        knobs: the values of ``HPC_ANNEX_ENABLED`` and ``ANNEX_USE_OLD_CREATE``.
    """
    subject = "htcondor annex"
    if not _true(knobs[Macro.HPC_ANNEX_ENABLED]):
        return problem(subject, "it is not switched on: HPC_ANNEX_ENABLED is not true", _CONFIGURE)
    if version >= FIRST_SELF_SERVICE and not _true(knobs[Macro.ANNEX_USE_OLD_CREATE]):
        detail = f"in {written(version)} it starts nothing on AWS unless ANNEX_USE_OLD_CREATE is true"
        return problem(subject, detail, _CONFIGURE)
    return ok(subject, "it is switched on, for AWS too")


def check_schedds(address: str, schedds: Sequence[str] | None) -> Finding:
    """Check that the collector that machines join knows exactly one schedd.

    Args:
        address: the value of ``ANNEX_COLLECTOR``.
        schedds: the names of the schedds that it knows; None where it does not answer.
    """
    subject = "access point's collector"
    if not address or address.startswith((":", "?")):
        advice = (
            "run annex-bootstrap pool-config --collector with the public name of this machine, then condor_reconfig"
        )
        return problem(subject, f"ANNEX_COLLECTOR names no host ({address or 'it is empty'})", advice)
    if schedds is None:
        advice = "see AP_Collector.log beside HTCondor's other logs, and that DAEMON_LIST has AP_COLLECTOR"
        return problem(subject, f"{address} does not answer", advice)
    if not schedds:
        advice = "wait half a minute if HTCondor has just started; else see SchedLog"
        return problem(subject, f"{address} knows no schedd", advice)
    if len(schedds) > 1:
        advice = "let every access point have its own: ANNEX_COLLECTOR must name the machine that it is set on"
        return problem(subject, f"{address} knows {len(schedds)} schedds ({', '.join(sorted(schedds))})", advice)
    return ok(subject, f"{address} knows the schedd {schedds[0]}")


def check_token(user: str, subject_of_token: str | None) -> Finding:
    """Check that a token speaks for the user that fetches it.

    Args:
        user: ``name@domain``.
        subject_of_token: whom the token speaks for; None where none could be fetched.
    """
    subject = "token"
    if subject_of_token is None:
        return problem(
            subject, f"the schedd gives {user} none", "see what condor_token_fetch -key AP -authz WRITE prints"
        )
    if subject_of_token != user:
        detail = f"the schedd takes {user} for {subject_of_token}, so machines would join and never get a job"
        return problem(subject, detail, f"{_CONFIGURE}: it puts the authentication methods in the right order")
    return ok(subject, f"the schedd knows {user} by name")


def check_annex_password(path: Path) -> Finding:
    """Check the user's password for annexes, which ``htcondor annex create`` makes.

    Args:
        path: where it must be.
    """
    subject = "annex password"
    if not path.exists():
        advice = f"htcondor annex create makes it; before that, spot annexes need: head -c 16 /dev/urandom > {path}"
        return skipped(subject, f"{path} is not there yet", f"{advice}; chmod 400 {path}")
    reason = why_not_private(path)
    if reason:
        return problem(subject, reason, f"run chmod 400 {path} if it is yours; else delete it")
    return ok(subject, f"{path} can be read by you only")


def check_directory(version: Version, path: Path) -> Finding | None:
    """Check the directory that ``htcondor annex`` wants and, before 25.14, does not make.

    Args:
        version: of HTCondor.
        path: of the directory.

    Returns:
        None where this HTCondor makes it.
    """
    if version >= FIRST_SELF_SERVICE:
        return None
    if not path.is_dir():
        detail = f"{path} is not a directory, and {written(version)} does not make it"
        return problem("annex directory", detail, f"run mkdir {path}")
    return ok("annex directory", f"{path} is there")


def check_image(content: bytes, region: str) -> Finding | None:
    """Check that the user's image is the one that starts.

    Args:
        content: of the configuration file.
        region: of the annexes.

    Returns:
        None where the file names no image for them.

    Raises:
        UserError: the markers of the stack's block do not pair.
    """
    image = beaten_image(content, region)
    if image is None:
        return None
    advice = f"at the end of the file, write {local_name(region)}.{IMAGE_KNOB} = {image}"
    detail = f"{image} is not what starts in {region}: the stack's or HTCondor's own image goes before it"
    return problem("image", detail, advice)


def check_joined(version: Version | None, machines: Sequence[Machine], joined: Sequence[str] | None) -> Finding:
    """Check that the machines of annexes have joined the pool.

    Args:
        version: of HTCondor on this machine; None where there is none.
        machines: of all annexes in the region.
        joined: the instance IDs that the collector knows; None where it does not answer.
    """
    subject = "machines"
    if not machines:
        return ok(subject, "no annex has a machine running")
    if version is None or joined is None:
        running = f"{len(machines)} running; no collector says here whether they have joined the pool"
        return skipped(subject, running, "run doctor on the machine with the schedd")
    missing = [machine for machine in machines if machine.instance_id not in joined]
    if not missing:
        return ok(subject, f"all {len(machines)} have joined the pool")
    side = "24.11 or later" if starts_with_htcondor(version) else "older than 24.11"
    names = ", ".join(f"{machine.instance_id} of {machine.annex_id}" for machine in missing)
    minutes = BOOT_SECONDS // 60
    advice = (
        f"the HTCondor in their image must be {side}, as {written(version)} is, because it looks for an annex's"
        " configuration elsewhere; on a machine, /etc/condor/config.d/49ec2-instance.config says what it did"
    )
    if all(machine.seconds < BOOT_SECONDS for machine in missing):
        return skipped(subject, f"not in the pool yet: {names}", f"give them {minutes} minutes; after that: {advice}")
    return problem(subject, f"not in the pool after {minutes} minutes: {names}", advice)


def written(version: Version) -> str:
    """Return a version as people write it."""
    return ".".join(map(str, version))


def _true(value: str) -> bool:
    return value.strip().lower() in ("true", "yes", "t", "1")
