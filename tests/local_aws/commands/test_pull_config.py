"""``pull-config`` and ``policy``, under the deployer's policy and with IAM enforced."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.pool.blocks import local_name
from annex_contract.knobs import KNOBS
from annex_contract.stack import Output
from local_aws.launcher import ACCOUNT
from tests.local_aws.cli_user import DEPLOY_WITHOUT_IMAGE, CliUser

pytestmark = pytest.mark.slow

BOTH = ("--region", "us-east-1", "--region", "eu-west-1")


def test_the_block_is_checked_printed_and_written(deployer: CliUser) -> None:
    (region,) = deployer.must("deploy", "--yes", "--no-pull", "--output", "json").document["result"]["regions"]
    assert not deployer.config.exists()

    check = deployer.run("pull-config", "--check")
    assert check.returncode == 1
    assert f"+ANNEX_DEFAULT_S3_BUCKET = {region['outputs'][Output.S3_BUCKET_NAME]}\n" in check.stdout
    assert not deployer.config.exists()

    printed = deployer.must("pull-config", "--print").stdout
    assert not deployer.config.exists()
    for knob in KNOBS:
        if knob.output is not Output.KEY_PAIR_NAME:
            prefix = "us_east_1." if knob.regional else ""
            assert f"\n{prefix}{knob.name} = {region['outputs'][knob.output]}\n" in printed

    deployer.config.parent.mkdir(parents=True)
    deployer.config.write_bytes(b"# mine\r\nA = \xff\xfe\n")
    deployer.config.chmod(0o600)
    written = deployer.must("pull-config", "--output", "json").document["result"]
    assert (written["config"], written["changed"]) == (str(deployer.config), True)
    assert deployer.config.read_bytes() == b"# mine\r\nA = \xff\xfe\n" + printed.encode()
    assert deployer.config.stat().st_mode & 0o777 == 0o600
    assert deployer.must("pull-config", "--check", "--output", "json").document["result"]["matches"] is True
    assert "already names" in deployer.must("pull-config").stdout

    with deployer.config.open("a") as config:
        config.write("ANNEX_DEFAULT_ODI_IMAGE_ID = ami-1\n")
    warned = deployer.must("pull-config").stderr
    assert "names the image ami-1, which does not start in us-east-1" in warned
    assert "at the end of the file, write us_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-1" in warned

    deployer.config.write_text(deployer.config.read_text(errors="replace").replace("sg-", "sg-0"))
    check = deployer.run("pull-config", "--check")
    assert check.returncode == 1
    assert "-ANNEX_DEFAULT_ODI_SECURITY_GROUP_IDS = sg-0" in check.stdout


def test_regions_keep_each_others_section_and_the_default_can_be_chosen(deployer: CliUser) -> None:
    deployer.must(*DEPLOY_WITHOUT_IMAGE, "--no-pull", *BOTH, "--param", "KeyPair=no")
    deployer.must("deploy", "--yes", "--no-pull", "--region", "us-east-1", "--param", "KeyPair=yes")
    deployer.must("pull-config", "--region", "eu-west-1")
    assert "\nANNEX_DEFAULT_AWS_REGION = eu-west-1\n" in deployer.config.read_text()
    deployer.must("pull-config", "--region", "us-east-1")
    written = deployer.config.read_text()
    assert "\nANNEX_DEFAULT_AWS_REGION = eu-west-1\n" in written
    assert f"\n{local_name('us-east-1')}.ANNEX_DEFAULT_ODI_KEY_NAME = annex-bootstrap-" in written
    deployer.must("pull-config", *BOTH, "--default-region", "us-east-1")
    written = deployer.config.read_text()
    assert "\nANNEX_DEFAULT_AWS_REGION = us-east-1\n" in written
    # Without it, machines in Europe would ask for a key pair of Virginia.
    assert "\neu_west_1.ANNEX_DEFAULT_ODI_KEY_NAME =\n" in written
    wrong = deployer.run("pull-config", *BOTH, "--default-region", "ap-south-1")
    assert wrong.returncode == 1
    assert "ap-south-1 cannot be the default region" in wrong.stderr
    assert deployer.config.read_text() == written
    deployer.must("delete", "--yes", *BOTH)


def test_without_a_stack_the_error_says_what_to_do(deployer: CliUser) -> None:
    ran = deployer.run("pull-config")
    assert ran.returncode == 1
    assert ran.stderr == (
        f"annex-bootstrap: there is no stack {deployer.stack_name} in us-east-1: run annex-bootstrap deploy first, "
        "or give --stack-name or --region\n"
    )
    assert not deployer.config.exists()


def test_a_block_edited_by_hand_is_refused(deployer: CliUser) -> None:
    deployer.must("deploy", "--yes")
    edited = deployer.config.read_text().replace("# END", "MY_OWN = 1\n# END")
    deployer.config.write_text(edited)
    ran = deployer.run("pull-config")
    assert ran.returncode == 1
    assert ran.stderr.startswith(
        f"annex-bootstrap: {deployer.config}: line 17 in its annex-bootstrap block is not ours"
    )
    assert deployer.config.read_text() == edited


def test_the_deployers_policy_is_printed_for_the_current_account(deployer: CliUser) -> None:
    printed = deployer.must("policy", "deployer")
    assert json.loads(printed.stdout) == deployer_policy("aws", ACCOUNT, deployer.stack_name)


@pytest.mark.parametrize("arguments", [("deployer",), ("operator",), ("deployer", "--part", "2")])
def test_a_policy_that_is_too_long_for_a_users_inline_policy_says_so(
    deployer: CliUser, arguments: tuple[str, ...]
) -> None:
    printed = deployer.must("policy", *arguments)
    assert len("".join(printed.stdout.split())) > 2048
    said = "annex-bootstrap: too long for a user's inline policy (2,048 characters): make a managed policy"
    assert said in printed.stderr.splitlines()


def test_stdout_holds_nothing_but_json(deployer: CliUser) -> None:
    loud = replace(deployer, extra={"FORCE_COLOR": "1"})
    ran = loud.must(*DEPLOY_WITHOUT_IMAGE, "--output", "json")
    assert ran.document["result"]["configuration"] == {"config": str(deployer.config), "changed": True, "warnings": []}
    assert ran.stderr == ""
