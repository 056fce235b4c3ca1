"""What ``rehearse`` prints of a rehearsal, and when it succeeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import pytest

from annex_bootstrap.commands import rehearse
from annex_bootstrap.commands.rehearse import RehearsalResult, denial_lines
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.policies.rehearsed import Denial, Page, Rights, Step
from local_aws.rehearsal import life

SCP = "scp.json (service control policy)"

ROLE = Denial(
    "deploy",
    "the deployer",
    "iam:CreateRole",
    "arn:aws:iam::1:role/a",
    "scp.json",
    "service control policy",
    "NoRoles",
)
INSTANCE = replace(ROLE, call="ec2:RunInstances", resource_arn="arn:aws:ec2:us-east-1:1:instance/*", statement="2")
NOWHERE = replace(ROLE, file="own.json", document_kind="identity-based policy", statement=None)
PAGE = Page(
    {"private bucket": 1},
    (Rights("LeaseExecRole", "ends annexes", {"B": ("s3:ListBucket",), "A": ("ec2:RunInstances", "s3:DeleteObject")}),),
    ("tcp 22: 192.0.2.0/24",),
    ("bucket b",),
    ("The lease function.",),
)


def test_denials_are_told_by_statement_and_caller() -> None:
    volume = replace(INSTANCE, resource_arn="arn:aws:ec2:us-east-1:1:volume/*")
    assert denial_lines([ROLE, INSTANCE, replace(ROLE, call="iam:TagRole"), volume, NOWHERE]) == [
        f"{SCP}, statement NoRoles denies the deployer: iam:CreateRole (role), iam:TagRole (role)",
        f"{SCP}, statement 2 denies the deployer: ec2:RunInstances (instance and volume)",
        "own.json (identity-based policy), no statement allows the deployer: iam:CreateRole (role)",
    ]


def test_everything_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(_documents: object, parameters: object, region: str, tell: object, *, given_roles: bool) -> life.Rehearsal:
        tags = {"Tag1": "a=b", **{f"Tag{number}": "" for number in range(2, 7)}}
        assert (parameters, region) == ({"EndOrphans": "yes", **tags}, "us-west-2")
        assert given_roles
        steps = (Step("deploy", (ROLE,), None), Step("delete", (), "it broke"))
        for step in steps:
            tell(step)  # type: ignore[operator]  # a function
        return life.Rehearsal(steps, PAGE, {"aws:ViaAWSService": ("scp.json",)}, ("role left",))

    monkeypatch.setattr(life, "rehearse", run)
    result = rehearse.rehearse(
        Screen(), parameters={"EndOrphans": "yes"}, tags=("a=b",), region="us-west-2", given_roles=True
    )
    assert not result.ok
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "Rehearses on a local AWS in us-west-2, under no documents. No account is touched.",
        "A denied call is noted and then made all the same, so that what comes after it is tried too.",
        "deploy   done, 1 denied",
        f"         {SCP}, statement NoRoles denies the deployer: iam:CreateRole (role)",
        "delete   failed",
        "Nothing was started: a stack with Image=no has no image, and no annex-bootstrap start.",
        "Only AWS can show what aws:ViaAWSService decides (scp.json): no call here had a value for it.",
        "",
        "For the person who signs",
        "Created:",
        "  1 private bucket",
        "Rights, and who needs them for what (docs/permissions.md has the resources and conditions of each):",
        "  LeaseExecRole: ends annexes",
        "    ec2: RunInstances; s3: DeleteObject ListBucket",
        "Open ports:",
        "  tcp 22: 192.0.2.0/24",
        "Data:",
        "  bucket b",
        "What ends what:",
        "  The lease function.",
    ]
    assert err.splitlines() == [
        "annex-bootstrap: delete failed: it broke",
        "annex-bootstrap: left over: role left",
    ]


def test_it_succeeds_where_nothing_is_denied_fails_or_remains() -> None:
    good = RehearsalResult("us-east-1", {}, (Step("deploy", (), None),), PAGE, {}, ())
    assert good.ok
    for worse in (
        replace(good, steps=(Step("deploy", (ROLE,), None),)),
        replace(good, steps=(Step("deploy", (), "it broke"),)),
        replace(good, left=("role left",)),
    ):
        assert not worse.ok


def test_a_wrong_parameter_is_told_before_anything_starts() -> None:
    with pytest.raises(UserError, match="EndOrphan"):
        rehearse.rehearse(Screen(), parameters={"EndOrphan": "yes"})


def test_a_wrong_tag_is_told_before_anything_starts() -> None:
    with pytest.raises(UserError, match="'a' is not a tag"):
        rehearse.rehearse(Screen(), tags=("a",))


def test_a_wrong_document_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        rehearse.rehearse(Screen(), boundary=tmp_path / "none")


def test_a_boundary_is_given_once(tmp_path: Path) -> None:
    arn = {"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/b"}
    with pytest.raises(click.UsageError, match="give either --boundary or the parameter PermissionsBoundaryArn"):
        rehearse.rehearse(Screen(), boundary=tmp_path / "b.json", parameters=arn)
