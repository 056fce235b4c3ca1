"""A pool, and a local AWS whose instances are virtual machines: what the tests with both need."""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from annex_contract.stack import Output
from local_aws.machines.debian import cache_directory
from local_aws.machines.qemu import mac_of
from local_aws.machines.running import Shell
from local_aws.machines.settings import MachineSettings
from local_aws.server_settings import BASES, HARDWARE, Hardware
from machine_image.user_data import ImageInputs, render_script
from tests.htcondor import namespaces
from tests.htcondor.namespaces import POOL, REGION
from tests.htcondor.pool import USER, Pool
from tests.htcondor.root import ensure_roots
from tests.htcondor.stand_in import ADMINISTRATOR, EVERYTHING
from tests.htcondor.testbed import HOME, SPEED, Testbed, aws_profiles, start_testbed
from tests.machines.given import Given

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

PATIENCE = 4 * 3600.0
"""Seconds to wait for anything: the machines are emulated, and others may be at work on the same processor. What waits
for a machine ends with it."""

BASE_IMAGE = BASES["amd64"][0]
PACKAGES = ("jq",)
CONTAINERS = ("docker.io", "busybox-static")
"""Packages that only the slow tests need."""
BOOT_COMMANDS = 'echo "$ANNEX_ID in $AWS_REGION" > /run/boot-commands'

LASTING = ("--duration", "12h", "--idle", "6h")
"""Options of machines that no limit of time ends: HTCondor counts as idle also how long it takes to begin."""

# HTCondor reads its configuration again at this signal.
GO_WHEN_IDLE = """\
echo "STARTD_NOCLAIM_SHUTDOWN = 10" > /etc/condor/config.d/99-idle.config
systemctl kill --kill-whom=main --signal=SIGHUP condor.service
"""
"""For the shell of a machine whose work is done."""

LEAN = Hardware(
    processors=1,
    without=("apparmor.service", "e2scrub_reap.service", "grub-common.service", "unattended-upgrades.service"),
)
"""For machines that boot beside another one; at least one has all that Debian starts."""


class StillWaitingError(AssertionError):
    """Something did not happen in time; the text says what."""


def base_settings(given: Given, directory: Path) -> MachineSettings:
    """Return what the local AWS is given: Debian's disk, and our image where an earlier run has built it."""
    images = {BASE_IMAGE: given.base}
    return MachineSettings(str(directory), namespaces.AWS_ADDRESS, images, built_image(given), given.packages)


def packages(given: Given) -> tuple[str, ...]:
    """Return what ImagePackages is."""
    return (*PACKAGES, *CONTAINERS) if given.everything else PACKAGES


def cached_image(given: Given) -> Path:
    """Return where our image is kept, by the hash of Debian's disk and of the script that makes it one."""
    script = render_script(ImageInputs("any", packages=packages(given), boot_commands=BOOT_COMMANDS))
    digest = hashlib.sha256(f"{given.base}\n{script}".encode()).hexdigest()[:12]
    return cache_directory() / f"image-{digest}.qcow2"


def built_image(given: Given) -> str:
    """Return the file with our image; empty where no earlier run has built it."""
    disk = cached_image(given)
    return str(disk) if disk.exists() else ""


def keep(given: Given, disk: Path) -> int:
    """Keep a disk with our image in the user's cache, for later runs; return its bytes, which its builder wrote."""
    target = cached_image(given)
    part = target.with_suffix(".part")
    shutil.copyfile(disk, part)
    part.rename(target)
    return target.stat().st_size


@dataclass
class Machine:
    """One instance, as its owner sees it.

    Attributes:
        testbed: that it belongs to.
        instance_id: its ID.
        directory: with its disk and shell.
        began: when it was first seen, by the monotonic clock.
        objects: keys in the stack's bucket that came with it.
    """

    testbed: Testbed
    instance_id: str
    directory: Path
    began: float
    objects: Collection[str] = ()

    @property
    def shell(self) -> Shell:
        """A root shell on it."""
        return Shell(self.directory / "shell.sock")

    def must(self, script: str, seconds: float = PATIENCE) -> str:
        """Return what a script printed; it must succeed."""
        code, said = self.shell.run(script, seconds)
        assert code == 0, said
        return said

    def describe(self) -> InstanceTypeDef:
        """Return what EC2 says of it."""
        found = self.testbed.root.client("ec2").describe_instances(InstanceIds=[self.instance_id])
        return found["Reservations"][0]["Instances"][0]

    @property
    def state(self) -> str:
        """Its state."""
        return self.describe()["State"]["Name"]

    @property
    def console(self) -> str:
        """What EC2 keeps of its console."""
        return self.testbed.root.client("ec2").get_console_output(InstanceId=self.instance_id).get("Output", "")

    def said(self) -> list[str]:
        """Return what the boot step said on the console."""
        lines = (line.partition("annex-boot: ") for line in self.console.splitlines())
        return [text for _, found, text in lines if found]

    def wait_until(self, happened: Callable[[], object], what: str) -> float:
        """Wait until something has happened, but no longer than the machine is on; return the seconds that it took.

        Raises:
            StillWaitingError: the machine is off, and it has not.
        """

        def has() -> object:
            off = self.state in ("stopped", "terminated")
            found = happened()
            if off and not found:
                raise StillWaitingError(f"{self.instance_id} went off before {what}\n{self.last_words()}")
            return found

        return wait_until(has, what, self.last_words)

    def wait_until_off(self, *states: str) -> float:
        """Wait until its shutdown has stopped or terminated it; return the seconds since it was first seen."""
        wait_until(lambda: self.state in states, f"{self.instance_id} is {' or '.join(states)}", self.last_words)
        return time.monotonic() - self.began

    @property
    def mac(self) -> str:
        """The address of its network interface."""
        return mac_of(self.instance_id)

    def last_words(self) -> str:
        """Return the end of its console."""
        return self.console[-3000:]


def wait_until(
    happened: Callable[[], object], what: str, explain: Callable[[], str] = str, seconds: float = PATIENCE
) -> float:
    """Wait until something has happened.

    Args:
        happened: whether it has.
        what: it is, for the error.
        explain: why it may not have, for the error.
        seconds: to wait, at most.

    Returns:
        Seconds that it took.
    """
    began = time.monotonic()
    while not happened():
        if time.monotonic() - began > seconds:
            raise StillWaitingError(f"timed out after {seconds:.0f} s waiting until {what}\n{explain()}")
        time.sleep(1)
    return time.monotonic() - began


@contextmanager
def opened(given: Given, speed: int = SPEED) -> Iterator[Laboratory]:
    """Start a pool, and a local AWS whose instances are virtual machines.

    Args:
        given: what was prepared.
        speed: how many times faster than the clock schedules run.
    """
    directory = Path(given.directory, "machines")
    (root,) = ensure_roots()
    with start_testbed(root, base_settings(given, directory), speed) as testbed:
        yield Laboratory(testbed, given, directory)


@dataclass
class Laboratory:
    """The pool, the local AWS, and its machines.

    Attributes:
        testbed: pool and local AWS.
        given: what was prepared.
        directory: where the local AWS keeps its machines.
        started: the machines of ``start`` and ``grow``, by their annexes.
    """

    testbed: Testbed
    given: Given
    directory: Path
    started: dict[str, Machine] = field(default_factory=dict)

    def deploy(self) -> None:
        """Let machines join the pool, and deploy the stack, whose image a builder makes where no earlier run has."""
        testbed = self.testbed
        testbed.annex_bootstrap("pool-config", "--collector", POOL, "--user", USER, user="root")
        testbed.pool.must(["condor_restart"])
        for path, text in aws_profiles({ADMINISTRATOR: testbed.make_user(ADMINISTRATOR, EVERYTHING)}).items():
            testbed.pool.write(path, text)
        cached = cached_image(self.given).exists()
        parameters = [f"ImagePackages={','.join(packages(self.given))}", f"BootCommands={BOOT_COMMANDS}"]
        options = [part for parameter in parameters for part in ("--param", parameter)]
        began = time.monotonic()
        command = ["annex-bootstrap", "deploy", "--yes", "--profile", ADMINISTRATOR, "--region", REGION, *options]
        ended = testbed.pool.run(command, seconds=PATIENCE)
        testbed.transcript.command(" ".join(command), ended.stdout + ended.stderr)
        assert ended.returncode == 0, "\n".join(machine.console[-5000:] for machine in self.builders())
        testbed.read_outputs(REGION)
        testbed.transcript.note(f"deploy took {time.monotonic() - began:.0f} s")
        if not cached:
            written = self.keep_image()
            testbed.transcript.note(f"the image has {written / 1e6:.0f} MB that Debian's has not")

    @contextmanager
    def hardware(self, hardware: Hardware) -> Iterator[None]:
        """Let the machines that are powered on within have this hardware."""
        self.have(hardware)
        try:
            yield
        finally:
            self.have(Hardware())

    def have(self, hardware: Hardware) -> None:
        """Let the machines that are powered on from now on have this hardware."""
        ssm = self.testbed.root.client("ssm")
        ssm.put_parameter(Name=HARDWARE, Value=hardware.to_json(), Type="String", Overwrite=True)

    def machine(self, instance_id: str) -> Machine:
        """Return an instance as a machine."""
        return Machine(self.testbed, instance_id, self.directory / instance_id, time.monotonic())

    def start(self, annex: str, *options: str) -> Machine:
        """Start an annex of one machine with ``annex-bootstrap start``, and return when the machine is on."""
        return self._machine_of(annex, "start", annex, "--cores", "2", "--yes", *options)

    def grow(self, annex: str, *options: str) -> Machine:
        """Let ``annex-bootstrap grow`` start a machine for the job that names an annex, and return when it is on."""
        return self._machine_of(annex, "grow", "--max-cores", "2", "--wait", "0", "--once", *options)

    def _machine_of(self, annex: str, *command: str) -> Machine:
        before = self.testbed.tarballs()
        self.testbed.annex_bootstrap(*command)
        wait_until(lambda: self.testbed.machines(annex), f"{annex} has a machine")
        (instance,) = self.testbed.machines(annex)
        machine = replace(self.machine(instance["InstanceId"]), objects=self.testbed.tarballs() - before)
        assert machine.objects
        wait_until((machine.directory / "qemu.log").exists, f"the machine of {annex} is on")
        self.started[annex] = machine
        return machine

    def set_objects(self, machine: Machine, body: bytes | None) -> bytes:
        """Put something in place of a machine's objects in the bucket, or delete them; return what the last one was."""
        s3, bucket = self.testbed.root.client("s3"), self.testbed.outputs[namespaces.REGION][Output.S3_BUCKET_NAME]
        was = b""
        for key in machine.objects:
            if body is None:
                was = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
                s3.delete_object(Bucket=bucket, Key=key)
            else:
                s3.put_object(Bucket=bucket, Key=key, Body=body)
        return was

    def run_base(self, script: str) -> Machine:
        """Start a machine from Debian's image with a script as its user data, which stops when it shuts down."""
        return self.run(BASE_IMAGE, UserData=script)

    def run(self, image: str, **more: str) -> Machine:
        """Start a machine that belongs to no annex."""
        (instance,) = self.testbed.root.client("ec2").run_instances(
            ImageId=image,
            InstanceType="m7i.large",
            MinCount=1,
            MaxCount=1,
            MetadataOptions={"HttpTokens": "required"},
            InstanceInitiatedShutdownBehavior="stop",
            **more,  # type: ignore[arg-type]  # which of the strings boto3 takes, the caller knows
        )["Instances"]
        return self.machine(instance["InstanceId"])

    def builders(self) -> list[Machine]:
        """Return the builders of the stack that run or have stopped."""
        found = self.testbed.root.client("ec2").describe_instances(
            Filters=[
                {"Name": "tag-key", "Values": ["annex-bootstrap:image"]},
                {"Name": "instance-state-name", "Values": ["pending", "running", "stopped"]},
            ]
        )
        return [self.machine(i["InstanceId"]) for r in found["Reservations"] for i in r["Instances"]]

    def keep_image(self) -> int:
        """Keep the image of the stack in the user's cache, for later runs; return the bytes that its builder wrote."""
        (image,) = (
            image["ImageId"] for image in self.testbed.root.client("ec2").describe_images(Owners=["self"])["Images"]
        )
        return keep(self.given, self.directory / "images" / f"{image}.qcow2")

    def slots(self, *attributes: str) -> str:
        """Return attributes of all slots in the pool."""
        return self.testbed.pool.run(["condor_status", "-af", *attributes]).stdout


def wait_until_ended(pool: Pool, annex: str) -> None:
    """Wait until the job of an annex has ended."""

    def log() -> str:
        return pool.read(f"{HOME}/{annex}.log")

    wait_until(lambda: "Job terminated" in log(), f"the job of {annex} has ended", log)


def without_sequences(text: str) -> str:
    """Return a text of the console without the sequences of a terminal."""
    return re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", text)


def patched(inputs: ImageInputs, **assignments: str) -> str:
    """Return the builder's script with other values for some of its variables; it takes as long as a test waits."""
    script = render_script(inputs)
    for name, value in {"TIME_LIMIT_MINUTES": f"{PATIENCE / 60:.0f}", **assignments}.items():
        script, count = re.subn(rf"^{name}=.*$", f"{name}={value}", script, count=1, flags=re.MULTILINE)
        assert count == 1
    return script
