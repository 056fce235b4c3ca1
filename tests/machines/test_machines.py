"""The life of annexes on virtual machines; each test builds on those before it.

The builder, and the machines of annexes, boot with the grub, kernel, systemd and cloud-init of Debian; nobody logs in
to help. Their image is as the stack makes it. A root shell on another serial line looks at what they do.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from local_aws.launcher import INTERRUPTION_TAG
from local_aws.server_settings import Hardware
from machine_image.user_data import ImageInputs, read_outcome
from tests.htcondor.namespaces import POOL, REGION
from tests.htcondor.pool import USER
from tests.htcondor.stand_in import ADMINISTRATOR
from tests.htcondor.testbed import HOME, submit
from tests.machines.laboratory import (
    GO_WHEN_IDLE,
    LASTING,
    LEAN,
    PATIENCE,
    Laboratory,
    Machine,
    patched,
    wait_until,
    wait_until_ended,
)

OPTIONS = (*LASTING, "--profile", ADMINISTRATOR)
"""Those of machines."""

# It asks the metadata service, where a job must get no answer, and ends when the test has looked at the machine.
USEFUL = """\
#!/bin/sh
echo '{"answer": 42}' | jq .answer
ask='import urllib.request as r; print(r.urlopen(r.Request("http://169.254.169.254/latest/api/token", method="PUT",
headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}), timeout=5).status)'
python3 -c "$ask" || echo "no metadata"
until [ -e /run/looked-at ]; do sleep 1; done
"""

LONG = """\
#!/bin/sh
trap 'echo told to end; exit 0' TERM
echo begun
sleep 3600 &
wait
"""


def test_a_builder_makes_the_image(laboratory: Laboratory) -> None:
    """Debian's image is behind by a kernel, as it often is."""
    laboratory.deploy()


def test_a_machine_joins_although_everything_is_late(laboratory: Laboratory) -> None:
    """Growth starts it for a job that waits.

    Until systemd runs it gets no metadata, its configuration comes later still, and its clock is an hour ahead.
    """
    testbed = laboratory.testbed
    ahead = datetime.now(UTC) + timedelta(hours=1)
    submit(testbed.pool, "late", USEFUL)
    with laboratory.hardware(Hardware(clock=f"{ahead:%Y-%m-%dT%H:%M:%S}", metadata=False, processors=1)):
        machine = laboratory.grow("late", *OPTIONS)
        configuration = laboratory.set_objects(machine, None)
        machine.wait_until(lambda: "systemd[1]: Hostname set" in machine.console, "systemd runs")
    with laboratory.hardware(replace(LEAN, instance_store=True)):
        _started(laboratory, "spot", "--spot")
    submit(testbed.pool, "spot", LONG)
    machine.wait_until(lambda: _misses_its_configuration(machine), "the configuration is missed")
    laboratory.set_objects(machine, configuration)
    _wait_until_joined(laboratory, machine)
    with laboratory.hardware(LEAN):
        broken = _started(laboratory, "broken")
    laboratory.set_objects(broken, b"no archive")
    testbed.transcript.file("What the machine is", machine.must(FACTS))
    assert int(machine.must("date +%s")) - time.time() > timedelta(minutes=50).total_seconds()
    testbed.checked("the machine joined although its clock is still an hour ahead")
    testbed.transcript.file("What the machine's console says", "\n".join(machine.said()))
    assert "done; HTCondor starts" in machine.said()
    assert machine.must("cat /run/boot-commands") == f"late in {REGION}\n"
    _check_image(laboratory, machine)
    _check_rules(machine)
    testbed.checked("the rules of the metadata service can be loaded with the modules that a builder has loaded")
    machine.must("touch /run/looked-at")
    wait_until_ended(testbed.pool, "late")
    assert testbed.pool.read(f"{HOME}/late.out") == "42\nno metadata\n"
    testbed.checked("the job used the program of ImagePackages, and could not reach the metadata service")
    machine.must(GO_WHEN_IDLE)


def test_a_spot_machine_drains_when_ec2_takes_it_back(laboratory: Laboratory) -> None:
    """Its jobs are on the instance store. EC2 gives notice two minutes before the machine's end."""
    testbed, spot, log = laboratory.testbed, laboratory.started["spot"], f"{HOME}/spot.log"
    _wait_until_joined(laboratory, spot)
    wait_until(lambda: "Job executing" in testbed.pool.read(log), "the job is running")
    _check_instance_store(laboratory, spot)
    end = datetime.now(UTC) + timedelta(minutes=2)
    notice = f"{end:%Y-%m-%dT%H:%M:%SZ}"
    ec2 = testbed.root.client("ec2")
    ec2.create_tags(Resources=[spot.instance_id], Tags=[{"Key": INTERRUPTION_TAG, "Value": notice}])
    seconds = spot.wait_until_off("terminated")
    assert "Job was evicted" in testbed.pool.read(log)
    testbed.checked(f"the spot machine told its job to end, left the pool, and is terminated, after {seconds:.0f} s")


def test_a_machine_goes_when_it_is_idle(laboratory: Laboratory) -> None:
    """Its only job has ended. Growth starts none in its place."""
    testbed, machine = laboratory.testbed, laboratory.started["late"]
    seconds = machine.wait_until_off("terminated")
    testbed.checked(f"without a job the machine shut itself down, and is terminated, after {seconds:.0f} s")
    wait_until(lambda: machine.instance_id not in laboratory.slots("EC2InstanceID"), "the slot is gone")
    # The job that EC2's notice ended waits for a machine again.
    testbed.pool.must(["condor_rm", USER], user=USER)
    testbed.annex_bootstrap("grow", "--max-cores", "8", "--wait", "0", "--once", "--profile", ADMINISTRATOR)
    assert not any(testbed.machines(annex) for annex in ("late", "spot"))
    testbed.checked("a queue without jobs starts nothing")


def test_a_machine_without_a_configuration_says_why(laboratory: Laboratory) -> None:
    """What it was to unpack is no archive."""
    machine = laboratory.started["broken"]
    machine.wait_until_off("terminated")
    said = machine.said()[-1]
    assert said.startswith("giving up, the machine shuts down: ")
    assert "cannot be unpacked" in said
    assert "done; HTCondor starts" not in machine.said()
    laboratory.testbed.checked("the machine said why, and is terminated; HTCondor never started")


def test_with_the_leases_nothing_is_left(laboratory: Laboratory) -> None:
    """All machines have gone by themselves."""
    assert {machine.state for machine in laboratory.started.values()} == {"terminated"}
    laboratory.testbed.let_leases_end()
    laboratory.testbed.checked("no lease and no configuration is left")


@pytest.mark.slow
def test_builders_that_fail_say_why_and_end(laboratory: Laboratory) -> None:
    """One has no way out; the other is at its time limit, which is a minute here.

    Meanwhile a machine waits five minutes for a configuration that never comes.
    """
    testbed = laboratory.testbed
    with laboratory.hardware(LEAN):
        missing = _started(laboratory, "missing")
    laboratory.set_objects(missing, None)
    with laboratory.hardware(Hardware(packages=False)):
        cut_off = laboratory.run_base(patched(ImageInputs("cut-off")))
        cut_off.wait_until_off("stopped")
    outcome = read_outcome(cut_off.console, "cut-off")
    assert outcome is not None
    testbed.transcript.file("Why the build failed", outcome.reason)
    assert outcome.reason.startswith("reaching Debian's packages failed")
    assert "No way to the packages: the builder's subnet needs a way out" in outcome.reason
    slow = laboratory.run_base(patched(ImageInputs("slow"), TIME_LIMIT_MINUTES="1"))
    slow.wait_until_off("stopped")
    # What systemd says where it has to wait for processes that do not end, up to 90 seconds.
    assert "Waiting for process" not in slow.console
    outcome = read_outcome(slow.console, "slow")
    assert outcome is not None
    assert not outcome.succeeded
    testbed.checked("nothing kept the machine from ending at its time limit")
    missing.wait_until_off("terminated")
    assert missing.said()[-1].startswith("giving up, the machine shuts down: gave up after 5 minutes: ")
    assert "done; HTCondor starts" not in missing.said()
    testbed.checked("the machine without a configuration gave up after five minutes, and is terminated")


@pytest.mark.slow
def test_a_machine_that_runs_containers_comes_back_from_a_reboot(laboratory: Laboratory) -> None:
    """Docker has a network of its own, from which even root gets no keys of the machine's role."""
    testbed = laboratory.testbed
    with laboratory.hardware(Hardware(instance_store=True)):
        machine = _started(laboratory, "boxes")
    _wait_until_joined(laboratory, machine)
    _check_instance_store(laboratory, machine)
    _reboot(laboratory, machine)
    _check_instance_store(laboratory, machine)
    machine.must(BOX)
    wait_until(lambda: "true" in testbed.pool.run(["condor_status", "-af", "HasDocker"]).stdout, "the slot has Docker")
    testbed.pool.write(f"{HOME}/boxes.submit", BOXED_JOB)
    testbed.pool.must(["condor_submit", "boxes.submit"], user=USER)
    code, said = machine.shell.run(f"docker run --rm box {ASK_FROM_BOX}", PATIENCE)
    assert code
    assert "onnection refused" in said
    wait_until_ended(testbed.pool, "boxes")
    assert testbed.pool.read(f"{HOME}/boxes.out") == "in a box\n"
    testbed.checked("a job ran in a container, and root in a container got no answer of the metadata service")
    machine.must(GO_WHEN_IDLE)
    machine.wait_until_off("terminated")


@pytest.mark.slow
def test_an_image_for_gpus_boots_the_kernel_that_the_driver_needs(laboratory: Laboratory) -> None:
    """The driver itself is only looked up: it takes hours to compile without help of the processor."""
    ec2 = laboratory.testbed.root.client("ec2")
    with laboratory.hardware(LEAN):
        builder = laboratory.run_base(_without_driver(patched(ImageInputs("gpu", gpu=True))))
        builder.wait_until_off("stopped")
        outcome = read_outcome(builder.console, "gpu")
        assert outcome is not None
        assert outcome.succeeded, outcome.reason
        image = ec2.create_image(InstanceId=builder.instance_id, Name="gpu")["ImageId"]
        ec2.get_waiter("image_available").wait(ImageIds=[image])
        machine = laboratory.run(image)
        machine.wait_until(lambda: "annex-boot: this is" in machine.console, "the machine has booted")
    kernel = machine.must("uname -r").strip()
    assert "cloud" not in kernel
    assert machine.must("ls /lib/modules").split() == [kernel]
    laboratory.testbed.checked(f"the machine runs {kernel}, which has what the driver needs, and no other is there")
    ec2.terminate_instances(InstanceIds=[machine.instance_id, builder.instance_id])


# The image of a container: one program.
BOX = """\
mkdir -p /root/box/bin
cp "$(command -v busybox)" /root/box/bin/busybox
ln -s busybox /root/box/bin/sh
tar --create --directory /root/box . | docker import - box
"""

ASK_FROM_BOX = "/bin/busybox wget -T 20 -O - http://169.254.169.254/latest/meta-data/"

BOXED_JOB = """\
universe = docker
docker_image = box
executable = /bin/sh
arguments = "-c 'echo in a box'"
transfer_executable = False
should_transfer_files = YES
when_to_transfer_output = ON_EXIT
output = boxes.out
error = boxes.err
log = boxes.log
requirements = TARGET.AnnexName == "boxes"
+TargetAnnexName = "boxes"
queue
"""

FACTS = """uname -r
cloud-init status
systemd-analyze time
systemd-analyze critical-chain annex-boot.service --no-pager
"""


SEED = """\
stat --format %W /var/lib/systemd/random-seed
awk '/^btime/ { print $2 }' /proc/stat
"""
"""When the seed of the random numbers came to be, and when the machine booted; both by the machine's clock."""


def _started(laboratory: Laboratory, annex: str, *options: str) -> Machine:
    return laboratory.start(annex, *options, *OPTIONS)


def _misses_its_configuration(machine: Machine) -> bool:
    return any("s3 GetObject" in line and "trying again" in line for line in machine.said())


def _without_driver(script: str) -> str:
    """Return a builder's script that installs the kernel for the driver of GPUs, and only asks for the rest."""
    script, count = re.subn(
        r'^    apt (install .*"linux-image-\$architecture")((?:.*\\\n)+.*)$',
        r"    apt --simulate \1\2\n    apt \1",
        script,
        flags=re.MULTILINE,
    )
    assert count == 1
    script, count = re.subn(
        r"^    for kernel in /lib/modules/\*; do\n.*?^    done\n", "", script, flags=re.DOTALL | re.MULTILINE
    )
    assert count == 1
    return script


def _wait_until_joined(laboratory: Laboratory, machine: Machine) -> None:
    joined = lambda: machine.instance_id in laboratory.slots("EC2InstanceID")  # noqa: E731  # said twice otherwise
    machine.wait_until(joined, f"{machine.instance_id} is in the pool")
    seconds = time.monotonic() - machine.began
    laboratory.testbed.transcript.note(f"power on to in the pool took {seconds:.0f} s")


def _reboot(laboratory: Laboratory, machine: Machine) -> None:
    """Reboot a machine, which must come back to the pool by itself."""
    ask = ["condor_status", "-master", "-af", "DaemonStartTime", "-constraint", f'Machine != "{POOL}"']
    started = laboratory.testbed.pool.run(ask).stdout
    machine.shell.start("systemctl reboot")
    again = lambda: laboratory.testbed.pool.run(ask).stdout not in ("", started)  # noqa: E731  # as above
    seconds = machine.wait_until(again, f"{machine.instance_id} is in the pool again")
    laboratory.testbed.checked(f"after a reboot the machine was in the pool again in {seconds:.0f} s")


def _check_instance_store(laboratory: Laboratory, machine: Machine) -> None:
    (said,) = {line for line in machine.said() if "instance store" in line}
    device = said.removeprefix("jobs run on ").partition(",")[0]
    assert machine.must("findmnt --noheadings --output SOURCE $(condor_config_val EXECUTE)").strip() == device
    laboratory.testbed.checked(f"jobs run on {device}, a disk of the instance store")


def _check_image(laboratory: Laboratory, machine: Machine) -> None:
    """Look at what the image brought along, on a machine that has made its own of what it needs."""
    kernels = machine.must("ls /boot/vmlinuz-*").split()
    assert len(kernels) == 1
    assert kernels[0].endswith(machine.must("uname -r").strip())
    own = machine.must("cat /sys/class/net/*/address /etc/netplan/*.yaml")
    assert set(re.findall(r"0e(?::[0-9a-f]{2}){5}", own)) == {machine.mac}
    assert machine.must("cat /etc/machine-id") == machine.must("ls /var/log/journal")
    assert machine.must("ls /var/lib/cloud/instances").split() == [machine.instance_id]
    assert not machine.must("ls -A /var/lib/apt/lists")
    assert machine.must("hostname").strip() == machine.describe()["PrivateDnsName"].partition(".")[0]
    # A file that the image had would be written again, and not made again.
    born, booted = (float(text) for text in machine.must(SEED).split())
    assert born > booted
    compiled = machine.must("stat --format %Y /usr/local/lib/annex-bootstrap/machine_image/__pycache__/*.pyc")
    assert all(float(text) < booted for text in compiled.split()), "the boot step was compiled at boot"
    ad = laboratory.testbed.pool.run(["condor_status", "-af", "MyAddress"]).stdout
    assert "[" not in ad, ad
    laboratory.testbed.checked("the image has one kernel, and of its builder neither name, network nor journal")


def _check_rules(machine: Machine) -> None:
    """Check the rules as a builder whose running kernel has lost its modules does."""
    machine.must(
        "cd /lib/modules && mv $(uname -r) gone && trap 'mv gone $(uname -r)' EXIT;"
        " nft --check --file /usr/local/lib/annex-bootstrap/metadata.nft"
    )
