"""Instances that really run, as virtual machines of ``local_aws.machines``, where the server's settings say so.

A thread compares what EC2 says of each instance with the machines that run, twice a second: it powers machines on,
ends those of terminated instances, and stops or terminates the instances whose machines have shut down. So every way
to start or end an instance works, and none of them knows of machines. Only instances of the server's own region run,
and only of images that have a disk.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from ministack.services import ec2, ssm

from annex_contract.image import IMAGE_TAG
from local_aws.machines import names, packages
from local_aws.machines.cable import CableError
from local_aws.machines.qemu import Guest, mac_of
from local_aws.machines.running import MachineError, Running, copy_disk, new_disk, new_store
from local_aws.machines.settings import MachineSettings, read
from local_aws.server_settings import HARDWARE, Hardware

Instance = dict[str, Any]

VISIBLE = 3600.0
"""Seconds for which a terminated instance is still described, "approximately one hour", with its console's output:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/terminating-instances.html"""

STORE_GIB = 4
"""GiB of an instance store."""

logger = logging.getLogger(__name__)

_settings: MachineSettings | None = None
_running: dict[str, Running] = {}
_said: dict[str, bytes] = {}
_saving: set[str] = set()


def install() -> None:
    """Begin to run machines, where the settings say so."""
    global _settings
    _settings = read()
    if _settings is None:
        return
    directory = Path(_settings.directory)
    (directory / "images").mkdir(parents=True, exist_ok=True)
    (directory / "resolv.conf").write_text(f"nameserver {names.ADDRESS}\n")
    if _settings.packages:
        packages.serve_mirror(Path(_settings.packages), Path(_settings.certificate), Path(_settings.key))
    names.serve(_addresses)
    threading.Thread(target=_keep, args=(_settings,), name="machines", daemon=True).start()


def _addresses() -> dict[str, str]:
    """Return where names lead."""
    assert _settings is not None
    aws = {"amazonaws.com": _settings.aws_address}
    mirror = dict.fromkeys(packages.NAMES, packages.ADDRESS)
    return {**aws, **mirror} if _settings.packages and hardware().packages else aws


def runs(instance: Instance) -> bool:
    """Tell whether an instance is a machine, and no builder whose disk an earlier run has left."""
    return _settings is not None and not _is_built(_settings, instance)


def console(instance_id: str) -> bytes | None:
    """Return what a machine has said, or None for an instance that has no machine."""
    running = _running.get(instance_id)
    return running.console() if running else _said.get(instance_id)


def has_disk(instance: Instance) -> bool:
    """Tell whether an image can be made of the disk of an instance."""
    return _settings is not None and _disk(_settings, instance["InstanceId"]).exists()


def save(instance: Instance, image_id: str) -> None:
    """Begin to copy the disk of a stopped instance, for an image."""
    assert _settings is not None
    settings = _settings
    _saving.add(image_id)

    def copy() -> None:
        copy_disk(_disk(settings, instance["InstanceId"]), Path(settings.directory, "images", f"{image_id}.qcow2"))
        _saving.discard(image_id)

    threading.Thread(target=copy, name=f"copy-{image_id}", daemon=True).start()


def is_saving(image_id: str) -> bool:
    """Tell whether an image's disk is still being copied."""
    return image_id in _saving


def has_shut_down(instance: Instance) -> None:
    """Stop or terminate an instance whose machine shut itself down."""
    behaviour = instance["LaunchRequest"].get("InstanceInitiatedShutdownBehavior", "stop")
    if behaviour == "terminate" or "SpotInstanceRequestId" in instance:
        _terminate(instance)
    else:
        instance["State"] = {"Code": 80, "Name": "stopped"}
    instance["StateReason"] = {
        "Code": "Client.InstanceInitiatedShutdown",
        "Message": "Client.InstanceInitiatedShutdown: Instance initiated shutdown",
    }


def _terminate(instance: Instance) -> None:
    # MiniStack forgets an instance a minute after this time.
    visible_until = time.time() + VISIBLE - 60
    instance |= {"State": {"Code": 48, "Name": "terminated"}, "_terminated_at": visible_until}


def _keep(settings: MachineSettings) -> None:
    while True:
        for instance_id, instance in list(ec2._instances.items()):
            try:
                _compare(settings, instance_id, instance)
            except (CableError, MachineError, OSError, subprocess.CalledProcessError) as error:
                logger.error("%s: %s", instance_id, error)
                _terminate(instance)
                instance["StateReason"] = {"Code": "Server.InternalError", "Message": f"Server.InternalError: {error}"}
        time.sleep(0.5)


def _compare(settings: MachineSettings, instance_id: str, instance: Instance) -> None:
    state, running = instance["State"]["Name"], _running.get(instance_id)
    if state == "running" and running is None and "Started" in instance:
        _power_on(settings, instance)
    elif running is not None and not running.is_on and state == "running":
        _end(instance_id)
        has_shut_down(instance)
    elif running is not None and state in ("shutting-down", "terminated", "stopped"):
        _end(instance_id)
    if instance["State"]["Name"] == "terminated":
        shutil.rmtree(Path(settings.directory, instance_id), ignore_errors=True)


def _power_on(settings: MachineSettings, instance: Instance) -> None:
    image_id, instance_id = instance["ImageId"], instance["InstanceId"]
    base = Path(settings.images.get(image_id) or Path(settings.directory, "images", f"{image_id}.qcow2"))
    if not base.exists():
        return
    disk = _disk(settings, instance_id)
    disk.parent.mkdir(exist_ok=True)
    if _is_built(settings, instance):
        if not disk.exists():
            copy_disk(Path(settings.built), disk)
        return
    if not disk.exists():
        new_disk(base, disk, _size(instance))
    current = hardware()
    store = Path(disk.parent, "store.qcow2") if current.instance_store else None
    # It is empty whenever a machine has been stopped: the store belongs to the computer that it ran on.
    if store:
        new_store(store, STORE_GIB)
    guest = Guest(
        instance_id,
        disk,
        instance["PublicIpAddress"],
        _open_ports(instance),
        disk.parent,
        mac_of(instance_id),
        settings.trusted,
        current,
        store,
    )
    _running[instance_id] = Running(guest, Path(settings.directory, "resolv.conf"))


def _is_built(settings: MachineSettings, instance: Instance) -> bool:
    tags = {tag["Key"] for tag in ec2._tags.get(instance["InstanceId"], [])}
    return bool(settings.built) and IMAGE_TAG in tags


def _end(instance_id: str) -> None:
    running = _running.pop(instance_id)
    _said[instance_id] = running.console()
    running.power_off()


def _disk(settings: MachineSettings, instance_id: str) -> Path:
    return Path(settings.directory, instance_id, "root.qcow2")


def _size(instance: Instance) -> int:
    """Return the GiB of a root volume: as the request has it, or those of MiniStack's record."""
    volume = ec2._volumes.get(instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"], {})
    asked = [mapping.get("Ebs", {}) for mapping in instance["LaunchRequest"].get("BlockDeviceMappings", [])]
    return max([int(volume.get("Size", 8)), *(int(ebs["VolumeSize"]) for ebs in asked if "VolumeSize" in ebs)])


def _open_ports(instance: Instance) -> list[int]:
    """Return the TCP ports that the security groups of an instance open to anybody."""
    groups = [ec2._security_groups.get(group["GroupId"], {}) for group in instance["SecurityGroups"]]
    permissions = [permission for group in groups for permission in group.get("IpPermissions", [])]
    return sorted({int(p["FromPort"]) for p in permissions if p.get("IpProtocol") == "tcp" and p.get("IpRanges")})


def hardware() -> Hardware:
    """Return what machines have that are powered on now."""
    _, parameter = ssm._lookup_parameter(HARDWARE)
    return Hardware.from_json(parameter["Value"]) if parameter else Hardware()
