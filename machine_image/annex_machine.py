"""Make a machine part of its annex, and drain it when EC2 takes it back. Runs on the machine.

With ``boot`` it does what the boot script of HTCondor's package condor-annex-ec2 does, for the tarballs of every
``condor_annex`` and ``htcondor annex``, and asks the metadata service with a token only. A machine of
``annex-bootstrap start`` has a tarball that no other machine can read: it reads that once, and deletes it. It reports
each step on its standard output, and exits with 1 when it gives up; its unit then shuts the machine down. With
``watch`` it waits for the notice that EC2 gives to a spot machine two minutes before it is interrupted.

Source of what the machine is given: HTCondor's ``src/condor_annex``; of the metadata:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from machine_image.aws_calls import AwsCalls, Keys, Place, RefusedError

PATIENCE = 600.0
"""Seconds after which a machine that has not found its annex gives up."""

NOTICE_INTERVAL = 5.0
"""Seconds between two questions about a notice:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html"""

START_PATIENCE = 300.0
"""Seconds after which a machine of ``start`` whose tarball never came gives up: its client was interrupted."""

ANNEX_TAG = "htcondor:AnnexName"
CONFIGURATION_TAG = "annex-bootstrap:configuration"
FLEET_TAG = "aws:ec2spot:fleet-request-id"

INSTANCE_STORE = "Amazon EC2 NVMe Instance Storage"
"""The model that a disk of the instance store reports; a volume of EBS says "Amazon Elastic Block Store":
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/add-instance-store-volumes.html"""

JOBS_LABEL = "annex-jobs"
"""The label of the file system that this script makes on the instance store."""

METADATA = "http://169.254.169.254/latest"
CONDOR = Path("/etc/condor")
INSTANCE_CONFIG = CONDOR / "config.d/49-annex-instance.config"
BOOT_COMMANDS = Path("/etc/annex-bootstrap/boot-commands")
CONFIGURED = Path("/etc/annex-bootstrap/configured")
"""Names the machine whose own tarball is unpacked, so that it needs none when it boots again."""

RULES = Path(__file__).parent.with_name("metadata.nft")

_TARBALL = re.compile(r"arn:[^:]+:s3:::([^/*]+)/(config-\*\.tar\.gz)")
_TOKEN_SECONDS = 21_600

T = TypeVar("T")


class NotYetError(Exception):
    """Something is not there, and may be soon: a new machine meets a role that is not yet known everywhere."""


class GiveUpError(Exception):
    """This machine cannot be part of an annex; the text says why."""


class Metadata:
    """The instance metadata service, asked with a token always."""

    def __init__(self, address: str = METADATA) -> None:
        """Ask nothing yet.

        Args:
            address: up to the version.
        """
        self._address = address
        self._token = ""
        # A proxy for the network outside must not get these requests, nor the answers.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def find(self, item: str) -> str | None:
        """Return an item, or None where there is none.

        Raises:
            NotYetError: the service does not answer, or not to tokens.
        """
        for _ in range(2):
            if not self._token:
                lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
                self._token = self._ask("PUT", "api/token", lifetime)
            try:
                return self._ask("GET", item, {"X-aws-ec2-metadata-token": self._token})
            except urllib.error.HTTPError as error:
                if error.code == 404:
                    return None
                if error.code != 401:
                    raise NotYetError(f"the metadata service answers {error.code} for {item}") from error
                self._token = ""
        raise NotYetError("the metadata service takes no token")

    def get(self, item: str) -> str:
        """Return an item that every machine has.

        Raises:
            NotYetError: it is not there.
        """
        text = self.find(item)
        if not text:
            raise NotYetError(f"the metadata service has no {item}")
        return text

    def _ask(self, method: str, item: str, headers: Mapping[str, str]) -> str:
        request = urllib.request.Request(f"{self._address}/{item}", headers=dict(headers), method=method)
        try:
            with self._opener.open(request, timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            if method == "GET":
                raise
            raise NotYetError(f"the metadata service answers {error.code} for a token") from error
        except (OSError, http.client.HTTPException) as error:
            raise NotYetError(f"the metadata service does not answer: {error}") from error


def annex_of_token(client_token: str) -> str | None:
    """Return the annex ID in a client token ``<annex ID>_<uuid>``; an annex ID may itself hold underscores."""
    return client_token.rpartition("_")[0] or None


def tarball_of(documents: Iterable[Mapping[str, Any]]) -> tuple[str, str] | None:
    """Return bucket and key pattern of the tarballs that a role may read.

    Args:
        documents: its inline policies.

    Returns:
        The bucket, and the key with ``*`` for the annex; None where no policy has a resource of that form alone.
    """
    for document in documents:
        for statement in _listed(document.get("Statement")):
            for resource in _listed(statement.get("Resource")):
                if found := _TARBALL.fullmatch(resource):
                    return found[1], found[2]
    return None


def target_of(names: Iterable[str]) -> Path:
    """Return where a tarball with these members belongs: since 24.11 it holds the folders of ``/etc/condor``."""
    return CONDOR if any(name.removeprefix("./").startswith("config.d/") for name in names) else CONDOR / "config.d"


def mode_of(name: str) -> int:
    """Return the permissions of a tarball's member: tools read the configuration; the rest are secrets."""
    return 0o644 if name.endswith(".config") else 0o600


def instance_config(instance_id: str, public_address: str | None, ipv6_address: str | None) -> str:
    """Return HTCondor's configuration of one machine.

    Args:
        instance_id: which ``condor_annex`` matches with what AWS says.
        public_address: where others reach it; no interface of the machine has it.
        ipv6_address: as EC2 knows it. HTCondor advertises any other that an interface has, and nobody reaches it.
    """
    lines = [
        f'EC2InstanceID = "{instance_id}"',
        # Machines of two networks may have one private address, and so one host name, by which the collector would
        # take them for one.
        f"MASTER_NAME = {instance_id}",
        f"STARTD_NAME = {instance_id}",
    ]
    if public_address:
        lines.append(f"TCP_FORWARDING_HOST = {public_address}")
    if not ipv6_address:
        lines.append("ENABLE_IPV6 = False")
    return "\n".join([*lines, ""])


def instance_store(block: Path = Path("/sys/block")) -> list[str]:
    """Return the names of the disks that say that they are of the instance store.

    Args:
        block: where the kernel lists its disks.
    """
    models = {path.parent.parent.name: path.read_text() for path in sorted(block.glob("*/device/model"))}
    return [name for name, model in models.items() if model.strip() == INSTANCE_STORE]


def unpack(tarball: Path, target: Callable[[Iterable[str]], Path] = target_of) -> Path:
    """Unpack a tarball where its members say that it belongs.

    Args:
        tarball: a gzipped tar archive.
        target: chooses the directory by the names of the members.

    Returns:
        The directory.

    Raises:
        GiveUpError: it is no such archive, or has members that a configuration does not have.
    """
    try:
        with tarfile.open(tarball, "r:gz") as archive:
            members = archive.getmembers()
            directory = target(member.name for member in members)
            for member in members:
                if not (member.isfile() or member.isdir()):
                    raise GiveUpError(f"{tarball.name} holds {member.name}, which is neither a file nor a directory")
                if member.isfile():
                    member.mode = mode_of(member.name)
                    member.uid = member.gid = 0
                    member.uname = member.gname = "root"
            files = [member for member in members if member.isfile()]
            archive.extractall(directory, members=files, filter="tar")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise GiveUpError(f"{tarball.name} cannot be unpacked: {error}") from error
    return directory


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _say(text: str) -> None:
    sys.stdout.write(f"annex-boot: {text}\n")
    sys.stdout.flush()


def _persist(attempt: Callable[[], T], until: float) -> T:
    """Try something until it succeeds.

    Args:
        attempt: raises NotYetError where it may succeed later.
        until: when to give up, by the monotonic clock.

    Raises:
        GiveUpError: it did not succeed in time.
    """
    began, pause = time.monotonic(), 1.0
    while True:
        try:
            return attempt()
        except NotYetError as error:
            if time.monotonic() + pause > until:
                raise GiveUpError(f"gave up after {(time.monotonic() - began) / 60:.0f} minutes: {error}") from error
            _say(f"{error}; trying again in {pause:.0f} s")
        time.sleep(pause)
        pause = min(pause * 2, 30.0)


def _run(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """Return what a program printed.

    Raises:
        GiveUpError: it failed.
    """
    try:
        ended = subprocess.run(argv, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False)
    except OSError as error:
        raise GiveUpError(f"{argv[0]} cannot be run: {error}") from error
    if ended.returncode:
        said = [line for line in (ended.stdout + ended.stderr).splitlines() if line.strip()][-5:]
        raise GiveUpError(f"{' '.join(argv)} failed: {' | '.join(said)}")
    return ended.stdout


def _calls(metadata: Metadata, region: str) -> tuple[AwsCalls, str]:
    """Return the calls that the machine's role may make, and the role.

    Raises:
        NotYetError: the machine has no role, or no keys of it yet.
    """
    role = metadata.get("meta-data/iam/security-credentials/").split()[0]
    keys = json.loads(metadata.get(f"meta-data/iam/security-credentials/{role}"))
    if keys.get("Code") != "Success":
        raise NotYetError(f"the metadata service has no keys of {role}: {keys.get('Code')}")
    place = Place(region, metadata.get("meta-data/services/domain"), metadata.get("meta-data/services/partition"))
    return AwsCalls(place, Keys(keys["AccessKeyId"], keys["SecretAccessKey"], keys["Token"])), role


def _asked(call: Callable[[], T]) -> T:
    """Return the answer to a call of AWS.

    Raises:
        NotYetError: AWS refused it, which it may do for a while after a role was made.
    """
    try:
        return call()
    except RefusedError as error:
        raise NotYetError(str(error)) from error


def find_annex(metadata: Metadata, calls: AwsCalls, instance_id: str) -> str:
    """Return the ID of the machine's annex: the tag says, or else the client token, of the machine or of its fleet.

    Args:
        metadata: has the tags, where the client that started the machine wanted so.
        calls: of its role.
        instance_id: of the machine.

    Raises:
        NotYetError: nothing says so yet.
    """
    if annex_id := metadata.find(f"meta-data/tags/instance/{ANNEX_TAG}"):
        return annex_id
    described = _asked(lambda: calls.describe_instance(instance_id))
    if described is None:
        raise NotYetError(f"AWS does not know {instance_id} yet")
    tags, client_token = described
    if annex_id := tags.get(ANNEX_TAG) or annex_of_token(client_token):
        return annex_id
    fleet = tags.get(FLEET_TAG)
    if not fleet:
        raise NotYetError("neither a tag nor a client token says which annex this machine belongs to")
    if annex_id := annex_of_token(_asked(lambda: calls.fleet_token(fleet))):
        return annex_id
    raise NotYetError(f"the client token of {fleet} does not say which annex this machine belongs to")


def find_tarball(calls: AwsCalls, role: str) -> tuple[str, str]:
    """Return bucket and key pattern of the tarballs, from the inline policies of the machine's role.

    Raises:
        NotYetError: the role has no such policy.
    """
    found = tarball_of(_asked(lambda: calls.role_policies(role)))
    if found is None:
        raise NotYetError(f"no inline policy of the role {role} names a bucket's config-*.tar.gz")
    return found


def own_tarball(configuration: str, annex_id: str, instance_id: str) -> tuple[str, str]:
    """Return bucket and key of the tarball of one machine.

    Args:
        configuration: the value of its tag: the bucket and the ID of its role.
        annex_id: of its annex.
        instance_id: of the machine.
    """
    bucket, _, role_id = configuration.partition("/")
    return bucket, f"machines/{annex_id}/{role_id}:{instance_id}"


def configure_once(calls: AwsCalls, bucket: str, key: str, instance_id: str, until: float) -> None:
    """Unpack the tarball of this machine and delete it, unless an earlier boot has.

    Raises:
        GiveUpError: it does not come, or cannot be deleted.
    """
    if CONFIGURED.is_file() and CONFIGURED.read_text() == instance_id:
        _say("an earlier boot has read this machine's configuration")
        return

    def read() -> bytes:
        try:
            return calls.read_object(bucket, key)
        except RefusedError as error:
            raise NotYetError(
                f"the client that started this machine has not put its configuration at s3://{bucket}/{key} yet"
                f" ({error})"
            ) from error

    _unpack_once(_persist(read, until), f"s3://{bucket}/{key}")
    # HTCondor starts only when nobody can read it any more.
    _persist(lambda: _asked(lambda: calls.delete_object(bucket, key)), until)
    CONFIGURED.write_text(instance_id)
    _say("deleted it")


def _unpack_once(content: bytes, name: str) -> None:
    # It holds a secret: in memory, and root's alone.
    with tempfile.TemporaryDirectory(dir="/run") as folder:
        tarball = Path(folder, "config.tar.gz")
        tarball.write_bytes(content)
        _say(f"unpacked {name} in {unpack(tarball)}")


def prepare_instance_store() -> None:
    """Let jobs use the instance store, unless it holds something that this script did not put there.

    Raises:
        GiveUpError: it cannot be used.
    """
    for name in instance_store():
        device = f"/dev/{name}"
        if not is_ours_or_blank(device):
            _say(f"{device} holds data, so it is left alone")
            continue
        if not holds_anything(device):
            _run(["mkfs.ext4", "-q", "-E", "nodiscard", "-m", "0", "-L", JOBS_LABEL, device])
        execute = _run(["condor_config_val", "EXECUTE"]).strip()
        Path(execute).mkdir(parents=True, exist_ok=True)
        _run(["mount", "-o", "discard,nosuid,nodev", device, execute])
        _run(["chown", "condor:condor", execute])
        _say(f"jobs run on {device}, of the instance store")
        return


def holds_anything(device: str) -> bool:
    """Tell whether a device or file has a file system, a partition table or anything else that blkid knows."""
    return bool(_run(["wipefs", "--noheadings", "--no-act", device]).strip())


def is_ours_or_blank(device: str) -> bool:
    """Tell whether a device or file has nothing on it, or the file system of an earlier boot of this machine."""
    if not holds_anything(device):
        return True
    return _run(["blkid", "--probe", "--output", "value", "--match-tag", "LABEL", device]).strip() == JOBS_LABEL


def boot() -> None:
    """Make this machine part of its annex; HTCondor starts after that.

    Raises:
        GiveUpError: it cannot be done.
    """
    until = time.monotonic() + PATIENCE
    _run(["nft", "--file", str(RULES)])
    _say("only root reaches the metadata service")
    metadata = Metadata()
    instance_id = _persist(lambda: metadata.get("meta-data/instance-id"), until)
    region = _persist(lambda: metadata.get("meta-data/placement/region"), until)
    public_address = _persist(lambda: metadata.find("meta-data/public-ipv4"), until)
    ipv6_address = _persist(lambda: metadata.find("meta-data/ipv6"), until)
    _say(f"this is {instance_id} in {region}")
    calls, role = _persist(lambda: _calls(metadata, region), until)
    annex_id = _persist(lambda: find_annex(metadata, calls, instance_id), until)
    _say(f"the annex is {annex_id}")
    configuration = _persist(lambda: metadata.find(f"meta-data/tags/instance/{CONFIGURATION_TAG}"), until)
    if configuration:
        bucket, key = own_tarball(configuration, annex_id, instance_id)
        configure_once(calls, bucket, key, instance_id, time.monotonic() + START_PATIENCE)
    else:
        bucket, pattern = _persist(lambda: find_tarball(calls, role), until)
        key = pattern.replace("*", annex_id)
        _unpack_once(_persist(lambda: _asked(lambda: calls.read_object(bucket, key)), until), f"s3://{bucket}/{key}")
    INSTANCE_CONFIG.write_text(instance_config(instance_id, public_address, ipv6_address))
    prepare_instance_store()
    if BOOT_COMMANDS.read_text().strip():
        facts = {"ANNEX_ID": annex_id, "INSTANCE_ID": instance_id, "AWS_REGION": region}
        _run(["bash", "-euo", "pipefail", str(BOOT_COMMANDS)], facts)
        _say("the boot commands have run")
    _say("done; HTCondor starts")


def watch() -> None:
    """Wait for the notice of a spot machine, and then let HTCondor end its jobs in order.

    Ends at once on a machine that is not of the spot market.
    """
    metadata = Metadata()
    if _persist(lambda: metadata.get("meta-data/instance-life-cycle"), time.monotonic() + PATIENCE) != "spot":
        _say("no spot machine, so there is no notice to wait for")
        return
    while not (notice := _notice(metadata)):
        time.sleep(NOTICE_INTERVAL)
    _say(f"EC2 takes this machine back: {notice}; HTCondor ends its jobs and leaves the pool")
    # The master's graceful end: the startd vacates its jobs. systemctl stop would be the fast one.
    _run(["systemctl", "kill", "--kill-whom=main", "--signal=SIGTERM", "condor.service"])


def _notice(metadata: Metadata) -> str:
    try:
        return " ".join((metadata.find("meta-data/spot/instance-action") or "").split())
    except NotYetError as error:
        _say(str(error))
        return ""


def main() -> int:
    """Do what the first argument says.

    Returns:
        0, or 1 where it gives up.
    """
    try:
        {"boot": boot, "watch": watch}[sys.argv[1]]()
    except GiveUpError as error:
        _say(f"giving up, the machine shuts down: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
