"""``pull-config`` and ``policy``, under the deployer's policy and with IAM enforced."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.pool.blocks import local_name
from annex_contract.knobs import KNOBS
from annex_contract.stack import Output
from local_aws.launcher import ACCOUNT
from tests.local_aws.client import Client

BOTH = ("--region", "us-east-1", "--region", "eu-west-1")


def test_the_block_is_written_checked_printed_and_kept(client: Client) -> None:
    (region,) = client.must("deploy", "--yes", "--no-pull", "--output", "json").document["regions"]
    assert not client.config.exists()

    check = client.run("pull-config", "--check")
    assert check.code == 1
    assert f"+ANNEX_DEFAULT_S3_BUCKET = {region['outputs'][Output.S3_BUCKET_NAME]}\n" in check.out
    assert not client.config.exists()

    printed = client.must("pull-config", "--print").out
    assert not client.config.exists()
    for knob in KNOBS:
        if knob.output is not Output.KEY_PAIR_NAME:
            assert f"\n{knob.name} = {region['outputs'][knob.output]}\n" in printed

    client.config.parent.mkdir(parents=True)
    client.config.write_bytes(b"# mine\r\nA = \xff\xfe\n")
    client.config.chmod(0o600)
    assert client.must("pull-config", "--output", "json").document == {"path": str(client.config), "changed": True}
    assert client.config.read_bytes() == b"# mine\r\nA = \xff\xfe\n" + printed.encode()
    assert client.config.stat().st_mode & 0o777 == 0o600
    assert client.must("pull-config", "--check", "--output", "json").document["differs"] is False
    assert "already names" in client.must("pull-config").out

    client.config.write_text(client.config.read_text(errors="replace").replace("sg-", "sg-0"))
    check = client.run("pull-config", "--check")
    assert check.code == 1
    assert "-ANNEX_DEFAULT_ODI_SECURITY_GROUP_IDS = sg-0" in check.out


def test_regions_keep_each_others_part_and_the_default_can_be_chosen(client: Client) -> None:
    client.must("deploy", "--yes", "--no-pull", *BOTH, "--param", "KeyPair=no")
    client.must("deploy", "--yes", "--no-pull", "--region", "us-east-1", "--param", "KeyPair=yes")
    client.must("pull-config", "--region", "eu-west-1")
    assert "\nANNEX_DEFAULT_AWS_REGION = eu-west-1\n" in client.config.read_text()
    client.must("pull-config", "--region", "us-east-1")
    written = client.config.read_text()
    assert "\nANNEX_DEFAULT_AWS_REGION = eu-west-1\n" in written
    assert f"\n{local_name('us-east-1')}.ANNEX_DEFAULT_ODI_KEY_NAME = annex-bootstrap-" in written
    client.must("pull-config", *BOTH, "--default-region", "us-east-1")
    written = client.config.read_text()
    assert "\nANNEX_DEFAULT_AWS_REGION = us-east-1\n" in written
    # Without it, machines in Europe would ask for a key pair of Virginia.
    assert "\neu_west_1.ANNEX_DEFAULT_ODI_KEY_NAME =\n" in written
    wrong = client.run("pull-config", *BOTH, "--default-region", "ap-south-1")
    assert wrong.code == 1
    assert "ap-south-1 cannot be the default region" in wrong.err
    assert client.config.read_text() == written
    client.must("delete", "--yes", *BOTH)


def test_without_a_stack_the_sentence_says_what_to_do(client: Client) -> None:
    ran = client.run("pull-config")
    assert ran.code == 1
    assert ran.err == (
        f"annex-bootstrap: there is no stack {client.stack_name} in us-east-1: run annex-bootstrap deploy first, "
        "or give --stack-name or --region\n"
    )
    assert not client.config.exists()


def test_a_half_edited_block_is_refused(client: Client) -> None:
    client.must("deploy", "--yes")
    edited = client.config.read_text().replace("# END", "MY_OWN = 1\n# END")
    client.config.write_text(edited)
    ran = client.run("pull-config")
    assert ran.code == 1
    assert ran.err.startswith(f"annex-bootstrap: {client.config}: line 15 in its annex-bootstrap block is not ours")
    assert client.config.read_text() == edited


def test_the_deployers_policy_is_printed_for_the_account_at_hand(client: Client) -> None:
    printed = client.must("policy", "deployer")
    assert json.loads(printed.out) == deployer_policy("aws", ACCOUNT, client.stack_name)


def test_json_on_stdout_is_alone_there(client: Client) -> None:
    loud = replace(client, extra={"FORCE_COLOR": "1"})
    ran = loud.must("deploy", "--yes", "--output", "json")
    assert ran.document["config"] == {"path": str(client.config), "changed": True}
    assert re.search(r"^  creates \d\d resources$", ran.err, re.MULTILINE)
