"""``credentials``: which user gets which key, policy and boundary, and which files and knobs name them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap.aws import Account
from annex_bootstrap.commands import credentials as module
from annex_bootstrap.commands.credentials import Action, Credentials, credentials
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import AwsError, UserError
from annex_bootstrap.policies.users import AnnexUser, KeyFiles
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.target import Target
from tests.unit.annex_bootstrap.commands.conftest import OUTPUTS, STACK_ID, Asked, a_stack
from tests.unit.recorded import Recorded

POLICY = OUTPUTS["AnnexUserPolicyARN"]
MINE = "arn:aws:iam::123456789012:policy/mine"
OWN_POLICIES = "arn:aws:iam::123456789012:policy/"
BOUNDARY = f"{OWN_POLICIES}annex-bootstrap-users-boundary-annex-bootstrap"


class Users:
    """What is done to users, instead of doing it.

    Attributes:
        done: in order, with the user's name and boundary.
        made: whether a key is made.
        bounded: whether the user has a boundary.
        deleted: the keys that are deleted; None where there is no such user.
        error: what fails.
        stack: the stack.
    """

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.made, self.bounded = True, False
        self.deleted: tuple[str, ...] | None = ("AKIAMADEUPOLD",)
        self.error: Exception | None = None
        self.stack = a_stack()

    def find_deployed(self, account: Account, name: str) -> Stack:
        assert (account.region, name) == ("us-east-1", "annex-bootstrap")
        return self.stack

    def _do(self, user: AnnexUser, *what: Any) -> None:
        if self.error is not None:
            raise self.error
        self.done.append((*what, user.name, user.boundary))

    def set_up(self, user: AnnexUser, stack_id: str, policy_arn: str) -> bool:
        self._do(user, "set up", stack_id, policy_arn)
        user.files.write("AKIAMADEUPNEW0000000", "made-up")
        return self.made

    def rotate(self, user: AnnexUser, stack_id: str, policy_arn: str) -> tuple[str, ...]:
        self._do(user, "rotate", stack_id, policy_arn)
        return self.deleted or ()

    def remove(self, user: AnnexUser) -> tuple[str, ...] | None:
        self._do(user, "remove")
        return self.deleted


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> Users:
    made = Users()
    monkeypatch.setattr(AnnexUser, "set_up", lambda user, *given: made.set_up(user, *given))
    monkeypatch.setattr(AnnexUser, "rotate", lambda user, *given: made.rotate(user, *given))
    monkeypatch.setattr(AnnexUser, "remove", lambda user: made.remove(user))
    monkeypatch.setattr(AnnexUser, "is_bounded", lambda _: made.bounded)
    monkeypatch.setattr(KeyFiles, "holder", lambda _files, _account: "")
    monkeypatch.setattr(module, "find_deployed", made.find_deployed)
    return made


Run = Callable[..., Credentials]


@pytest.fixture
def run(screen: Screen, targeted: Callable[..., Target], home: Path) -> Run:
    def run(action: Action | None = None, **options: Any) -> Credentials:
        return credentials(screen, targeted(Recorded()), action, directory=home / "keys", **options)

    return run


def knobs(home: Path) -> dict[str, str]:
    lines = (home / "user_config").read_text().splitlines() if (home / "user_config").exists() else []
    return dict(line.split(" = ") for line in lines if " = " in line)


def test_a_user_of_the_stacks_and_the_regions_name_gets_the_stacks_policy_and_the_files_are_named(
    users: Users, run: Run, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run()
    assert users.done == [("set up", STACK_ID, POLICY, "annex-bootstrap-us-east-1", "")]
    access, secret = home / "keys/annex-access-key-us-east-1", home / "keys/annex-secret-key-us-east-1"
    assert done == Credentials(
        home / "user_config", "annex-bootstrap-us-east-1", True, "AKIAMADEUPNEW0000000", access, secret
    )
    assert knobs(home) == {
        "ANNEX_DEFAULT_ACCESS_KEY_FILE": str(access),
        "ANNEX_DEFAULT_SECRET_KEY_FILE": str(secret),
        "us_east_1.ANNEX_DEFAULT_ACCESS_KEY_FILE": str(access),
        "us_east_1.ANNEX_DEFAULT_SECRET_KEY_FILE": str(secret),
    }
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "The IAM user annex-bootstrap-us-east-1 has a new key and one policy: annex-bootstrap-AnnexUserPolicy-A."
    )
    assert lines[2:5] == [f"  key ID  {access}", f"  secret  {secret}", f"  knobs   {home}/user_config"]


def test_a_key_that_is_here_already_stays(users: Users, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    users.made = False
    done = run(user_name="annex-bootstrap-me", boundary=MINE)
    assert users.done == [("set up", STACK_ID, POLICY, "annex-bootstrap-me", MINE)]
    assert (done.user, done.changed, done.deleted_keys) == ("annex-bootstrap-me", False, ())
    assert capsys.readouterr().out.splitlines()[0] == "The IAM user annex-bootstrap-me already has its key here."


def test_a_rotation_names_the_keys_that_it_deleted(users: Users, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(Action.ROTATE)
    assert users.done == [("rotate", STACK_ID, POLICY, "annex-bootstrap-us-east-1", "")]
    assert (done.changed, done.deleted_keys) == (True, ("AKIAMADEUPOLD",))
    assert "has a new key; deleted: AKIAMADEUPOLD." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("roles_boundary", "user_bounded", "given", "boundary"),
    [
        (f"{OWN_POLICIES}annex-bootstrap-roles-boundary-annex-bootstrap", False, "", BOUNDARY),
        # The one of all stacks of an account, as earlier versions printed it.
        (f"{OWN_POLICIES}annex-bootstrap-roles-boundary", False, "", f"{OWN_POLICIES}annex-bootstrap-users-boundary"),
        (f"{OWN_POLICIES}limit", False, "", BOUNDARY),
        (f"{OWN_POLICIES}limit", True, "", ""),
        (f"{OWN_POLICIES}limit", False, MINE, MINE),
        ("", False, "", ""),
    ],
)
def test_where_the_stacks_roles_are_bounded_so_is_the_user(
    users: Users,
    run: Run,
    roles_boundary: str,
    user_bounded: bool,
    given: str,
    boundary: str,
) -> None:
    users.bounded = user_bounded
    stack = a_stack(parameters={"PermissionsBoundaryArn": roles_boundary} if roles_boundary else {})
    users.stack = stack
    run(boundary=given)
    assert users.done[0][-1] == boundary


def test_a_boundary_that_does_not_exist_is_said_with_the_way_to_it(users: Users, run: Run) -> None:
    users.error = AwsError("no", code="NoSuchEntity", reason=f"Scope ARN: {MINE} does not exist")
    with pytest.raises(UserError, match=f"there is no policy {MINE} to limit the IAM user"):
        run(boundary=MINE)
    with pytest.raises(AwsError, match=r"^no$"):
        run(boundary=BOUNDARY)


def test_a_machines_role_needs_no_user(users: Users, run: Run, home: Path) -> None:
    assert run(Action.FROM_INSTANCE) == Credentials(home / "user_config", None, changed=False)
    assert users.done == []
    names = [f"ANNEX_DEFAULT_{kind}_KEY_FILE" for kind in ("ACCESS", "SECRET")]
    assert knobs(home) == dict.fromkeys([*names, *(f"us_east_1.{name}" for name in names)], "FROM INSTANCE")


def test_removal_asks_deletes_the_user_and_takes_the_knobs_out(
    users: Users, run: Run, home: Path, asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    users.done.clear()
    asked.answer = False
    assert not run(Action.REMOVE).changed
    assert (users.done, asked.questions) == ([], [("Go ahead?", False)])
    asked.answer = True
    done = run(Action.REMOVE)
    assert users.done == [("remove", "annex-bootstrap-us-east-1", "")]
    assert (done.changed, done.deleted_keys, knobs(home)) == (True, ("AKIAMADEUPOLD",), {})
    assert capsys.readouterr().out.splitlines()[-1] == "The IAM user annex-bootstrap-us-east-1 is deleted."
    users.deleted = None
    assert not run(Action.REMOVE, yes=True).changed
    assert capsys.readouterr().out.splitlines()[-1] == "The IAM user annex-bootstrap-us-east-1 did not exist."


def test_removal_keeps_the_knobs_of_another_user(users: Users, run: Run, home: Path) -> None:
    config = home / "user_config"
    run()
    before = config.read_text().replace(str(home / "keys"), "/elsewhere")
    config.write_text(before)
    run(Action.REMOVE, yes=True)
    assert config.read_text() == before
    assert users.done[-1][0] == "remove"
