"""What ``deploy`` and ``delete`` do, called without the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import boto3
import pytest

from annex_bootstrap.commands.delete import delete
from annex_bootstrap.commands.deploy import deploy
from annex_bootstrap.errors import UserError
from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.pool.pull import Pulled
from annex_bootstrap.target import Target
from annex_contract.iam import allow
from local_aws.launcher import ACCOUNT, Credentials
from tests.local_aws.cli_user import CliUser
from tests.local_aws.commands.recording_screen import RecordingScreen


@pytest.fixture
def here(deployer: CliUser, monkeypatch: pytest.MonkeyPatch) -> CliUser:
    """The deployer, with their environment in this process."""
    for name, value in deployer.environ().items():
        monkeypatch.setenv(name, value)
    return deployer


def test_a_stack_is_deployed_and_deleted_after_confirmation(here: CliUser) -> None:
    screen = RecordingScreen(answer=True)
    deployed = deploy(screen, Target(here.stack_name), {})
    assert screen.questions == [f"Go ahead in account {ACCOUNT}, us-east-1?"]
    assert "machines' port 9618 (HTCondor) to everyone on the Internet (0.0.0.0/0)" in "\n".join(screen.said)
    steps = [line for line in screen.said if "  # " in line]
    assert steps[0].startswith(f"annex-bootstrap credentials --stack-name {here.stack_name}  # ")
    assert steps[1].startswith(f"annex-bootstrap doctor --stack-name {here.stack_name}  # ")
    assert steps[2].startswith("annex-bootstrap start my-first-annex --count 1 ")
    assert [event.status for event in screen.events["us-east-1"] if event.is_stack][-1] == "CREATE_COMPLETE"
    assert deployed.ok
    assert deployed.regions[0].status == "CREATE_COMPLETE"
    assert deployed.configuration == Pulled(here.config, changed=True)

    screen = RecordingScreen(answer=False)
    declined = delete(screen, Target(here.stack_name))
    assert (screen.questions, screen.said[-1]) == (
        [f"Go ahead in account {ACCOUNT}, us-east-1?"],
        "Nothing was changed.",
    )
    assert (declined.ok, declined.declined, declined.regions[0].deleted) == (True, True, False)

    screen = RecordingScreen(answer=False)
    deleted = delete(screen, Target(here.stack_name), yes=True)
    assert screen.questions == []
    assert (deleted.ok, deleted.regions[0].deleted) == (True, True)
    assert here.config.read_text() == ""


def test_the_question_names_the_alias_and_the_preview_the_price_where_they_may_be_read(
    here: CliUser, root: boto3.Session, new_user: Callable[[str], Credentials], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = deployer_policy("aws", ACCOUNT, here.stack_name)
    policy["Statement"].append(allow("Read", "iam:ListAccountAliases", "*"))
    policy["Statement"].append(allow("ReadPrices", "pricing:GetProducts", "*"))
    credentials = new_user(json.dumps(policy))
    for name, value in replace(here, credentials=credentials).environ().items():
        monkeypatch.setenv(name, value)
    root.client("iam").create_account_alias(AccountAlias="made-up-lab")
    screen = RecordingScreen(answer=False)
    assert deploy(screen, Target(here.stack_name), {}).ok
    root.client("iam").delete_account_alias(AccountAlias="made-up-lab")
    assert screen.questions == [f"Go ahead in account {ACCOUNT} (made-up-lab), us-east-1?"]
    assert "Costs each machine of an annex: $0.1008/hour on demand (m7i.large)" in screen.said


def test_a_declined_proposal_leaves_nothing(here: CliUser) -> None:
    screen = RecordingScreen(answer=False)
    assert deploy(screen, Target(here.stack_name), {}).ok
    assert screen.said[-1] == "Nothing was changed."
    assert not here.config.exists()
    screen = RecordingScreen(answer=True)
    assert delete(screen, Target(here.stack_name)).ok
    assert screen.said[0] == f"There is no stack {here.stack_name} in us-east-1."
    # Stacks of other tests may have templates in it at the same time.
    assert all(line.startswith("  keeps the bucket ") for line in screen.said[1:])


def test_a_wrong_parameter_is_refused_before_anything_is_printed_or_asked(here: CliUser) -> None:
    screen = RecordingScreen(answer=True)
    with pytest.raises(UserError, match="there is no parameter Colour"):
        deploy(screen, Target(here.stack_name), {"Colour": "red"})
    assert (screen.said, screen.questions) == ([], [])


def test_a_region_that_fails_makes_the_whole_command_fail(here: CliUser) -> None:
    screen = RecordingScreen(answer=True)
    failed = deploy(screen, Target(here.stack_name), {"VpcId": "vpc-00000000000000000"})
    assert not failed.ok
    assert "failed first" in str(failed.regions[0].error)
    assert failed.configuration is None
