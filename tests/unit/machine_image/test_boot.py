"""How a machine boots, step by step, with a metadata service, an AWS and programs that answer as the test says."""

from __future__ import annotations

import http.client
import io
import json
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from annex_contract.machine_policies import configuration_policy
from machine_image import annex_machine
from machine_image.annex_machine import GiveUpError, Metadata, NotYetError
from machine_image.aws_calls import Keys, Place, RefusedError

META = "meta-data/"
FACTS = {
    f"{META}instance-id": "i-1",
    f"{META}placement/region": "eu-west-1",
    f"{META}services/domain": "amazonaws.com",
    f"{META}services/partition": "aws",
    f"{META}iam/security-credentials/": "machine-role\n",
    f"{META}iam/security-credentials/machine-role": json.dumps(
        {"Code": "Success", "AccessKeyId": "AKIAMADEUP", "SecretAccessKey": "made-up", "Token": "token"}
    ),
}


class Service:
    """The metadata service, behind urllib.

    Attributes:
        facts: by item.
        asked: method, item, headers and seconds of each request.
        answers: what comes before the facts, one each.
    """

    def __init__(self, facts: Mapping[str, str]) -> None:
        self.facts, self.asked = dict(facts), list[tuple[str, str, dict[str, str], float]]()
        self.answers: list[Exception] = []
        self.tokens = 0

    def open(self, request: urllib.request.Request, timeout: float) -> io.BytesIO:
        """Answer a request."""
        item = request.full_url.removeprefix("http://169.254.169.254/latest/")
        self.asked.append((request.get_method(), item, dict(request.headers), timeout))
        if self.answers:
            raise self.answers.pop(0)
        if item == "api/token":
            self.tokens += 1
            return io.BytesIO(f"token-{self.tokens}".encode())
        if item not in self.facts:
            raise answered(404)
        return io.BytesIO(self.facts[item].encode())


def answered(status: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("http://metadata", status, "no", Message(), None)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    """The metadata service of a machine."""
    made = Service(FACTS)

    def build_opener(*handlers: Any) -> Service:
        (proxies,) = handlers
        assert proxies.proxies == {}
        return made

    monkeypatch.setattr(urllib.request, "build_opener", build_opener)
    return made


def test_the_metadata_service_is_asked_with_a_token_that_is_kept(service: Service) -> None:
    metadata = Metadata()
    assert (metadata.get(f"{META}instance-id"), metadata.find(f"{META}ipv6")) == ("i-1", None)
    assert service.asked == [
        ("PUT", "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "21600"}, 5),
        ("GET", f"{META}instance-id", {"X-aws-ec2-metadata-token": "token-1"}, 5),
        ("GET", f"{META}ipv6", {"X-aws-ec2-metadata-token": "token-1"}, 5),
    ]
    with pytest.raises(NotYetError, match=f"^the metadata service has no {META}ipv6$"):
        metadata.get(f"{META}ipv6")


def test_a_token_that_has_ended_is_replaced_once(service: Service) -> None:
    metadata = Metadata()
    metadata.get(f"{META}instance-id")
    service.answers = [answered(401)]
    assert metadata.get(f"{META}instance-id") == "i-1"
    assert [headers.get("X-aws-ec2-metadata-token") for _, _, headers, _ in service.asked[2:]] == [
        *("token-1", None, "token-2")
    ]
    service.asked.clear()
    service.open = refuse_tokens(service)  # type: ignore[method-assign]  # from now on
    with pytest.raises(NotYetError, match=r"^the metadata service takes no token$"):
        metadata.find(f"{META}instance-id")
    assert [method for method, *_ in service.asked] == ["GET", "PUT", "GET"]


def refuse_tokens(service: Service) -> Callable[..., io.BytesIO]:
    """Return what answers a request and takes no token."""
    first = service.open

    def refuse(request: urllib.request.Request, timeout: float) -> io.BytesIO:
        answer = first(request, timeout)
        if request.get_method() == "GET":
            raise answered(401)
        return answer

    return refuse


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (answered(503), "the metadata service answers 503 for a token"),
        (OSError("no route"), "the metadata service does not answer: no route"),
        (http.client.BadStatusLine("nonsense"), "the metadata service does not answer: nonsense"),
    ],
)
def test_a_metadata_service_that_gives_no_token_may_do_so_later(service: Service, answer: Exception, said: str) -> None:
    service.answers = [answer]
    with pytest.raises(NotYetError, match=f"^{said}$"):
        Metadata().find(f"{META}instance-id")


def test_a_metadata_service_that_fails_may_answer_later(service: Service) -> None:
    metadata = Metadata()
    metadata.get(f"{META}instance-id")
    service.answers = [answered(500)]
    with pytest.raises(NotYetError, match=f"^the metadata service answers 500 for {META}ipv6$"):
        metadata.find(f"{META}ipv6")


class Aws:
    """The calls of a machine's role.

    Attributes:
        place: where they go, and with which keys.
        calls: a line each.
    """

    described: tuple[dict[str, str], str] | None = ({}, "first_1-2-3")
    fleet = "second_1-2-3"
    content = b"made up"

    def __init__(self) -> None:
        self.place: Any = None
        self.calls = list[str]()

    def describe_instance(self, instance_id: str) -> tuple[dict[str, str], str] | None:
        """Return a machine's tags and its client token."""
        self.calls.append(f"describe {instance_id}")
        return self.described

    def fleet_token(self, fleet: str) -> str:
        """Return a fleet's client token."""
        self.calls.append(f"fleet {fleet}")
        return self.fleet

    def role_policies(self, role: str) -> list[dict[str, Any]]:
        """Return the inline policies of the role."""
        self.calls.append(f"policies {role}")
        return [configuration_policy("arn:aws:s3:::a-bucket/config-*.tar.gz")]

    def read_object(self, bucket: str, key: str) -> bytes:
        """Return an object."""
        self.calls.append(f"read {bucket} {key}")
        return self.content

    def delete_object(self, bucket: str, key: str) -> None:
        """Delete an object."""
        self.calls.append(f"delete {bucket} {key}")


class Machine:
    """What a machine does while it boots.

    Attributes:
        aws: its calls.
        ran: the programs that ran, with what they got in their environment.
        printed: what a program prints, by its name.
        said: on the console.
        place: where its files are.
    """

    def __init__(self, place: Path) -> None:
        self.aws, self.place = Aws(), place
        self.ran, self.said = list[Any](), list[str]()
        self.printed: dict[str, str] = {}
        self.store = list[str]()

    @property
    def instance_config(self) -> str:
        """The configuration of this machine."""
        return (self.place / "instance.config").read_text()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, service: Service) -> Machine:
    """A machine with a metadata service, whose AWS and programs are recorded."""
    assert service.facts == FACTS
    made = Machine(tmp_path)

    def aws_calls(place: Any, keys: Any) -> Aws:
        made.aws.place = (place, keys)
        return made.aws

    def run(argv: list[str], env: Mapping[str, str] | None = None) -> str:
        made.ran.append(argv if env is None else (argv, env))
        return made.printed.get(argv[0], "")

    def unpack_once(content: bytes, name: str) -> None:
        assert content == Aws.content
        made.said.append(f"unpacked {name}")

    monkeypatch.setattr(annex_machine, "AwsCalls", aws_calls)
    monkeypatch.setattr(annex_machine, "_run", run)
    monkeypatch.setattr(annex_machine, "_say", made.said.append)
    monkeypatch.setattr(annex_machine, "_unpack_once", unpack_once)
    monkeypatch.setattr(annex_machine, "instance_store", lambda: made.store)
    for name in ("INSTANCE_CONFIG", "BOOT_COMMANDS", "CONFIGURED"):
        monkeypatch.setattr(annex_machine, name, tmp_path / name.lower().replace("_", "."))
    (tmp_path / "boot.commands").write_text("\n")
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return made


RULES = ["nft", "--file", str(annex_machine.RULES)]


def test_a_machine_of_condor_annex_boots(machine: Machine) -> None:
    annex_machine.boot()
    assert machine.aws.calls == ["describe i-1", "policies machine-role", "read a-bucket config-first.tar.gz"]
    place, keys = machine.aws.place
    assert place == Place("eu-west-1", "amazonaws.com", "aws")
    assert keys == Keys("AKIAMADEUP", "made-up", "token")
    assert machine.ran == [RULES]
    assert machine.instance_config == annex_machine.instance_config("i-1", None, None)
    assert machine.said == [
        "only root reaches the metadata service",
        "this is i-1 in eu-west-1",
        "the annex is first",
        "unpacked s3://a-bucket/config-first.tar.gz",
        "done; HTCondor starts",
    ]
    # The name of the machine is kept only where it has a configuration of its own.
    assert not (machine.place / "configured").exists()


def test_a_machine_of_start_reads_its_own_configuration_and_deletes_it(machine: Machine, service: Service) -> None:
    service.facts |= {
        f"{META}tags/instance/htcondor:AnnexName": "mine",
        f"{META}tags/instance/annex-bootstrap:configuration": "a-bucket/AROA1",
        f"{META}public-ipv4": "203.0.113.5",
        f"{META}ipv6": "2001:db8::7",
    }
    annex_machine.boot()
    assert machine.aws.calls == ["read a-bucket machines/mine/AROA1:i-1", "delete a-bucket machines/mine/AROA1:i-1"]
    assert machine.instance_config == annex_machine.instance_config("i-1", "203.0.113.5", "2001:db8::7")
    assert (machine.place / "configured").read_text() == "i-1"
    assert machine.said[-3:] == [
        "unpacked s3://a-bucket/machines/mine/AROA1:i-1",
        "deleted it",
        "done; HTCondor starts",
    ]
    machine.aws.calls.clear()
    annex_machine.boot()
    assert machine.aws.calls == []


def test_boot_commands_get_the_facts_of_the_machine(machine: Machine) -> None:
    (machine.place / "boot.commands").write_text("echo hello\n")
    annex_machine.boot()
    commands = ["bash", "-euo", "pipefail", str(machine.place / "boot.commands")]
    assert machine.ran == [RULES, (commands, {"ANNEX_ID": "first", "INSTANCE_ID": "i-1", "AWS_REGION": "eu-west-1"})]
    assert machine.said[-2:] == ["the boot commands have run", "done; HTCondor starts"]


def test_a_machine_prepares_its_instance_store_before_the_boot_commands(machine: Machine) -> None:
    machine.store = ["nvme1n1"]
    machine.printed["condor_config_val"] = str(machine.place / "execute")
    (machine.place / "boot.commands").write_text("echo hello\n")
    annex_machine.boot()
    names = [ran[0] for ran in machine.ran[:-1]]
    assert names == ["nft", "wipefs", "wipefs", "mkfs.ext4", "condor_config_val", "mount", "chown"]
    assert machine.ran[-1][0][0] == "bash"


def test_a_tarball_that_never_comes_ends_the_machine(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> bytes:
        raise RefusedError("s3 GetObject: 404 NoSuchKey")

    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: clock.append(clock.pop() + seconds))
    monkeypatch.setattr(Aws, "read_object", refused)
    with pytest.raises(GiveUpError, match=r"^gave up after 10 minutes: s3 GetObject: 404 NoSuchKey$"):
        annex_machine.boot()
    assert not (machine.place / "instance.config").exists()


@pytest.mark.parametrize(
    ("described", "fleet", "annex_id", "calls"),
    [
        (({"htcondor:AnnexName": "tagged"}, "other_1"), "", "tagged", ["describe i-1"]),
        (({}, "by_token_1-2-3"), "", "by_token", ["describe i-1"]),
        (({"aws:ec2spot:fleet-request-id": "sfr-1"}, ""), "of-fleet_1", "of-fleet", ["describe i-1", "fleet sfr-1"]),
    ],
)
def test_the_annex_is_found_by_tag_or_by_token(
    machine: Machine, described: Any, fleet: str, annex_id: str, calls: list[str]
) -> None:
    machine.aws.described, machine.aws.fleet = described, fleet
    assert annex_machine.find_annex(Metadata(), machine.aws, "i-1") == annex_id  # type: ignore[arg-type]  # its calls
    assert machine.aws.calls == calls


@pytest.mark.parametrize(
    ("described", "said"),
    [
        (None, "AWS does not know i-1 yet"),
        (({}, ""), "neither a tag nor a client token says which annex this machine belongs to"),
        (
            ({"aws:ec2spot:fleet-request-id": "sfr-1"}, ""),
            "the client token of sfr-1 does not say which annex this machine belongs to",
        ),
    ],
)
def test_a_machine_whose_annex_nothing_says_may_learn_it_later(machine: Machine, described: Any, said: str) -> None:
    machine.aws.described, machine.aws.fleet = described, "nonsense"
    with pytest.raises(NotYetError, match=f"^{said}$"):
        annex_machine.find_annex(Metadata(), machine.aws, "i-1")  # type: ignore[arg-type]  # its calls


def test_a_role_without_a_tarball_may_get_one_later(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Aws, "role_policies", lambda *_: [])
    said = "no inline policy of the role r names a bucket's config-\\*.tar.gz"
    with pytest.raises(NotYetError, match=f"^{said}$"):
        annex_machine.find_tarball(machine.aws, "r")  # type: ignore[arg-type]  # its calls

    def refused(*_: object) -> Any:
        raise RefusedError("iam ListRolePolicies: 403 AccessDenied")

    monkeypatch.setattr(Aws, "role_policies", refused)
    with pytest.raises(NotYetError, match=r"^iam ListRolePolicies: 403 AccessDenied$"):
        annex_machine.find_tarball(machine.aws, "r")  # type: ignore[arg-type]  # its calls


def test_a_machine_without_keys_gives_up_after_some_time(
    machine: Machine, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, pauses = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", sleep)
    service.facts[f"{META}iam/security-credentials/machine-role"] = '{"Code": "AssumeRoleUnauthorizedAccess"}'
    said = "the metadata service has no keys of machine-role: AssumeRoleUnauthorizedAccess"
    with pytest.raises(GiveUpError, match=f"^gave up after 10 minutes: {said}$"):
        annex_machine.boot()
    # The next try would be after ten minutes.
    assert pauses == [1, 2, 4, 8, 16, *[30] * 18]
    assert f"{said}; trying again in 4 s" in machine.said


def test_the_first_blank_disk_of_the_instance_store_gets_a_file_system(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.store = ["nvme1n1", "nvme2n1", "nvme3n1"]
    held = {"/dev/nvme1n1": "an LVM volume"}
    execute = machine.place / "execute/slot"

    def run(argv: list[str]) -> str:
        if argv[0] == "wipefs":
            assert argv[:-1] == ["wipefs", "--noheadings", "--no-act"]
            return held.get(argv[-1], "")
        if argv[0] == "blkid":
            assert argv[:-1] == ["blkid", "--probe", "--output", "value", "--match-tag", "LABEL"]
            return held.get(argv[-1], "") + "\n"
        machine.ran.append(argv)
        return f"{execute}\n" if argv == ["condor_config_val", "EXECUTE"] else ""

    monkeypatch.setattr(annex_machine, "_run", run)
    annex_machine.prepare_instance_store()
    made = ["mkfs.ext4", "-q", "-E", "nodiscard", "-m", "0", "-L", "annex-jobs", "/dev/nvme2n1"]
    mounted = [
        ["condor_config_val", "EXECUTE"],
        ["mount", "-o", "discard,nosuid,nodev", "/dev/nvme2n1", str(execute)],
        ["chown", "condor:condor", str(execute)],
    ]
    assert machine.ran == [made, *mounted]
    assert execute.is_dir()
    assert machine.said == [
        "/dev/nvme1n1 holds data, so it is left alone",
        "jobs run on /dev/nvme2n1, of the instance store",
    ]
    # The next boot finds its own file system there.
    held["/dev/nvme2n1"] = "annex-jobs"
    machine.ran.clear()
    annex_machine.prepare_instance_store()
    assert machine.ran == mounted


def test_a_machine_without_an_instance_store_prepares_nothing(machine: Machine) -> None:
    annex_machine.prepare_instance_store()
    assert (machine.ran, machine.said) == ([], [])


def test_a_spot_machine_that_ec2_takes_back_lets_its_jobs_end(
    machine: Machine, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.facts[f"{META}instance-life-cycle"] = "spot"
    pauses = list[float]()

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            service.answers = [answered(500)]
        if len(pauses) == 3:
            service.facts[f"{META}spot/instance-action"] = '{"action": "terminate",\n "time": "soon"}'

    monkeypatch.setattr(time, "sleep", sleep)
    annex_machine.watch()
    notice = '{"action": "terminate", "time": "soon"}'
    assert pauses == [5.0, 5.0, 5.0]
    assert machine.said == [
        f"the metadata service answers 500 for {META}spot/instance-action",
        f"EC2 takes this machine back: {notice}; HTCondor ends its jobs and leaves the pool",
    ]
    assert machine.ran == [["systemctl", "kill", "--kill-whom=main", "--signal=SIGTERM", "condor.service"]]


def test_a_machine_on_demand_waits_for_no_notice(machine: Machine, service: Service) -> None:
    service.facts[f"{META}instance-life-cycle"] = "on-demand"
    annex_machine.watch()
    assert machine.said == ["no spot machine, so there is no notice to wait for"]
    assert machine.ran == []


@pytest.mark.parametrize("word", ["boot", "watch"])
def test_the_first_argument_says_what_to_do(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    did = list[str]()
    monkeypatch.setattr(annex_machine, "boot", lambda: did.append("boot"))
    monkeypatch.setattr(annex_machine, "watch", lambda: did.append("watch"))
    monkeypatch.setattr(sys, "argv", ["annex_machine.py", word])
    assert annex_machine.main() == 0
    assert did == [word]


def test_a_machine_that_gives_up_says_so_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def boot() -> None:
        raise GiveUpError("no disk")

    monkeypatch.setattr(annex_machine, "boot", boot)
    monkeypatch.setattr(sys, "argv", ["annex_machine.py", "boot"])
    assert annex_machine.main() == 1
    assert capsys.readouterr().out == "annex-boot: giving up, the machine shuts down: no disk\n"


def test_a_program_that_fails_says_its_last_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "echo $A; for i in 1 2 3 4 5; do echo; echo $i >&2; done; exit 3"
    assert annex_machine._run(["sh", "-c", "echo $A"], {"A": "told"}) == "told\n"
    with pytest.raises(GiveUpError) as failed:
        annex_machine._run(["sh", "-c", script], {"A": "told"})
    assert str(failed.value) == f"sh -c {script} failed: 1 | 2 | 3 | 4 | 5"
    with pytest.raises(GiveUpError, match=r"^/nowhere/tool cannot be run: "):
        annex_machine._run(["/nowhere/tool"])
    monkeypatch.setenv("KEPT", "yes")
    assert annex_machine._run(["sh", "-c", "echo $KEPT"]) == "yes\n"


def test_a_tarball_is_unpacked_from_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folders = list[Any]()

    class Folder:
        def __init__(self, dir: str) -> None:  # noqa: A002 (tempfile's name)
            folders.append(dir)

        def __enter__(self) -> str:
            return str(tmp_path)

        def __exit__(self, *_: object) -> None:
            folders.append("gone")

    def unpack(tarball: Path) -> Path:
        assert tarball == tmp_path / "config.tar.gz"
        assert tarball.read_bytes() == b"made up"
        return Path("/etc/condor")

    said = list[str]()
    monkeypatch.setattr(tempfile, "TemporaryDirectory", Folder)
    monkeypatch.setattr(annex_machine, "unpack", unpack)
    monkeypatch.setattr(annex_machine, "_say", said.append)
    annex_machine._unpack_once(b"made up", "s3://b/k")
    assert (folders, said) == (["/run", "gone"], ["unpacked s3://b/k in /etc/condor"])
