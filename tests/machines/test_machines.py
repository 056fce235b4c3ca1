"""The life of annexes on virtual machines; each test builds on those before it.

The builder, and the machines of annexes, boot with the grub, kernel, systemd and cloud-init of Debian; nobody logs in
to help. Their image is as the stack makes it. A root shell on another serial line looks at what they do.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

from annex_contract.stack import Output
from local_aws.launcher import INTERRUPTION_TAG
from local_aws.server_settings import Hardware
from machine_image.user_data import ImageInputs, read_outcome
from tests.htcondor.namespaces import POOL, REGION
from tests.htcondor.pool import USER
from tests.htcondor.stand_in import ADMINISTRATOR, EVERYTHING
from tests.htcondor.testbed import HOME, aws_profiles
from tests.machines.laboratory import (
    BOOT_COMMANDS,
    PACKAGES,
    PATIENCE,
    Laboratory,
    Machine,
    cached_image,
    patched,
    wait_until,
    without_sequences,
)

IDLE = "2m"

JOB = """\
executable = {annex}.sh
transfer_executable = True
should_transfer_files = YES
when_to_transfer_output = ON_EXIT_OR_EVICT
output = {annex}.out
error = {annex}.err
log = {annex}.log
requirements = TARGET.AnnexName == "{annex}"
+TargetAnnexName = "{annex}"
queue
"""

# It asks the metadata service, where a job must get no answer.
USEFUL = """\
#!/bin/sh
echo '{"answer": 42}' | jq .answer
ask='import urllib.request as r; print(r.urlopen(r.Request("http://169.254.169.254/latest/api/token", method="PUT",
headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}), timeout=5).status)'
python3 -c "$ask" || echo "no metadata"
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
    testbed = laboratory.testbed
    testbed.annex_bootstrap("pool-config", "--collector", POOL, "--user", USER, user="root")
    testbed.pool.must(["condor_restart"])
    for path, text in aws_profiles({ADMINISTRATOR: testbed.make_user(ADMINISTRATOR, EVERYTHING)}).items():
        testbed.pool.write(path, text)
    cached = cached_image(laboratory.given).exists()
    parameters = [f"ImagePackages={' '.join(PACKAGES)}", f"BootCommands={BOOT_COMMANDS}"]
    options = [part for parameter in parameters for part in ("--param", parameter)]
    began = time.monotonic()
    command = ["annex-bootstrap", "deploy", "--yes", "--profile", ADMINISTRATOR, "--region", REGION, *options]
    ended = testbed.pool.run(command, seconds=PATIENCE)
    testbed.transcript.command(" ".join(command), ended.stdout + ended.stderr)
    assert ended.returncode == 0, "\n".join(machine.console[-5000:] for machine in laboratory.builders())
    testbed.read_outputs(REGION)
    testbed.transcript.note(f"deploy took {time.monotonic() - began:.0f} s")
    if not cached:
        laboratory.keep_image()


def test_a_machine_joins_late_with_a_wrong_clock_and_goes_when_it_is_idle(laboratory: Laboratory) -> None:
    """Its clock is an hour ahead, and until systemd runs it gets no metadata."""
    testbed = laboratory.testbed
    ahead = datetime.now(UTC) + timedelta(hours=1)
    with laboratory.hardware(Hardware(clock=f"{ahead:%Y-%m-%dT%H:%M:%S}", metadata=False)):
        machine = _started(laboratory, "plain")
        _submit(laboratory, "plain", USEFUL)
        wait_until(lambda: "systemd[1]: Hostname set" in machine.console, "systemd runs", machine.last_words)
    _wait_until_joined(laboratory, machine)
    facts = machine.must(FACTS)
    testbed.transcript.file("What the machine is", facts)
    wait_until(lambda: "Job terminated" in testbed.pool.read(f"{HOME}/plain.log"), "the job has run")
    assert testbed.pool.read(f"{HOME}/plain.out") == "42\nno metadata\n"
    testbed.checked("the job used the program of ImagePackages, and could not reach the metadata service")
    said = machine.said()
    testbed.transcript.file("What the machine's console says", "\n".join(said))
    assert machine.must("cat /run/boot-commands") == f"plain in {REGION}\n"
    _check_image(laboratory, machine)
    _check_rules(machine)
    testbed.checked("the rules of the metadata service can be loaded with the modules that a builder has loaded")
    seconds = machine.wait_until_off("terminated")
    testbed.checked(f"without a job the machine shut itself down, and is terminated, after {seconds:.0f} s in all")
    wait_until(lambda: machine.instance_id not in laboratory.slots("EC2InstanceID"), "the slot is gone")


def test_a_spot_machine_drains_and_another_says_why_it_cannot_join(laboratory: Laboratory) -> None:
    """One gets the notice two minutes before its end. The tarball of the other is no archive."""
    testbed = laboratory.testbed
    broken = _started(laboratory, "broken")
    bucket = testbed.outputs[REGION][Output.S3_BUCKET_NAME]
    testbed.root.client("s3").put_object(Bucket=bucket, Key="config-broken.tar.gz", Body=b"no archive")
    spot = _started(laboratory, "spot", "--spot")
    _submit(laboratory, "spot", LONG)
    _wait_until_joined(laboratory, spot)
    log = f"{HOME}/spot.log"
    wait_until(lambda: "Job executing" in testbed.pool.read(log), "the job is running")
    _reboot(laboratory, spot)
    wait_until(lambda: testbed.pool.read(log).count("Job executing") > 1, "the job is running again")
    end = datetime.now(UTC) + timedelta(minutes=2)
    notice = f"{end:%Y-%m-%dT%H:%M:%SZ}"
    ec2 = testbed.root.client("ec2")
    ec2.create_tags(Resources=[spot.instance_id], Tags=[{"Key": INTERRUPTION_TAG, "Value": notice}])
    spot.wait_until_off("terminated")
    assert "Job was evicted" in testbed.pool.read(log)
    testbed.checked("the spot machine told its job to end, left the pool, and is terminated")
    broken.wait_until_off("terminated")
    assert "giving up, the machine shuts down: config.tar.gz cannot be unpacked" in broken.said()[-1]
    assert "Started condor.service" not in without_sequences(broken.console)
    testbed.checked("the machine with the broken tarball said why, and is terminated; HTCondor never started")


def test_builders_that_fail_say_why_and_end(laboratory: Laboratory) -> None:
    """One has no way out; the other is at its time limit, which is a minute here."""
    testbed = laboratory.testbed
    with laboratory.hardware(Hardware(packages=False)):
        cut_off = laboratory.run_base(patched(ImageInputs("cut-off")))
        slow = laboratory.run_base(patched(ImageInputs("slow"), TIME_LIMIT_MINUTES="1"))
        cut_off.wait_until_off("stopped")
        slow.wait_until_off("stopped")
    outcome = read_outcome(cut_off.console, "cut-off")
    assert outcome is not None
    testbed.transcript.file("Why the build failed", outcome.reason)
    assert outcome.reason.startswith("reaching Debian's packages failed")
    assert "No way to the packages: the builder's subnet needs a way out" in outcome.reason
    # What systemd says where it has to wait for processes that do not end, up to 90 seconds.
    assert "Waiting for process" not in slow.console
    outcome = read_outcome(slow.console, "slow")
    assert outcome is not None
    assert not outcome.succeeded
    testbed.checked("nothing kept the machine from ending at its time limit")


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


def _started(laboratory: Laboratory, annex: str, *more: str) -> Machine:
    options = ["--cores", "2", *more, "--duration", "2h", "--idle", IDLE, "--yes", "--profile", ADMINISTRATOR]
    laboratory.testbed.annex_bootstrap("start", annex, *options)
    return laboratory.machine_of(annex)


def _submit(laboratory: Laboratory, annex: str, script: str) -> None:
    pool = laboratory.testbed.pool
    pool.write(f"{HOME}/{annex}.sh", script)
    pool.write(f"{HOME}/{annex}.submit", JOB.format(annex=annex))
    pool.must(["condor_submit", f"{annex}.submit"], user=USER)


def _wait_until_joined(laboratory: Laboratory, machine: Machine) -> None:
    joined = lambda: machine.instance_id in laboratory.slots("EC2InstanceID")  # noqa: E731  # said twice otherwise
    wait_until(joined, f"{machine.instance_id} is in the pool", machine.last_words)
    seconds = time.monotonic() - machine.began
    laboratory.testbed.transcript.note(f"power on to in the pool took {seconds:.0f} s")


def _reboot(laboratory: Laboratory, machine: Machine) -> None:
    """Reboot a machine, which must come back to the pool by itself."""
    ask = ["condor_status", "-master", "-af", "DaemonStartTime", "-constraint", f'Machine != "{POOL}"']
    started = laboratory.testbed.pool.run(ask).stdout
    machine.shell.start("systemctl reboot")
    again = lambda: laboratory.testbed.pool.run(ask).stdout not in ("", started)  # noqa: E731  # as above
    seconds = wait_until(again, f"{machine.instance_id} is in the pool again", machine.last_words)
    laboratory.testbed.checked(f"after a reboot the machine was in the pool again in {seconds:.0f} s")


def _check_image(laboratory: Laboratory, machine: Machine) -> None:
    """Look at what the image brought along, on a machine that has made its own of what it needs."""
    kernels = machine.must("ls /boot/vmlinuz-*").split()
    assert len(kernels) == 1
    assert kernels[0].endswith(machine.must("uname -r").strip())
    own = machine.must("cat /sys/class/net/*/address /etc/netplan/*.yaml")
    assert set(re.findall(r"0e(?::[0-9a-f]{2}){5}", own)) == {machine.mac}
    assert machine.must("cat /etc/machine-id") == machine.must("ls /var/log/journal")
    assert machine.must("ls /var/lib/cloud/instances").split() == [machine.instance_id]
    assert machine.must("hostname").strip() == machine.describe()["PrivateDnsName"].partition(".")[0]
    # A file that the image had would be written again, and not made again.
    born, booted = (float(text) for text in machine.must(SEED).split())
    assert born > booted
    ad = laboratory.testbed.pool.run(["condor_status", "-af", "MyAddress"]).stdout
    assert "[" not in ad, ad
    laboratory.testbed.checked("the image has one kernel, and of its builder neither name, network nor journal")


def _check_rules(machine: Machine) -> None:
    """Check the rules as a builder whose running kernel has lost its modules does."""
    machine.must(
        "cd /lib/modules && mv $(uname -r) gone && trap 'mv gone $(uname -r)' EXIT;"
        " nft --check --file /usr/local/lib/annex-bootstrap/metadata.nft"
    )
