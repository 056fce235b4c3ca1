"""``leases``: what the list says of each annex, and what extending and ending change, call by call."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest

from annex_bootstrap.commands import leases as module
from annex_bootstrap.commands.leases import AnnexLease, Extension, LimitUse, end_leases, extend_lease, list_leases
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.growth.record import Record
from annex_bootstrap.machines.money import Allowance
from annex_bootstrap.target import Target
from tests.unit.annex_bootstrap.annexes.test_plan import product
from tests.unit.annex_bootstrap.answers import described_type
from tests.unit.annex_bootstrap.commands.conftest import OUTPUTS, Asked, a_stack, described
from tests.unit.recorded import Recorded, RefusedError

NOW = 2_000_000_000
FUNCTION, PROFILE = OUTPUTS["LeaseFunctionARN"], OUTPUTS["InstanceConfigurationProfile"]


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW + 0.5)
    monkeypatch.setattr(module, "version", lambda: None)


def machine(number: int, annex: str, begun: int = NOW - 3600, **more: Any) -> dict[str, Any]:
    tags = {"htcondor:AnnexName": annex, "annex-bootstrap:started-by": f"user{number}"}
    return {
        "InstanceId": f"i-{number}",
        "InstanceType": "m7i.large",
        "State": {"Name": "running"},
        "LaunchTime": datetime.fromtimestamp(begun, UTC),
        "IamInstanceProfile": {"Arn": PROFILE},
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    } | more


def target_of(name: str, expiration: Any) -> dict[str, Any]:
    lease = {"AnnexID": name, "S3BucketName": "b", "LeaseExpiration": expiration}
    return {"Id": name, "Arn": FUNCTION, "Input": json.dumps(lease)}


ENDS: dict[str, Any] = {"later": NOW + 7200, "first": NOW + 600}
FAILED = machine(3, "first", State={"Name": "terminated"}, StateReason={"Code": "Server.Oops", "Message": "no disk"})


def answers(machines: list[dict[str, Any]], ends: dict[str, Any] = ENDS, **changed: Any) -> dict[str, Any]:
    """Return the answers of an account in which annexes hold leases and machines run."""

    def instances(arguments: dict[str, Any]) -> dict[str, Any]:
        ended = "terminated" in arguments["Filters"][0]["Values"]
        shown = [each for each in machines if (each["State"]["Name"] == "terminated") is ended]
        return {"Reservations": [{"Instances": shown}]}

    def targets(arguments: dict[str, Any]) -> dict[str, Any]:
        return {"Targets": [target_of(arguments["Rule"], ends[arguments["Rule"]])]}

    return {
        "DescribeStacks": described(a_stack()),
        "ListRuleNamesByTarget": {"RuleNames": list(ends)},
        "ListTargetsByRule": targets,
        "DescribeInstances": instances,
        "DescribeSpotFleetRequests": {"SpotFleetRequestConfigs": []},
        "DescribeFleets": {"Fleets": []},
        "DescribeSpotInstanceRequests": {"SpotInstanceRequests": []},
        "GetProducts": {"PriceList": [product("m7i.large", "0.10")]},
        "PutTargets": {"FailedEntries": [], "FailedEntryCount": 0},
        "Invoke": lambda _: {"Payload": io.BytesIO(b'{"machines_ended": 2}')},
        "TerminateInstances": {},
    } | changed


MACHINES = [
    machine(1, "first"),
    machine(2, "first", InstanceLifecycle="spot"),
    FAILED,
    machine(4, "later", State={"Name": "pending"}),
]


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_the_list_has_the_one_that_ends_first_at_the_top_with_what_runs_for_it(
    screen: Screen, targeted: Callable[..., Target], capsys: pytest.CaptureFixture[str]
) -> None:
    aws = Recorded(**answers(MACHINES))
    found = list_leases(screen, targeted(aws))
    assert found.region == "us-east-1"
    assert found.leases == (
        AnnexLease(
            "first", "mixed", 2, 0, at(NOW + 600), 600, Decimal("0.20"), ("user1", "user2"), {"Server.Oops: no disk": 1}
        ),
        AnnexLease("later", "on demand", 1, 0, at(NOW + 7200), 7200, Decimal("0.10"), ("user4",), {}),
    )
    said = capsys.readouterr()
    rows = [line.split() for line in said.out.splitlines()]
    assert rows[0] == ["ANNEX", "KIND", "MACHINES", "TIME", "LEFT", "$/HOUR", "STARTED", "BY"]
    assert rows[1][:5] == ["first", "mixed", "2", "0h", "10m"]
    assert rows[1][-3:] == ["0.2000", "user1,", "user2"]
    assert rows[2][:6] == ["later", "on", "demand", "1", "2h", "00m"]
    assert said.out.splitlines()[-1] == "Total: $0.3000/hour"
    assert said.err == "annex-bootstrap: 1 machine of first ended in the last hour: Server.Oops: no disk\n"
    assert aws.of("ListRuleNamesByTarget") == [{"TargetArn": FUNCTION}]


def test_a_lease_that_cannot_be_read_and_a_price_that_is_missing_are_unknown(
    screen: Screen, targeted: Callable[..., Target], capsys: pytest.CaptureFixture[str]
) -> None:
    refused = RefusedError("AccessDeniedException", "no prices for you")
    aws = Recorded(**answers(MACHINES[:1], {"first": "soon", "idle": NOW - 60}, GetProducts=refused))
    broken, idle = list_leases(screen, targeted(aws)).leases
    assert broken == AnnexLease("first", "on demand", 1, 0, None, None, None, ("user1",), {})
    assert idle == AnnexLease("idle", "-", 0, 0, at(NOW - 60), -60, Decimal(0), (), {})
    said = capsys.readouterr()
    assert said.out.splitlines()[1].split() == ["first", "on", "demand", "1", "unknown", "unknown", "user1"]
    assert said.out.splitlines()[2].split()[-2:] == ["0.0000", "-"]
    assert said.out.splitlines()[-1] == "Total: $0.0000/hour (excluding unknown prices)"
    assert "annex-bootstrap: no prices: " in said.err


def test_without_leases_nobody_is_asked_for_machines(
    screen: Screen, targeted: Callable[..., Target], capsys: pytest.CaptureFixture[str]
) -> None:
    aws = Recorded(**answers([], {}))
    assert list_leases(screen, targeted(aws)).leases == ()
    assert capsys.readouterr().out == "No annex holds a lease in us-east-1.\n"
    assert "DescribeInstances" not in aws.names


def test_an_extension_sets_nothing_but_the_end(
    screen: Screen, targeted: Callable[..., Target], capsys: pytest.CaptureFixture[str]
) -> None:
    aws = Recorded(**answers(MACHINES))
    done = extend_lease(screen, targeted(aws), "first", "2h")
    assert (done.annex, done.lease_expiration) == ("first", at(NOW + 7200))
    (put,) = aws.of("PutTargets")
    assert put == {"Rule": "first", "Targets": [target_of("first", NOW + 7200)]}
    said = capsys.readouterr()
    assert said.out == "first now runs until 2033-05-18 05:33 UTC.\n"
    assert said.err == ""


def test_an_extension_of_more_than_a_week_is_asked_for_with_its_cost(
    screen: Screen, targeted: Callable[..., Target], asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    asked.answer = False
    aws = Recorded(**answers(MACHINES))
    assert extend_lease(screen, targeted(aws), "first", "100d") == Extension("first", at(NOW + 600), declined=True)
    assert aws.of("PutTargets") == []
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("first would run until 2033-08-26 ")
    assert said[0].endswith(": 2 machines, $0.20/hour on demand, $480.00 until then.")
    assert said[1:] == ["Nothing was changed."]
    assert asked.questions == [("Let it run so long?", False)]
    asked.answer = True
    assert extend_lease(screen, targeted(aws), "first", "100d").lease_expiration == at(NOW + 100 * 86400)
    extend_lease(screen, targeted(aws), "first", "7d")
    extend_lease(screen, targeted(aws), "first", "100d", yes=True)
    assert len(asked.questions) == 2
    assert len(aws.of("PutTargets")) == 3


def test_a_long_extension_is_asked_for_also_where_no_price_is_known(
    screen: Screen, targeted: Callable[..., Target], asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    asked.answer = False
    refused = RefusedError("AccessDeniedException", "no prices for you")
    extend_lease(screen, targeted(Recorded(**answers(MACHINES, GetProducts=refused))), "later", "8d")
    assert capsys.readouterr().out.splitlines()[0].endswith(": 1 machine.")


def test_an_extension_beyond_the_machines_tokens_is_warned_of(
    screen: Screen, targeted: Callable[..., Target], capsys: pytest.CaptureFixture[str]
) -> None:
    begun = NOW - 86400 + 3600
    aws = Recorded(**answers([machine(1, "first", begun), machine(2, "first", begun + 60)]))
    extend_lease(screen, targeted(aws), "first", "61m")
    assert "tokens of machines of first may end from 2033-05-18 04:33 UTC on" in capsys.readouterr().err
    extend_lease(screen, targeted(aws), "first", "60m")
    assert capsys.readouterr().err == ""


LIMIT = Allowance(Decimal(5), Decimal(1), NOW - 3600, 3, Decimal("0.30"), Decimal("0.02"))


def limited(arguments: dict[str, Any]) -> dict[str, Any]:
    target = target_of(arguments["Rule"], ENDS[arguments["Rule"]])
    content = json.loads(target["Input"]) | ({"Money": LIMIT.content()} if arguments["Rule"] == "first" else {})
    return {"Targets": [target | {"Input": json.dumps(content)}]}


ENDED = machine(
    5,
    "first",
    State={"Name": "terminated"},
    StateTransitionReason=f"User initiated ({datetime.fromtimestamp(NOW - 1800, UTC):%Y-%m-%d %H:%M:%S} GMT)",
)
SPENT = Decimal(1) + Decimal("0.12") + Decimal("0.06") + Decimal("0.30")
"""One runs for an hour, one ran for half an hour, and one was forgotten."""


def test_the_list_says_what_an_annex_may_have_spent_of_its_money(
    screen: Screen, targeted: Callable[..., Target], capsys: pytest.CaptureFixture[str]
) -> None:
    aws = Recorded(**answers([machine(1, "first"), ENDED], ListTargetsByRule=limited))
    first, later = list_leases(screen, targeted(aws)).leases
    assert (first.dollars_limit, first.dollars_spent_most) == (Decimal(5), SPENT)
    assert (later.dollars_limit, later.dollars_spent_most) == (None, None)
    said = capsys.readouterr().out
    assert "first: at most $1.48 of $5 spent, and its lease ends before the rest can be; traffic and the" in said


def test_where_money_cannot_be_counted_the_list_says_why(
    screen: Screen, targeted: Callable[..., Target], capsys: pytest.CaptureFixture[str]
) -> None:
    aws = Recorded(**answers([machine(1, "first")], ListTargetsByRule=limited, GetProducts={"PriceList": []}))
    first, _ = list_leases(screen, targeted(aws)).leases
    assert (first.dollars_limit, first.dollars_spent_most) == (Decimal(5), None)
    assert (
        "AWS names no price of m7i.large in us-east-1, so nobody can say what first has spent"
        in capsys.readouterr().err
    )


def test_an_extension_beyond_the_money_is_refused(screen: Screen, targeted: Callable[..., Target]) -> None:
    aws = Recorded(**answers([machine(1, "first"), ENDED], ListTargetsByRule=limited))
    # What is left lasts a little over 29 hours.
    with pytest.raises(
        UserError, match=r"the \$5 of first may be spent by 2033-05-19 08:47 UTC, so its lease must not"
    ):
        extend_lease(screen, targeted(aws), "first", "30h")
    assert "PutTargets" not in aws.names
    extend_lease(screen, targeted(aws), "first", "29h")
    (put,) = aws.of("PutTargets")
    content = json.loads(put["Targets"][0]["Input"])
    assert (content["LeaseExpiration"], content["Money"]) == (NOW + 29 * 3600, LIMIT.content())


def test_an_extension_beyond_what_the_stack_lets_machines_run_is_refused(
    screen: Screen, targeted: Callable[..., Target]
) -> None:
    stack = described(a_stack(parameters={"MaxLeaseHours": "3"}))
    aws = Recorded(**answers([machine(1, "first"), machine(2, "first", NOW - 60)], DescribeStacks=stack))
    text = (
        r"lets a machine run 3 hours \(MaxLeaseHours\), so the lease of first must not end after 2033-05-18 05:33 UTC"
    )
    with pytest.raises(UserError, match=text):
        extend_lease(screen, targeted(aws), "first", "2h1m")
    assert "PutTargets" not in aws.names
    assert extend_lease(screen, targeted(aws), "first", "2h").lease_expiration == at(NOW + 7200)
    # Where nothing runs, the next machine begins now at the earliest.
    idle = Recorded(**answers([], DescribeStacks=stack))
    assert extend_lease(screen, targeted(idle), "first", "3h").lease_expiration == at(NOW + 3 * 3600)


def test_an_extension_never_shortens(screen: Screen, targeted: Callable[..., Target]) -> None:
    aws = Recorded(**answers(MACHINES))
    with pytest.raises(UserError, match=r"later already runs until 2033-05-18 05:33 UTC, which is later"):
        extend_lease(screen, targeted(aws), "later", "1h")
    with pytest.raises(UserError, match="no annex other holds a lease in us-east-1; there are: first, later"):
        extend_lease(screen, targeted(aws), "other", "1h")
    assert "PutTargets" not in aws.names


def test_ending_one_annex_sets_its_lease_into_the_past_and_runs_the_lease_function(
    screen: Screen, targeted: Callable[..., Target], asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    aws = Recorded(**answers(MACHINES))
    assert end_leases(screen, targeted(aws), "first", everything=False, yes=False).ended == ("first",)
    assert asked.questions == [("Go ahead?", False)]
    assert aws.of("PutTargets") == [{"Rule": "first", "Targets": [target_of("first", NOW - 1)]}]
    (invoked,) = aws.of("Invoke")
    assert invoked == {"FunctionName": FUNCTION, "Payload": target_of("first", NOW - 1)["Input"].encode()}
    assert capsys.readouterr().out.splitlines() == [
        "Ends these annexes with their machines, and the jobs that run there:",
        "  first: 2 machines",
        "Its lease has ended. The lease function ends the machines now, and checks again every five minutes.",
    ]


def test_what_ended_is_noted_for_the_costs(screen: Screen, targeted: Callable[..., Target], home: Path) -> None:
    gone = [
        machine(
            1,
            "first",
            State={"Name": "shutting-down"},
            StateReason={"Code": "Client.UserInitiatedShutdown"},
            Tags=[
                {"Key": "htcondor:AnnexName", "Value": "first"},
                {"Key": "annex-bootstrap:request", "Value": "r1"},
            ],
        ),
        machine(4, "later"),
    ]
    extend_lease(screen, targeted(Recorded(**answers(gone))), "later", "3h")
    end_leases(screen, targeted(Recorded(**answers(gone))), "first", everything=False, yes=True)
    lines = Record.beside(home / "user_config").events
    assert [(line["event"], line.get("id"), line.get("by")) for line in lines] == [
        ("extension", None, None),
        ("machine", "i-1", "leases end"),
        ("machine", "i-4", "leases end"),
        ("ended", "i-1", None),
    ]
    assert lines[0] == {
        "at": NOW,
        "event": "extension",
        "annex": "later",
        "region": "us-east-1",
        "expiration": NOW + 3 * 3600,
    }
    assert (lines[3]["ended"], lines[3]["reason"]) == (NOW, "Client.UserInitiatedShutdown")


def test_ending_all_asks_once_and_names_each(
    screen: Screen, targeted: Callable[..., Target], asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    aws = Recorded(**answers(MACHINES))
    assert end_leases(screen, targeted(aws), None, everything=True, yes=False).ended == ("first", "later")
    assert asked.questions == [("End all 2?", False)]
    assert [put["Rule"] for put in aws.of("PutTargets")] == ["first", "later"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["  first: 2 machines", "  later: 1 machine"]
    assert lines[3].startswith("Their leases have ended.")


def test_no_and_nothing_to_end_change_nothing(
    screen: Screen, targeted: Callable[..., Target], asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    asked.answer = False
    aws = Recorded(**answers(MACHINES))
    assert end_leases(screen, targeted(aws), "first", everything=False, yes=False).ended == ()
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing was changed."
    assert "PutTargets" not in aws.names
    assert end_leases(screen, targeted(Recorded(**answers([], {}))), None, everything=True, yes=True).ended == ()
    assert capsys.readouterr().out == "No annex holds a lease in us-east-1.\n"


@pytest.mark.parametrize(("name", "everything"), [(None, False), ("first", True)])
def test_ending_wants_either_a_name_or_all(
    screen: Screen, targeted: Callable[..., Target], name: str | None, everything: bool
) -> None:
    with pytest.raises(click.UsageError, match="give either the name of an annex or --all"):
        end_leases(screen, targeted(Recorded()), name, everything=everything, yes=True)


def test_where_the_lease_function_is_gone_this_command_ends_the_machines_and_says_so(
    screen: Screen, targeted: Callable[..., Target], capsys: pytest.CaptureFixture[str]
) -> None:
    aws = Recorded(**answers(MACHINES, Invoke=RefusedError("ResourceNotFoundException", "none", 404)))
    end_leases(screen, targeted(aws), "first", everything=False, yes=True)
    assert aws.of("TerminateInstances") == [{"InstanceIds": ["i-1", "i-2"]}]
    said = capsys.readouterr()
    assert "the lease function does not work, so this command ended the machines of first (" in said.err
    assert "lease has ended" not in said.out


@pytest.mark.parametrize(("version", "expected"), [((24, 11, 2), True), ((24, 11, 1), False)])
def test_htcondors_own_record_is_named_where_it_keeps_one(
    screen: Screen,
    targeted: Callable[..., Target],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    version: tuple[int, int, int],
    expected: bool,
) -> None:
    monkeypatch.setattr(module, "version", lambda: version)
    end_leases(screen, targeted(Recorded(**answers(MACHINES))), "first", everything=False, yes=True)
    assert ("condor_rm -constraint 'hpc_annex_name == \"first\"'" in capsys.readouterr().out) is expected


def test_the_list_says_how_much_of_each_limit_is_used_and_by_whom(
    screen: Screen, targeted: Callable[..., Target], capsys: pytest.CaptureFixture[str]
) -> None:
    limits = {"MaxCores": "12", "MaxDollarsPerHour": "1.50", "MaxLeaseHours": "24", "InstanceTypes": "m7i.*,c7i.large"}
    machines = [
        machine(1, "first"),
        machine(1, "first"),
        machine(2, "later"),
        machine(4, "none", Tags=[]),
        machine(5, "first", State={"Name": "terminated"}),
    ]
    types = {"InstanceTypes": [described_type("m7i.large", 2, 8192)]}
    aws = Recorded(
        **answers(machines, DescribeStacks=described(a_stack(parameters=limits)), DescribeInstanceTypes=types)
    )
    found = list_leases(screen, targeted(aws))
    assert found.limits == (
        LimitUse(
            "MaxCores",
            Decimal(12),
            Decimal(8),
            {"user1": Decimal(4), "condor_annex": Decimal(2), "user2": Decimal(2)},
        ),
        LimitUse(
            "MaxDollarsPerHour",
            Decimal("1.50"),
            Decimal("0.40"),
            {"user1": Decimal("0.20"), "condor_annex": Decimal("0.10"), "user2": Decimal("0.10")},
        ),
    )
    assert (found.instance_types, found.longest_hours) == (("m7i.*", "c7i.large"), 24)
    said = capsys.readouterr().out.splitlines()
    assert said[-4:] == [
        "MaxLeaseHours: a machine may run 24 hours.",
        "InstanceTypes: machines may be m7i.*, c7i.large.",
        "MaxCores: 8 of 12 cores in use: user1 4, condor_annex 2, user2 2.",
        (
            "MaxDollarsPerHour: 0.4000 of 1.50 dollars an hour, by prices on demand, in use: user1 0.2000, "
            "condor_annex 0.1000, user2 0.1000."
        ),
    ]


def test_a_limit_of_which_nothing_is_used_or_a_price_is_unknown_is_said_too(
    screen: Screen, targeted: Callable[..., Target], capsys: pytest.CaptureFixture[str]
) -> None:
    stack = described(a_stack(parameters={"MaxDollarsPerHour": "2"}))
    assert list_leases(screen, targeted(Recorded(**answers([], {}, DescribeStacks=stack)))).limits == (
        LimitUse("MaxDollarsPerHour", Decimal(2), Decimal(0), {}),
    )
    odd = Recorded(**answers([machine(1, "first", InstanceType="x9.large")], DescribeStacks=stack))
    assert list_leases(screen, targeted(odd)).limits == (
        LimitUse("MaxDollarsPerHour", Decimal(2), None, {"user1": None}),
    )
    said = capsys.readouterr().out
    assert "MaxDollarsPerHour: 0.0000 of 2 dollars an hour, by prices on demand, in use.\n" in said
    assert "MaxDollarsPerHour: unknown of 2 dollars an hour, by prices on demand, in use: user1 unknown.\n" in said


def test_without_limits_the_list_says_nothing_of_them(
    screen: Screen, targeted: Callable[..., Target], capsys: pytest.CaptureFixture[str]
) -> None:
    found = list_leases(screen, targeted(Recorded(**answers(MACHINES))))
    assert (found.limits, found.instance_types, found.longest_hours) == ((), (), None)
    assert "Max" not in capsys.readouterr().out
