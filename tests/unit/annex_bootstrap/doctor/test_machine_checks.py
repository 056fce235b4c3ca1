"""What the doctor says of machines that have not joined the pool, by what can be known of them."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from annex_bootstrap.doctor.check import Finding, Level
from annex_bootstrap.doctor.machine_checks import (
    BOOT_SECONDS,
    SHOWN,
    Machine,
    Machines,
    Place,
    Replacements,
    annex_here,
)
from annex_bootstrap.machines.console import STARTED, Console
from annex_bootstrap.pool.refusals import last_refusal, read_refusals
from annex_contract.stack import ANNEX_TAG, STACK_TAG
from machine_image import annex_machine

OLD, NEW = (23, 9, 6), (25, 14, 1)
PLACE = Place("us-east-1", "lab", 9619, "/var/log/condor/CollectorLog")

LINUX = "[    0.000000] Linux version 6.12 (made up)\r\n"
# As journald forwards a unit's lines to the console.
BOOTED = LINUX + (
    "[   14.102000] python3[612]: annex-boot: this is i-1 in us-east-1\r\n"
    "[   15.800000] python3[612]: annex-boot: the annex is first\r\n"
    f"[   16.913000] python3[612]: annex-boot: {STARTED}\r\n"
    "[   17.200000] python3[650]: annex-boot: no spot machine, so there is no notice to wait for\r\n"
)
NO_TARBALL = "gave up after 10 minutes: GetObject was refused with 404: NoSuchKey"
GAVE_UP = LINUX + f"[  612.0] python3[612]: annex-boot: giving up, the machine shuts down: {NO_TARBALL}\r\n"

DENIED = (
    "11/27/26 04:40:01 PERMISSION DENIED to condor@pool.example.org from host 203.0.113.5 for command 0 "
    "(UPDATE_STARTD_AD), access level ADVERTISE_STARTD: reason: ADVERTISE_STARTD authorization policy denies "
    "condor@pool.example.org"
)


def machine(console: str | None, seconds: float = BOOT_SECONDS, *, running: bool = True, name: str = "i-1") -> Machine:
    """Return a machine of the annex ``first`` with a console; None where that was not read."""
    seen = None if console is None else Console(console)
    return Machine(name, "first", seconds, running, ("203.0.113.5", "10.0.0.7"), "vpc-1", seen)


def judged(*machines: Machine, refusals: list[str] | None = None, version: tuple[int, int, int] = OLD) -> Finding:
    """Return the finding about machines of which none is in the pool."""
    return Machines(version, machines, [], PLACE, refusals).judge()


def test_what_starts_machines_again_needs_a_lease() -> None:
    ok = Replacements({"first": 2}, ["first", "second"]).judge()
    assert (ok.level, ok.detail) == (Level.OK, "2 may start machines, until the leases of their annexes end")
    problem = Replacements({"first": 2, "gone": 1}, ["first"]).judge()
    assert problem.level is Level.PROBLEM
    assert problem.detail == "machines start again without end for gone, which no lease ends"


def test_machines_that_have_joined_are_ok() -> None:
    machines = [machine(None, 5, name="i-1"), machine(None, name="i-2")]
    assert Machines(NEW, machines, ["i-2", "i-1"], PLACE).judge().level is Level.OK
    assert Machines(NEW, [], [], PLACE).judge().level is Level.OK


def test_a_machine_that_booted_and_was_refused_is_shown_with_the_collectors_words() -> None:
    finding = judged(machine(BOOTED, 60), refusals=[DENIED.replace("203.0.113.5", "203.0.113.55"), DENIED])
    assert finding.level is Level.PROBLEM
    assert finding.detail == f"not in the pool: i-1 of first was refused by the collector: {DENIED}"
    assert finding.advice == (
        "where the collector refuses machines, run annex-bootstrap pool-config on the central manager"
    )


@pytest.mark.parametrize("refusals", [None, [], [DENIED.replace("203.0.113.5", "203.0.113.55")]])
def test_a_machine_that_booted_and_is_not_in_the_log_leaves_log_token_port_and_route(
    refusals: list[str] | None,
) -> None:
    finding = judged(machine(BOOTED), refusals=refusals)
    assert finding.level is Level.PROBLEM
    assert "i-1 of first has found its annex and started HTCondor" in finding.detail
    assert "look at its log, the token, the port and the route, in this order" in finding.advice
    assert "image" not in finding.advice
    console, log, token, port, route = finding.commands
    assert console.startswith("aws ec2 get-console-output --region us-east-1 --latest --output text --instance-id i-1")
    assert "/var/log/condor/CollectorLog" in log
    assert token.startswith("annex-bootstrap start first --count 1 --dry-run --region us-east-1 --stack-name lab")
    assert ":9619" in port
    assert "Values=vpc-1" in route


@pytest.mark.parametrize("version", [OLD, None])
def test_a_machine_that_gave_up_is_shown_with_its_reason_also_where_no_htcondor_is(
    version: tuple[int, int, int] | None,
) -> None:
    gave_up = machine(GAVE_UP, 700, running=False)
    finding = Machines(version, [gave_up], [] if version else None, PLACE).judge()
    assert finding.level is Level.PROBLEM
    assert finding.detail == f"not in the pool: i-1 of first gave up: {NO_TARBALL}"
    assert finding.advice == "remove the reason that a machine gives for giving up, and start its annex again"
    (console,) = finding.commands
    assert "get-console-output" in console


def test_a_machine_that_gave_up_is_forgotten_when_its_annex_is_in_the_pool() -> None:
    machines = [machine(GAVE_UP, running=False), machine(None, name="i-2")]
    assert Machines(OLD, machines, ["i-2"], PLACE).judge().level is Level.OK


def test_a_console_that_shows_nothing_yet_blames_nothing() -> None:
    finding = judged(machine("", 90))
    assert finding.level is Level.SKIPPED
    assert finding.detail == "not in the pool yet: i-1 of first shows nothing on its console"
    assert finding.advice == (
        "give them 10 minutes; after that: AWS shows the console of some instance types only minutes later"
    )


def test_a_machine_that_is_still_booting_is_shown_with_its_last_words() -> None:
    waits = "AWS does not know i-1 yet; trying again in 2 s"
    finding = judged(machine(f"{LINUX}annex-boot: this is i-1 in us-east-1\nannex-boot: {waits}\n", 30))
    assert finding.level is Level.SKIPPED
    assert f"i-1 of first is booting, and said last: {waits}" in finding.detail


@pytest.mark.parametrize(("version", "side"), [(OLD, "older than 24.11"), (NEW, "24.11 or later")])
def test_only_a_machine_without_our_boot_lines_may_have_an_image_of_the_wrong_side_of_24_11(
    version: tuple[int, int, int], side: str
) -> None:
    finding = judged(machine(LINUX), version=version)
    assert "i-1 of first says nothing of annexes on its console" in finding.detail
    assert f"the HTCondor in their image must be {side}" in finding.advice
    assert "49ec2" not in finding.advice


def test_without_permission_to_read_consoles_it_names_the_policy() -> None:
    finding = judged(machine(None))
    assert "a console that could not be read" in finding.detail
    assert "annex-bootstrap policy operator" in finding.advice


def test_of_many_machines_only_some_are_shown() -> None:
    finding = judged(*(machine(BOOTED, name=f"i-{number}") for number in range(SHOWN + 3)))
    assert finding.detail.endswith("; and 3 more")
    assert finding.detail.count(" of first ") == SHOWN


def test_those_that_run_are_shown_before_those_that_ended() -> None:
    ended = machine(GAVE_UP, running=False)
    finding = judged(*[ended] * SHOWN, machine(BOOTED, name="i-runs"))
    assert finding.detail.startswith("not in the pool: i-runs of first has found its annex")


def test_machines_are_skipped_where_no_collector_answers() -> None:
    assert Machines(NEW, [machine(BOOTED)], None, PLACE).judge().level is Level.SKIPPED
    assert Machines(None, [machine(BOOTED)], [], PLACE).judge().level is Level.SKIPPED


def test_the_console_is_read_with_the_words_of_the_boot_script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def give_up() -> None:
        raise annex_machine.GiveUpError(NO_TARBALL)

    boot = inspect.getsource(annex_machine.boot)
    monkeypatch.setattr(annex_machine, "boot", give_up)
    monkeypatch.setattr("sys.argv", ["annex_machine", "boot"])
    assert annex_machine.main() == 1
    assert Console(capsys.readouterr().out).gave_up == NO_TARBALL
    assert f'_say("{STARTED}")' in boot


def test_what_a_machine_says_cannot_steer_a_terminal() -> None:
    assert Console("annex-boot: \x1b[2Jall \x07is well\r\n").said == ["[2Jall is well"]


@pytest.mark.parametrize("address", ["203.0.113.5", "2001:db8::5"])
def test_refusals_are_those_of_a_host_with_and_without_a_port(address: str) -> None:
    bracketed = f"[{address}]" if ":" in address else address
    plain = f"PERMISSION DENIED to unauthenticated user from host {address} for command 60008, access level DAEMON"
    with_port = f"DC_AUTHENTICATE: required authentication of <{bracketed}:41234> failed: AUTHENTICATE:1003"
    for line in (plain, with_port):
        assert last_refusal([line, line.replace(address, f"{address}5")], [address]) == line
    assert last_refusal([plain], []) == last_refusal([], [address]) == ""


def test_refusals_are_read_from_the_end_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "CollectorLog"
    assert read_refusals(str(log)) is None
    log.write_bytes(b"\xff\n" + b"11/27/26 04:40:00 StartdAd : Inserting\n" + DENIED.encode() + b"\n")
    assert read_refusals(str(log)) == [DENIED]
    # A million bytes, within which what came before no longer counts.
    log.write_bytes(DENIED.encode() + b"\n" + b"x" * 1_000_000 + b"\n")
    assert read_refusals(str(log)) == []
    log.write_bytes(DENIED.encode() + b"\n" + b"x" * (999_998 - len(DENIED)) + b"\n")
    assert read_refusals(str(log)) == [DENIED]


OURS, OTHERS, OWN = (
    f"arn:aws:iam::123456789012:instance-profile/{name}"
    for name in ("annex-bootstrap/annex-bootstrap-instance-1", "annex-bootstrap/annex-bootstrap-instance-2", "mine")
)


@pytest.mark.parametrize(
    ("profile", "tags", "leases", "annex_id"),
    [
        (OURS, {ANNEX_TAG: "first"}, set(), "first"),
        (OURS, {ANNEX_TAG: "first", STACK_TAG: "arn:ours"}, set(), "first"),
        (OURS, {}, set(), "token"),
        # Another stack's, with the same name as one of this stack's.
        (OTHERS, {ANNEX_TAG: "first"}, {"first"}, None),
        (OTHERS, {ANNEX_TAG: "first", STACK_TAG: "arn:others"}, {"first"}, None),
        (OTHERS, {}, {"token"}, None),
        # A profile of the user's own, or of the stack of condor_annex -setup: no lease of this stack ends it.
        (OWN, {ANNEX_TAG: "first"}, {"first"}, None),
        (OWN, {ANNEX_TAG: "first", STACK_TAG: "arn:ours"}, {"first"}, None),
        (OWN, {}, {"token"}, None),
        # AWS no longer shows the profile of a machine that is terminated.
        (None, {ANNEX_TAG: "first", STACK_TAG: "arn:ours"}, set(), "first"),
        (None, {ANNEX_TAG: "first"}, {"first"}, "first"),
        (None, {ANNEX_TAG: "first"}, {"second"}, None),
        (None, {ANNEX_TAG: "first", STACK_TAG: "arn:others"}, {"first"}, None),
        # What the stack made and no annex is, such as the image's builder.
        (None, {STACK_TAG: "arn:ours"}, {"first"}, None),
    ],
)
def test_only_machines_of_this_stacks_annexes_are_looked_for(
    profile: str | None, tags: dict[str, str], leases: set[str], annex_id: str | None
) -> None:
    described = {
        "ClientToken": "token_0a1b",
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        **({} if profile is None else {"IamInstanceProfile": {"Arn": profile}}),
    }
    assert annex_here(described, frozenset({OURS}), "arn:ours", leases) == annex_id
