"""The image that a stack's builder makes, booted as the machines of annexes; each test builds on those before it.

The builder ran the user data as cloud-init runs it, in a Debian that systemd booted, before these tests began. The
machines boot from what that left, with systemd, and nobody logs in to help.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from annex_contract.stack import Output
from local_aws.launcher import INTERRUPTION_TAG, METADATA_ADDRESS
from machine_image.user_data import NEVER_PROXIED, proxy_files
from tests.htcondor.image import INPUTS, Builder, base_image
from tests.htcondor.namespaces import POOL, REGION
from tests.htcondor.pool import USER
from tests.htcondor.stand_in import ADMINISTRATOR, EVERYTHING, booted, said_by
from tests.htcondor.testbed import CONDOR, INSTANCE_TYPE, USER_CONFIG, Testbed, aws_profiles, submit

# Also for the tests that look at the image alone: the transcript is the testbed's.
pytestmark = pytest.mark.usefixtures("testbed")

STORED_PASSWORD = "/etc/condor/annex_pool_password"

IDLE_SECONDS = 90
"""After this time without a job a machine goes. The negotiator comes by once a minute."""

USER_KNOBS = f"""\
SEC_PASSWORD_FILE = {CONDOR}/annex_pool_password
ANNEX_DEFAULT_ODI_INSTANCE_TYPE = {INSTANCE_TYPE}
us_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID = {{image}}
ANNEX_DEFAULT_UNCLAIMED_TIMEOUT = {IDLE_SECONDS}
"""

# It asks as the stock boot script of condor-annex-ec2 would, and with a token; a slot user must get neither answer.
USEFUL = f"""\
#!/bin/sh
echo '{{"answer": 42}}' | jq .answer
hostname
ask='import urllib.request as r; print(r.urlopen(r.Request("http://{METADATA_ADDRESS}/latest/api/token", method="PUT",
headers={{"X-aws-ec2-metadata-token-ttl-seconds": "60"}}), timeout=5).status)'
python3 -c "$ask" || echo "no metadata"
echo "$http_proxy $HTTPS_PROXY $no_proxy"
"""

PROXY = "http://proxy.example.org:3128"
"""A proxy that does not exist: everything that the machine needs is reached without it."""

WITHOUT_TOKEN = f"http://{METADATA_ADDRESS}/latest/meta-data/instance-id"

LONG = """\
#!/bin/sh
trap 'echo told to end; exit 0' TERM
echo begun
sleep 600 &
wait
"""


def test_a_pool_and_a_stack_are_ready(testbed: Testbed) -> None:
    """As in the guide."""
    testbed.annex_bootstrap("pool-config", "--collector", POOL, user="root")
    testbed.pool.must(["condor_restart"])
    ask = ["condor_status", "-schedd", "-af", "MyAddress"]
    joins = testbed.annex_collector
    testbed.wait_until(lambda: ":9618" in testbed.pool.run(ask, env=joins).stdout, "the schedd is where machines join")
    copy = ["install", "-D", "-m", "600", "-o", USER, "-g", USER, STORED_PASSWORD, f"{CONDOR}/annex_pool_password"]
    testbed.pool.must(copy)
    testbed.pool.write(USER_CONFIG, USER_KNOBS.format(image=testbed.image()))
    for path, text in aws_profiles({ADMINISTRATOR: testbed.make_user(ADMINISTRATOR, EVERYTHING)}).items():
        testbed.pool.write(path, text)
    testbed.annex_bootstrap("deploy", "--yes", "--profile", ADMINISTRATOR, "--region", REGION)
    testbed.read_outputs(REGION)
    testbed.annex_bootstrap("credentials", "--profile", ADMINISTRATOR, "--region", REGION)
    types = ["fleet-config", "--types", "c7i.large", "--image", testbed.image()]
    testbed.annex_bootstrap(*types, "--profile", ADMINISTRATOR, "--region", REGION)


def test_the_image_holds_nothing_that_machines_must_not_share(image: Path) -> None:
    """What identifies a machine is made again on each; what the builder wrote is gone."""
    shared = [
        *image.glob("etc/ssh/ssh_host_*"),
        *image.glob("etc/condor/passwords.d/*"),
        *image.glob("var/lib/cloud/instances/*"),
        *image.glob("var/lib/cloud/seed/*"),
        *image.glob("var/lib/apt/lists/*_*"),
        *image.glob("var/log/**/*.log"),
        *image.glob("var/log/journal/*/*"),
        *image.glob("usr/sbin/policy-rc.d"),
        *image.glob("var/lib/systemd/random-seed"),
    ]
    assert shared == []
    assert (image / "etc/machine-id").read_text() == ""
    assert (image / "etc/annex-image-commands").read_text().startswith("jq-")


def test_a_machine_of_an_annex_boots_with_tokens_only_and_runs_a_job(testbed: Testbed, image: Path) -> None:
    """The metadata service answers no request without a token, and tells no tags.

    The job uses the program of ImagePackages, and tries to reach the metadata service.
    """
    testbed.start_annex("plain")
    (machine,) = testbed.machines("plain")
    instance_id = machine["InstanceId"]
    submit(testbed.pool, "plain", USEFUL)
    with booted(testbed, image, instance_id, proxy_files(PROXY, ".amazonaws.com")) as stand_in:
        testbed.wait_until(lambda: "done; HTCondor starts" in stand_in.console, "the boot service is done")
        said = said_by(stand_in)
        testbed.transcript.file("What the machine's console says", "\n".join(said))
        bucket = testbed.outputs[REGION][Output.S3_BUCKET_NAME]
        assert any(f"unpacked s3://{bucket}/config-plain.tar.gz in /etc/condor" in line for line in said)
        asked = stand_in.run(["python3", "-c", f"import urllib.request as r; r.urlopen('{WITHOUT_TOKEN}')"])
        assert "401" in asked.stderr
        testbed.checked("a request without a token is refused, so the machine booted with tokens only")
        assert stand_in.read("/run/boot-commands") == f"plain in {REGION}\n"
        testbed.checked("the boot commands ran before HTCondor started")
        readable = ["find", "/etc/condor", "-type", "f", "-perm", "/o=r", "-not", "-name", "*.config"]
        assert set(stand_in.must(readable).split()) <= {"/etc/condor/condor_config", *_READABLE}
        testbed.checked("root alone can read the secrets from the tarball")
        testbed.wait_until(lambda: instance_id in _slots(testbed), "the machine is in the pool")
        testbed.command("condor_wait", "-wait", "180", "plain.log")
        _, output = testbed.command("cat", "plain.out")
        proxied = f"{PROXY} {PROXY} {','.join(NEVER_PROXIED)},.amazonaws.com"
        assert output == f"42\nmachine.example.org\nno metadata\n{proxied}\n"
        testbed.checked("the job used the program from ImagePackages, and could not reach the metadata service")
        testbed.checked("the job has the proxy in its environment, and the boot step and HTCondor work beside it")
        stand_in.wait_until_off(3 * IDLE_SECONDS)
        testbed.checked("without a job the machine shut itself down")


def test_a_spot_machine_drains_when_ec2_takes_it_back(testbed: Testbed, image: Path) -> None:
    """This machine learns its annex from its tags in the metadata. The notice comes two minutes before the end."""
    assert "Annex started." in testbed.condor_annex("-slots", "1", "-annex-name", "spot", "-yes")
    instance_id = testbed.machines("spot")[0]["InstanceId"]
    ec2 = testbed.root.client("ec2")
    ec2.modify_instance_metadata_options(InstanceId=instance_id, InstanceMetadataTags="enabled")
    submit(testbed.pool, "spot", LONG)
    with booted(testbed, image, instance_id) as stand_in:
        log = ["cat", "spot.log"]
        testbed.wait_until(lambda: "Job executing" in testbed.pool.run(log).stdout, "the job is running")
        end = datetime.now(UTC) + timedelta(minutes=2)
        ec2.create_tags(Resources=[instance_id], Tags=[{"Key": INTERRUPTION_TAG, "Value": f"{end:%Y-%m-%dT%H:%M:%SZ}"}])
        took = stand_in.wait_until_off(120)
        testbed.transcript.note(f"The machine was off {took:.0f} s after the notice")
        testbed.wait_until(lambda: instance_id not in _slots(testbed), "the slot is gone from the pool")
        testbed.checked("the slot is gone from the pool")
        _, output = testbed.command("cat", "spot.log")
        assert "Job was evicted" in output
        testbed.checked("the job was told to end, and is idle again")


def test_a_machine_that_cannot_join_says_why_and_shuts_down(testbed: Testbed, image: Path) -> None:
    """Its tarball is no archive. HTCondor never starts."""
    testbed.start_annex("broken")
    (machine,) = testbed.machines("broken")
    bucket = testbed.outputs[REGION][Output.S3_BUCKET_NAME]
    testbed.root.client("s3").put_object(Bucket=bucket, Key="config-broken.tar.gz", Body=b"no archive")
    with booted(testbed, image, machine["InstanceId"]) as stand_in:
        stand_in.wait_until_off(120)
        said = said_by(stand_in)
        testbed.transcript.file("What the machine's console says", "\n".join(said))
        assert "giving up, the machine shuts down: config.tar.gz cannot be unpacked" in said[-1]
        assert "Started condor.service" not in stand_in.console


def test_a_builder_without_a_way_to_the_packages_says_so() -> None:
    """The network of these tests has no way out."""
    with Builder(base_image(), replace(INPUTS, build_id="cut-off"), kept=False) as builder:
        built = builder.build(600)
    assert built.outcome is not None
    assert not built.outcome.succeeded
    assert built.outcome.reason.startswith("reaching Debian's packages failed")
    assert "No way to the packages: the builder's subnet needs a way out" in built.outcome.reason
    assert built.outcome.reason.rpartition(" | ")[2].startswith("E: ")


def test_a_builder_that_fails_half_way_shows_its_last_lines(testbed: Testbed) -> None:
    """Here apt has no sources, so the first package that is missing ends the build."""
    with _WithoutSources(base_image(), replace(INPUTS, build_id="half-way"), kept=False) as builder:
        built = builder.build(600)
    assert built.outcome is not None
    testbed.transcript.file("Why the build failed", built.outcome.reason)
    assert not built.outcome.succeeded
    assert built.outcome.reason.startswith("installing HTCondor failed")
    assert built.outcome.reason.endswith("E: Unable to locate package nftables")


_READABLE = (
    "/etc/condor/ganglia.d/00_default_metrics",
    "/etc/condor/metrics.d/00_default_metrics",
    # What HTCondor knows of other hosts' certificates, once it has spoken with one.
    "/etc/condor/known_hosts",
)


class _WithoutSources(Builder):
    def _prepare(self) -> None:
        super()._prepare()
        self.must(["rm", "/etc/apt/sources.list"])


def _slots(testbed: Testbed) -> str:
    return testbed.pool.run(["condor_status", "-af", "Name", "EC2InstanceID"], env=testbed.annex_collector).stdout
