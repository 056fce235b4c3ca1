"""The testbed of the end-to-end tests: a local AWS and an HTCondor pool that reaches it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from annex_bootstrap.pool.htcondor import FIRST_HTCONDOR_ANNEX
from annex_contract.knobs import DEFAULT_PORT
from annex_contract.stack import ANNEX_TAG, DEFAULT_STACK_NAME, Output
from local_aws.demo.inventory import Inventory, take_inventory
from local_aws.launcher import ACCOUNT, LocalAws, local_aws
from local_aws.machines.settings import MachineSettings
from tests.htcondor import namespaces
from tests.htcondor.host import Host
from tests.htcondor.pool import USER, Pool
from tests.htcondor.root import version
from tests.htcondor.transcript import Transcript

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

CHECKOUT = Path(__file__).parent.parent.parent
HOME = f"/home/{USER}"
CONDOR = f"{HOME}/.condor"
USER_CONFIG = f"{CONDOR}/user_config"
DEPLOYER = "deployer"
OPERATOR = "operator"

SPEED = 100
"""How many times faster than the clock schedules run: rate(5 minutes) fires every three seconds."""

PATIENCE = 120.0
"""Seconds to wait for anything."""

INTRODUCTION = """\
Everything below happens in a Debian with HTCondor {version}, on a network without a way out, in which AWS's own host
names lead to a local AWS with TLS and with IAM enforced. `$` is the prompt of the scientist, `#` that of root. What
`deploy` and `delete` say about single resources is left out."""

AP_COLLECTOR = f"{namespaces.POOL}:9618?sock=ap_collector"
"""Where machines join since 24.11."""

INSTANCE_TYPE = "m7i.large"

_JOB = """\
executable = /bin/hostname
transfer_executable = False
should_transfer_files = YES
output = {name}.out
error = {name}.err
log = {name}.log
"""

_CHOOSE_ANNEX = """\
requirements = TARGET.AnnexName == MY.TargetAnnexName
+TargetAnnexName = "{annex}"
+MayUseAWS = True
"""
"""What ``htcondor job submit --annex-name`` adds by itself, where there is such a command."""

_SCRIPT_JOB = f"""\
executable = {{annex}}.sh
transfer_executable = True
should_transfer_files = YES
when_to_transfer_output = ON_EXIT_OR_EVICT
output = {{annex}}.out
error = {{annex}}.err
log = {{annex}}.log
{_CHOOSE_ANNEX}queue
"""

_COMMAND = "/usr/bin/annex-bootstrap"
_SOURCES, _PACKAGES = "/opt/annex-bootstrap/sources", "/opt/annex-bootstrap/packages"
# What an installation compiles once is compiled by the first run here: the sources are read-only.
_PROGRAM = f"""\
#!/bin/sh
export PYTHONPATH={_SOURCES}:{_PACKAGES} PYTHONPYCACHEPREFIX="$HOME/.cache/python"
exec python3 -m annex_bootstrap "$@"
"""
CLIENT_DIRECTORIES = {_SOURCES: CHECKOUT, _PACKAGES: Path(boto3.__file__).parent.parent}
"""Where a pool sees annex-bootstrap and what it imports."""

_CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"

NOT_RUNNING = {"shutting-down", "terminated"}


@dataclass
class Testbed:
    """A local AWS under AWS's own host names, a pool, and what the tests know of both.

    Attributes:
        local: the local AWS.
        root: a session with the root keys of its account.
        pool: where condor_annex and our commands run.
        transcript: prints what happens.
        before: what the account held at the beginning, by region.
        version: of HTCondor.
        outputs: of the stack, by region.
    """

    # The name begins with "Test", but this is no test class.
    __test__ = False

    local: LocalAws
    root: boto3.Session
    pool: Pool
    transcript: Transcript
    before: Mapping[str, Inventory]
    version: tuple[int, ...]
    outputs: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def annex_bootstrap(self, *arguments: str, user: str = USER) -> str:
        """Run one of our commands in the pool as a user would; it must succeed.

        Returns:
            What it printed.
        """
        ended = self.pool.run(["annex-bootstrap", *arguments], user=user, seconds=300)
        output = ended.stdout + ended.stderr
        self.transcript.command(f"annex-bootstrap {' '.join(arguments)}", output, user=user)
        assert ended.returncode == 0, output
        return output

    @property
    def has_annex_command(self) -> bool:
        """Whether this HTCondor starts annexes with ``htcondor annex create``, and no longer with condor_annex."""
        return self.version >= FIRST_HTCONDOR_ANNEX

    def command(self, *arguments: str, env: Mapping[str, str] | None = None, user: str = USER) -> tuple[int, str]:
        """Run one of HTCondor's commands in the pool, as its user.

        Args:
            arguments: the command.
            env: variables that the user sets for this command.
            user: another user of the pool.

        Returns:
            Its exit code and what it printed.
        """
        # Where HTCondor keeps condor_annex since it is no command for people.
        path = {"PATH": "/usr/sbin:/usr/bin:/usr/libexec/condor"} if self.has_annex_command else {}
        ended = self.pool.run(arguments, user=user, env={**path, **(env or {})}, seconds=200)
        output = ended.stdout + ended.stderr
        given = [f"{name}={value}" for name, value in (env or {}).items()]
        self.transcript.command(" ".join([*given, *arguments]), output)
        return ended.returncode, output

    def condor_annex(self, *arguments: str) -> str:
        """Run condor_annex in the pool; since 24.11 it is in LIBEXEC.

        Returns:
            What it printed. Its exit code says nothing before 24.11.
        """
        return self.command("condor_annex", *arguments, env=self.annex_collector)[1]

    @property
    def annex_collector(self) -> dict[str, str]:
        """The variable that lets HTCondor's commands ask the collector that the machines of annexes join."""
        return {"_CONDOR_COLLECTOR_HOST": AP_COLLECTOR} if self.has_annex_command else {}

    def write_job(self, name: str, more: str, *, user: str = USER, count: int = 1) -> str:
        """Write the submit file of jobs that print their host's name; their files are named like them.

        Args:
            name: of the job.
            more: lines that say where it may run.
            user: whose job it is.
            count: how many.

        Returns:
            The file's name.
        """
        queue = "queue" if count == 1 else f"queue {count}"
        file, text = f"{name}.submit", f"{_JOB.format(name=name)}{more}{queue}\n"
        self.pool.write(f"/home/{user}/{file}", text, user=user)
        self.transcript.file(file, text)
        return file

    def submit_job(self, annex: str) -> None:
        """Submit a job that runs in one annex only, with HTCondor's command for people; it is named like the annex."""
        submit = self.write_job(annex, "" if self.has_annex_command else _CHOOSE_ANNEX.format(annex=annex))
        new = ["htcondor", "job", "submit", submit, "--annex-name", annex]
        code, output = self.command(*(new if self.has_annex_command else ["condor_submit", submit]))
        assert code == 0, output

    def start_annex(self, annex: str, *, count: int = 1, region: str = namespaces.REGION) -> float:
        """Start an annex on demand, with HTCondor's command for people; it must succeed.

        Where that command wants a job that waits for the annex, it is submitted first.

        Returns:
            Seconds from the command until AWS knew a machine.
        """
        other = region != namespaces.REGION
        if self.has_annex_command:
            self.submit_job(annex)
            create = ["htcondor", "annex", "create", annex, f"{INSTANCE_TYPE}@aws-ec2", "--nodes", str(count)]
            with self.stopwatch(annex, region) as seconds:
                code, output = self.command(*create, env={"_CONDOR_ANNEX_DEFAULT_AWS_REGION": region} if other else {})
            assert code == 0, output
        else:
            options = ["-aws-region", region] if other else []
            with self.stopwatch(annex, region) as seconds:
                output = self.condor_annex(*options, "-count", str(count), "-annex-name", annex, "-yes")
            assert "Annex started." in output
        return seconds[0]

    @contextmanager
    def stopwatch(self, annex_id: str, region: str = namespaces.REGION) -> Iterator[Sequence[float]]:
        """Yield, once the context is over, the seconds after which AWS knew the first new machine of an annex."""
        before, began = len(self.machines(annex_id, region)), time.monotonic()
        seconds: list[float] = []
        over = Event()

        def look() -> None:
            while not seconds:
                last = over.wait(0.05)
                if len(self.machines(annex_id, region)) > before:
                    seconds.append(time.monotonic() - began)
                elif last:
                    return

        looking = Thread(target=look)
        looking.start()
        try:
            yield seconds
        finally:
            over.set()
            looking.join()

    def checked(self, fact: str) -> None:
        """Print what was checked."""
        self.transcript.checked(fact)

    def machines(self, annex_id: str, region: str = namespaces.REGION) -> list[InstanceTypeDef]:
        """Return the running machines of an annex, found by their tag in AWS."""
        pages = self.root.client("ec2", region_name=region).get_paginator("describe_instances").paginate()
        return [
            instance
            for page in pages
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
            if {"Key": ANNEX_TAG, "Value": annex_id} in instance.get("Tags", [])
            and instance["State"]["Name"] not in NOT_RUNNING
        ]

    def leases(self, region: str = namespaces.REGION) -> set[str]:
        """Return the names of the rules that condor_annex created."""
        rules = self.root.client("events", region_name=region).list_rules()["Rules"]
        return {rule["Name"] for rule in rules if not rule["Name"].startswith(DEFAULT_STACK_NAME)}

    def lease(self, annex_id: str, region: str = namespaces.REGION) -> dict[str, Any]:
        """Return the input of the lease's only target, which must be our function."""
        (target,) = self.root.client("events", region_name=region).list_targets_by_rule(Rule=annex_id)["Targets"]
        assert (target["Id"], target["Arn"]) == (annex_id, self.outputs[region][Output.LEASE_FUNCTION_ARN])
        lease: dict[str, Any] = json.loads(target["Input"])
        return lease

    def let_leases_end(self) -> None:
        """Let the time of all leases pass, and wait until they and what is left of their annexes have ended."""
        events, annexes = self.root.client("events"), self.leases()
        assert annexes
        for annex in annexes:
            (target,) = events.list_targets_by_rule(Rule=annex)["Targets"]
            lease = {**json.loads(target["Input"]), "LeaseExpiration": int(time.time())}
            events.put_targets(Rule=annex, Targets=[{**target, "Input": json.dumps(lease)}])
        self.wait_until(lambda: not self.leases(), "the leases are gone")
        assert [self.machines(annex) for annex in annexes] == [[]] * len(annexes)
        assert self.tarballs() == set()

    def tarballs(self, region: str = namespaces.REGION) -> set[str]:
        """Return the keys in the stack's bucket."""
        bucket = self.outputs[region][Output.S3_BUCKET_NAME]
        listed = self.root.client("s3", region_name=region).list_objects_v2(Bucket=bucket)
        return {entry["Key"] for entry in listed.get("Contents", [])}

    def wait_until(self, happened: Callable[[], bool], what: str) -> float:
        """Wait until something has happened, at most ``PATIENCE`` seconds.

        Returns:
            Seconds that it took.
        """
        began = time.monotonic()
        while not happened():
            assert time.monotonic() - began < PATIENCE, f"timed out after {PATIENCE:.0f} s waiting until {what}"
            time.sleep(0.5)
        return time.monotonic() - began

    def read_outputs(self, region: str) -> Mapping[str, str]:
        """Read a stack's outputs, and let the pool resolve its bucket's host names."""
        client = self.root.client("cloudformation", region_name=region)
        (stack,) = client.describe_stacks(StackName=DEFAULT_STACK_NAME)["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        self.outputs[region] = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        self.pool.resolve(bucket_names(self.outputs[region][Output.S3_BUCKET_NAME], region))
        return self.outputs[region]

    def image(self, region: str = namespaces.REGION) -> str:
        """Return the ID of any machine image in the region."""
        return self.root.client("ec2", region_name=region).describe_images(Owners=["amazon"])["Images"][0]["ImageId"]

    def make_user(self, name: str, policy: str | None = None) -> tuple[str, str]:
        """Create an IAM user, as an administrator of the account would, with one inline policy or none.

        Returns:
            The two parts of its access key.
        """
        iam = self.root.client("iam")
        iam.create_user(UserName=name)
        if policy is not None:
            iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]


def bucket_names(bucket: str, region: str) -> dict[str, str]:
    """Return the host names of a bucket, each with its address."""
    return dict.fromkeys((f"{bucket}.s3.amazonaws.com", f"{bucket}.s3.{region}.amazonaws.com"), namespaces.AWS_ADDRESS)


@contextmanager
def start_testbed(root: Path, machines: MachineSettings | None = None, speed: int = SPEED) -> Iterator[Testbed]:
    """Start a local AWS under AWS's own host names and a pool with our commands installed.

    Args:
        root: a root directory with HTCondor.
        machines: what the local AWS runs its instances with; None where it only records them.
        speed: how many times faster than the clock schedules run.
    """
    staging = f"{DEFAULT_STACK_NAME}-staging-{ACCOUNT}"
    hosts = namespaces.names()
    for region in namespaces.REGIONS:
        hosts |= bucket_names(f"{staging}-{region}", region)
    with (
        pytest.MonkeyPatch.context() as patch,
        local_aws(speed, namespaces.REGIONS, machines=machines) as local,
        Pool(
            root,
            hosts=hosts,
            ca_pem=local.ca_file.read_text(),
            directories=CLIENT_DIRECTORIES,
            # In this network nobody else has it; the schedd is elsewhere until the shared port is switched on.
            port=DEFAULT_PORT,
            shared_port=False,
        ) as pool,
    ):
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in local.environ(local.root).items():
            # boto3 reads AWS_DEFAULT_REGION only; in the pool the region stands in the profiles.
            if name != "AWS_REGION":
                patch.setenv(name, value)
        install_client(pool)
        session = boto3.Session()
        before = {region: take_inventory(boto3.Session(region_name=region)) for region in namespaces.REGIONS}
        transcript = Transcript()
        htcondor = version(root)
        transcript.begin(INTRODUCTION.format(version=".".join(map(str, htcondor))))
        yield Testbed(local, session, pool, transcript, before, htcondor)


def submit(pool: Pool, annex: str, script: str) -> None:
    """Submit a job that runs a script in one annex only; it is named like the annex."""
    pool.write(f"{HOME}/{annex}.sh", script)
    pool.write(f"{HOME}/{annex}.submit", _SCRIPT_JOB.format(annex=annex))
    pool.must(["condor_submit", f"{annex}.submit"], user=USER)


def install_client(pool: Host) -> None:
    """Install annex-bootstrap on a host that sees ``CLIENT_DIRECTORIES``."""
    # The packages are those of the environment that runs the tests; all that the client needs is pure Python.
    pool.write(
        _COMMAND,
        _PROGRAM,
        user="root",
    )
    pool.must(["chmod", "755", _COMMAND])


def aws_profiles(keys: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Return the files in which AWS's own tools and ours find profiles.

    Args:
        keys: the two parts of an access key, by the profile's name.

    Returns:
        The text of each file, by its path.
    """
    credentials = [
        f"[{name}]\naws_access_key_id = {key[0]}\naws_secret_access_key = {key[1]}\n" for name, key in keys.items()
    ]
    config = [f"[profile {name}]\nregion = {namespaces.REGION}\nca_bundle = {_CA_BUNDLE}\n" for name in keys]
    return {f"{HOME}/.aws/credentials": "".join(credentials), f"{HOME}/.aws/config": "".join(config)}
