"""``deploy`` and ``status``, under the deployer's policy and with IAM enforced."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from annex_bootstrap.aws import Account
from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.operator import operator_policy
from annex_bootstrap.stack import deployment, read, staging
from annex_bootstrap.stack.deployment import DeployRequest
from annex_bootstrap.stack.failure import function_log
from annex_bootstrap.stack.read import Event
from annex_bootstrap.stack.template import built_template, parse_template
from annex_contract import __version__
from annex_contract.iam import allow
from annex_contract.stack import Output
from local_aws.demo.inventory import take_inventory
from local_aws.launcher import ACCOUNT, Credentials
from tests.local_aws import stack
from tests.local_aws.cli_user import DEPLOY_WITHOUT_IMAGE, CliUser
from tests.local_aws.custom_resources.account import Account as OfCustomResources

pytestmark = pytest.mark.slow

NO_SUCH_VPC = "VpcId=vpc-00000000000000000"
BUILDING = 4.0
"""Seconds that the image's builder takes where a test does something while a stack is being created."""


def unseen(_event: Event) -> None:
    """Watch nothing."""


def account(deployer: CliUser, region: str = "us-east-1") -> Account:
    keys = deployer.credentials
    return Account(boto3.Session(keys.access_key_id, keys.secret_access_key), region)


def test_the_first_deployment_creates_the_stack_and_writes_the_configuration(deployer: CliUser) -> None:
    ran = deployer.must("deploy", "--yes")
    assert re.search(r"^Makes    \d\d resources, among them the bucket, ", ran.stdout, re.MULTILINE)
    assert f"CREATE_COMPLETE: {deployer.stack_name} in us-east-1" in ran.stdout
    assert "IN_PROGRESS" not in ran.stdout
    assert "ANNEX_DEFAULT_AWS_REGION = us-east-1\n" in deployer.config.read_text()
    again = deployer.must("deploy", "--yes")
    assert again.stdout.splitlines() == [
        f"The stack {deployer.stack_name} in us-east-1 is up to date.",
        f"{deployer.config} already names the stack {deployer.stack_name} in us-east-1.",
    ]


def test_a_dry_run_leaves_only_the_staging_bucket_for_the_deployment(deployer: CliUser, root: boto3.Session) -> None:
    before = take_inventory(root)
    ran = deployer.must("deploy", "--dry-run", "--param", "CondorPort=9619")
    lines = ran.stdout.splitlines()
    assert lines[0] == f"Creates the stack {deployer.stack_name}:"
    assert "Opens    machines' port 9619 (HTCondor) to everyone on the Internet (0.0.0.0/0)" in lines
    assert lines[-2:] == [f"Where    account {ACCOUNT}, us-east-1", "Nothing was changed."]
    assert len(lines) < 12
    assert {
        name for name in take_inventory(root) - before if staging.bucket_name(account(deployer)) not in name
    } == set()
    assert read.find(account(deployer).cloudformation, deployer.stack_name) is None
    assert not deployer.config.exists()


def test_an_update_says_what_it_replaces_and_keeps_earlier_parameters(deployer: CliUser, root: boto3.Session) -> None:
    deployer.must(*DEPLOY_WITHOUT_IMAGE, "--param", "CondorCidrs=192.0.2.0/24")
    vpc = root.client("ec2").create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    refused = deployer.run("deploy", "--param", f"VpcId={vpc}", text="n\n")
    assert refused.returncode == 0
    assert re.search(r"^Changes  replaces the security group: .*VpcId", refused.stdout, re.MULTILINE)
    assert "Keeps    CondorCidrs at 192.0.2.0/24" in refused.stdout
    assert "Nothing was changed." in refused.stdout
    done = deployer.must("deploy", "--yes", "--param", "SshCidrs=", "--output", "json")
    (region,) = done.document["result"]["regions"]
    assert region["status"] == "UPDATE_COMPLETE"
    assert region["error"] is None
    assert "SecurityGroup" in [change["resource"] for change in region["changes"]]
    (status,) = deployer.must("status", "--output", "json").document["result"]["regions"]
    assert status["parameters"]["CondorCidrs"] == "192.0.2.0/24"
    assert status["parameters"]["SshCidrs"] == ""
    assert status["config_names_stack"] is True
    deployer.must("delete", "--yes")
    root.client("ec2").delete_vpc(VpcId=vpc)


def test_where_no_base_is_published_a_new_stack_makes_no_image(deployer: CliUser) -> None:
    shown = deployer.must("deploy", "--dry-run", "--region", "us-gov-west-1").stdout
    assert "Sets     Image to no (it is yes)" in shown
    refused = deployer.run("deploy", "--dry-run", "--region", "us-gov-west-1", "--param", "Image=yes")
    assert "Debian publishes no image in us-gov-west-1: add --param BaseImage=ami-" in refused.stderr


NO_LINKED_ROLES = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Deny", "Action": "iam:CreateServiceLinkedRole", "Resource": "*"}],
}


@pytest.mark.parametrize("own_role", [False, True])
def test_where_no_service_linked_role_may_be_made_the_stack_stands_and_doctor_says_who_makes_it(
    deployer: CliUser,
    root: boto3.Session,
    account: OfCustomResources,
    set_account: Callable[..., None],
    new_user: Callable[[str], Credentials],
    own_role: bool,
) -> None:
    iam, name = root.client("iam"), "fleet-role-of-ones-own"
    trust = {"Effect": "Allow", "Principal": {"Service": "spotfleet.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
    account.forget_service_linked_roles()
    set_account(service_control_policies=[NO_LINKED_ROLES])
    try:
        deployer.must(*DEPLOY_WITHOUT_IMAGE, *(["--param", f"FleetRoleName={name}"] if own_role else []))
        policy = json.dumps(operator_policy("aws", ACCOUNT, deployer.stack_name))
        operator = replace(deployer, credentials=new_user(policy))
        (found,) = (
            finding
            for finding in operator.run("doctor", "--output", "json").document["result"]["findings"]
            if finding["id"] == "fleet-role"
        )
    finally:
        set_account()
        account.make_service_linked_roles()
        iam.delete_role(RoleName=name)
    if not own_role:
        assert (found["level"], found["commands"]) == (
            "SKIPPED",
            [
                "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com",
                "aws iam create-service-linked-role --aws-service-name spotfleet.amazonaws.com",
            ],
        )


def test_a_boundary_of_another_account_is_refused_before_anything_is_made(deployer: CliUser) -> None:
    boundary = "arn:aws:iam::210987654321:policy/annex"
    refused = deployer.run("deploy", "--dry-run", "--param", f"PermissionsBoundaryArn={boundary}")
    assert refused.returncode == 1
    assert f"'{boundary}' cannot be a permissions boundary in this account" in refused.stderr


def test_a_partition_in_which_condor_annex_finds_no_aws_is_refused(deployer: CliUser) -> None:
    refused = deployer.run("deploy", "--yes", "--region", "cn-north-1")
    assert refused.returncode == 1
    assert "condor_annex cannot use the partition aws-cn" in refused.stderr


@pytest.mark.parametrize("arguments", [("deploy", "--yes"), ("policy", "deployer"), ("policy", "operator")])
def test_a_name_that_cloudformation_would_shorten_is_refused(deployer: CliUser, arguments: tuple[str, ...]) -> None:
    refused = replace(deployer, stack_name="twenty-nine-characters-abcdef").run(*arguments)
    assert refused.returncode == 2
    assert "has at most 28 letters, digits and single hyphens" in refused.stderr


def test_an_empty_stack_that_somebody_else_is_reviewing_is_neither_used_nor_deleted(
    deployer: CliUser, root: boto3.Session
) -> None:
    client = root.client("cloudformation")
    template = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
    made = client.create_change_set(
        StackName=deployer.stack_name, ChangeSetName="theirs", ChangeSetType="CREATE", TemplateBody=template
    )
    for command in (("deploy", "--yes"), ("deploy", "--dry-run"), ("delete", "--yes")):
        refused = deployer.run(*command)
        assert refused.returncode == 1
        assert "somebody else is reviewing the change set theirs" in refused.stderr
    described = client.describe_change_set(ChangeSetName=made["Id"])
    assert described["Status"] == "CREATE_COMPLETE"
    client.delete_change_set(ChangeSetName=made["Id"])


def test_without_a_terminal_to_ask_nothing_changes_and_it_is_an_error(deployer: CliUser) -> None:
    ran = deployer.run("deploy")
    assert (ran.returncode, ran.stderr.splitlines()[-1]) == (1, "annex-bootstrap: no terminal to confirm on: add --yes")
    assert read.find(account(deployer).cloudformation, deployer.stack_name) is None


def test_a_failed_creation_is_explained_and_the_next_deployment_replaces_it(deployer: CliUser) -> None:
    parameters = ("--param", NO_SUCH_VPC, "--param", "CondorPort=9619", "--param", "Image=no")
    failed = deployer.run("deploy", "--yes", *parameters)
    assert failed.returncode == 1
    assert (
        "the stack ended in ROLLBACK_COMPLETE; SecurityGroup failed first: CreateSecurityGroup failed: "
        in failed.stderr
    )
    assert failed.stderr.endswith("next: fix that, then run annex-bootstrap deploy again\n")
    assert not deployer.config.exists()

    shown = deployer.run("status")
    assert shown.returncode == 1
    assert "ROLLBACK_COMPLETE" in shown.stdout
    dry = deployer.must("deploy", "--dry-run")
    assert "Deletes  what the failed creation left (ROLLBACK_COMPLETE)" in dry.stdout
    assert "Keeps    CondorPort at 9619, Image at no, VpcId at vpc-00000000000000000" in dry.stdout
    assert "ROLLBACK_COMPLETE" in deployer.run("status").stdout
    assert "CREATE_COMPLETE" in deployer.must("deploy", "--yes", "--param", "VpcId=").stdout
    (status,) = deployer.must("status", "--output", "json").document["result"]["regions"]
    assert status["parameters"]["CondorPort"] == "9619"


def test_a_failed_update_is_explained_with_the_functions_log_and_rolled_back(deployer: CliUser) -> None:
    deployer.must(*DEPLOY_WITHOUT_IMAGE)
    before = deployer.config.read_bytes()
    ran = deployer.run("deploy", "--yes", "--param", NO_SUCH_VPC)
    assert ran.returncode == 1
    assert "the stack ended in UPDATE_ROLLBACK_COMPLETE; SecurityGroup failed first:" in ran.stderr
    log = ran.stderr.partition("  its function's log:\n")[2]
    assert log.startswith("    SecurityGroup: CreateSecurityGroup failed: InvalidVpcID.NotFound: ")
    assert "Traceback" not in log
    assert deployer.config.read_bytes() == before
    assert "is up to date" in deployer.must("deploy", "--yes").stdout


def test_a_running_creation_is_joined(deployer: CliUser, set_machines: Callable[..., None]) -> None:
    set_machines(seconds=BUILDING)
    here = account(deployer)
    begin(here, a_request(deployer, {}))
    ran = deployer.must("deploy", "--yes")
    assert "CREATE_COMPLETE   SweepRule" in ran.stdout
    assert "has finished: the stack ended in CREATE_COMPLETE" in ran.stdout
    assert "is up to date" in ran.stdout


def a_request(deployer: CliUser, given: dict[str, str]) -> DeployRequest:
    text = built_template()
    return DeployRequest(deployer.stack_name, text, parse_template(text), given)


def begin(here: Account, request: DeployRequest) -> None:
    """Begin a deployment, and leave it to itself."""
    ahead = deployment.preview(here, request, unseen)
    assert ahead.change_set is not None
    here.cloudformation.execute_change_set(StackName=request.stack_name, ChangeSetName=ahead.change_set.change_set_id)


def test_a_running_update_is_joined_and_then_ours_follows(deployer: CliUser, set_machines: Callable[..., None]) -> None:
    deployer.must(*DEPLOY_WITHOUT_IMAGE)
    set_machines(seconds=BUILDING)
    here = account(deployer)
    begin(here, a_request(deployer, {"CondorPort": "9619", "Image": "yes"}))
    seen: list[Event] = []
    request = a_request(deployer, {"SshCidrs": ""})
    ahead = deployment.preview(here, request, seen.append)
    assert ahead.joined == "the stack ended in UPDATE_COMPLETE"
    assert {event.status for event in seen if event.is_stack} >= {"UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"}
    # Not what happened when it was created.
    assert not any(event.status.startswith("CREATE") for event in seen)
    parameters = deployment.execute(here, request, ahead, unseen).parameters
    assert (parameters["CondorPort"], parameters["SshCidrs"]) == ("9619", "")


def test_a_stack_that_is_not_ours_is_left_alone(deployer: CliUser, root: boto3.Session, template: str) -> None:
    del template
    cloudformation = root.client("cloudformation")
    body = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    cloudformation.create_stack(StackName=deployer.stack_name, TemplateBody=json.dumps(body))
    assert stack.wait(root, deployer.stack_name) == "CREATE_COMPLETE"
    for command in ("deploy", "delete"):
        ran = deployer.run(command, "--yes")
        assert ran.returncode == 1
        assert ran.stderr == (
            f"annex-bootstrap: the stack {deployer.stack_name} was not made by annex-bootstrap: "
            "choose another name with --stack-name\n"
        )
    assert stack.wait(root, deployer.stack_name) == "CREATE_COMPLETE"


@pytest.fixture
def earlier_setup(root: boto3.Session) -> Iterator[list[str]]:
    """Two of the stacks that `condor_annex -setup` makes, by their names; they go with the test."""
    cloudformation = root.client("cloudformation")
    names = ["HTCondorAnnex-ConfigurationBucket", "HTCondorAnnex-LambdaFunctions"]
    for name in names:
        body = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
        cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(body))
        assert stack.wait(root, name) == "CREATE_COMPLETE"
    yield names
    for name in names:
        cloudformation.delete_stack(StackName=name)
        stack.wait_until_gone(cloudformation, name)


def test_the_stacks_of_condor_annex_setup_are_named_and_left_alone(
    deployer: CliUser, root: boto3.Session, earlier_setup: list[str]
) -> None:
    theirs = {resource for resource in take_inventory(root) if "HTCondorAnnex" in resource[1]}
    assert len(theirs) >= len(earlier_setup)
    ran = deployer.must("deploy", "--yes")
    assert (
        f"Leaves   what condor_annex -setup made: {', '.join(earlier_setup)}\n"
        "         their annexes keep their leases; new annexes use this stack once the configuration names it\n"
    ) in ran.stdout
    deployer.must("delete", "--yes")
    assert theirs <= take_inventory(root)
    assert [stack.wait(root, name) for name in earlier_setup] == ["CREATE_COMPLETE", "CREATE_COMPLETE"]


@pytest.mark.usefixtures("earlier_setup")
def test_who_may_not_see_the_stacks_of_condor_annex_setup_deploys_without_a_word_of_them(
    deployer: CliUser, new_user: Callable[[str], Credentials]
) -> None:
    policy = deployer_policy("aws", ACCOUNT, deployer.stack_name)
    policy["Statement"] = [statement for statement in policy["Statement"] if statement["Sid"] != "SeeEarlierSetup"]
    ran = replace(deployer, credentials=new_user(json.dumps(policy))).must("deploy", "--dry-run")
    assert "condor_annex -setup" not in ran.stdout


def test_a_downgrade_is_refused_unless_it_is_allowed(
    deployer: CliUser, root: boto3.Session, template: str, put_template: Callable[[str], str]
) -> None:
    newer = json.loads(template)
    newer["Outputs"][Output.VERSION]["Value"] = "99.0.0"
    assert stack.create(root, deployer.stack_name, put_template(json.dumps(newer))) == "CREATE_COMPLETE"
    ran = deployer.run("deploy", "--yes")
    assert ran.returncode == 1
    assert ran.stderr == (
        f"annex-bootstrap: the stack {deployer.stack_name} was made by annex-bootstrap 99.0.0, which is newer than "
        f"this {__version__}: update annex-bootstrap, or give --allow-downgrade\n"
    )
    assert stack.describe(root, deployer.stack_name).outputs[Output.VERSION] == "99.0.0"
    assert not deployer.config.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--region", "mars-north-1"], "AWS has no region 'mars-north-1' that this version of boto3 knows"),
        (["--param", "CondorPort=70000"], "CondorPort='70000' is not allowed: type a port from 1 to 65535"),
        (["--param", "VpcId=default"], "VpcId='default' is not allowed: type the ID of a VPC"),
        (["--param", "Colour=red"], "there is no parameter Colour: choose from "),
        (["--param", "CondorPort"], "'CondorPort' is not of the form NAME=VALUE"),
        (["--profile", "nobody"], "The config profile (nobody) could not be found"),
    ],
)
def test_invalid_input_is_reported_in_one_sentence_and_changes_nothing(
    deployer: CliUser, root: boto3.Session, arguments: list[str], sentence: str
) -> None:
    before = take_inventory(root)
    ran = deployer.run("deploy", "--yes", *arguments)
    assert ran.returncode != 0
    assert sentence in ran.stderr.splitlines()[-1]
    assert ran.stdout == ""
    assert take_inventory(root) == before


def test_without_credentials_the_error_says_how_to_get_some(deployer: CliUser) -> None:
    nobody = replace(deployer, extra={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""})
    ran = nobody.run("deploy", "--yes")
    assert ran.returncode == 1
    assert ran.stderr.startswith("annex-bootstrap: no AWS credentials were found: run aws configure")
    assert len(ran.stderr.splitlines()) == 1


def test_a_user_without_permissions_is_told_whom_to_ask(
    deployer: CliUser, new_user: Callable[[str], Credentials]
) -> None:
    denied = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]}
    ran = replace(deployer, credentials=new_user(json.dumps(denied))).run("deploy", "--yes", "--output", "json")
    assert ran.returncode == 1
    (region,) = ran.document["result"]["regions"]
    assert region["error"].endswith("(`annex-bootstrap policy --help` says which that is)")


def test_a_configuration_that_cannot_be_written_is_reported_in_one_sentence(deployer: CliUser, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory\n")
    nowhere = replace(deployer, home=tmp_path / "file")
    ran = nowhere.run("deploy", "--yes")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].endswith("user_config cannot be read: Not a directory; check who owns it")
    assert (tmp_path / "file").read_text() == "not a directory\n"
    # Found before anything is made.
    assert read.find(account(deployer).cloudformation, deployer.stack_name) is None


def change_sets(root: boto3.Session, deployer: CliUser) -> list[str]:
    """Return the stack's change sets; none where there is no stack."""
    client = root.client("cloudformation")
    if read.find(client, deployer.stack_name) is None:
        return []
    return [each["ChangeSetName"] for each in client.list_change_sets(StackName=deployer.stack_name)["Summaries"]]


def test_a_closed_pipe_leaves_no_change_set_and_no_traceback(deployer: CliUser, root: boto3.Session) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    with subprocess.Popen(
        deployer.command("deploy", "--dry-run"),
        env=deployer.environ(),
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        os.close(theirs)
        _, printed = running.communicate(timeout=120)
    assert (running.returncode, printed) == (1, "")
    assert change_sets(root, deployer) == []
    assert read.find(account(deployer).cloudformation, deployer.stack_name) is None


@pytest.mark.parametrize("sent", [signal.SIGHUP, signal.SIGTERM])
def test_a_terminal_that_closes_while_it_asks_leaves_no_change_set(
    deployer: CliUser, root: boto3.Session, sent: signal.Signals
) -> None:
    # Under nohup, SIGHUP is ignored, and what tests start inherits that.
    with subprocess.Popen(
        ["/usr/bin/env", f"--default-signal={sent.name.removeprefix('SIG')}", *deployer.command("deploy")],
        env=deployer.environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        asked = ""
        while "Go ahead" not in asked:
            character = running.stdout.read(1)
            assert character, asked
            asked += character
        assert len(change_sets(root, deployer)) == 1
        running.send_signal(sent)
        # Not by communicate: it closes the standard input, and an end of the input is another answer.
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(timeout=30)
        if running.poll() is None:
            # One that came just before it read the answer is seen with the next.
            running.send_signal(sent)
        running.wait(timeout=120)
        _, printed = running.communicate()
    assert running.returncode == 130
    assert "Traceback" not in printed
    assert change_sets(root, deployer) == []
    assert read.find(account(deployer).cloudformation, deployer.stack_name) is None


def test_what_fails_before_a_change_set_is_made_is_named_and_leaves_none(
    deployer: CliUser, root: boto3.Session, set_account: Callable[..., None]
) -> None:
    quota = {"LogicalId": "Role", "Type": "AWS::IAM::Role", "Name": "MADE_UP", "Text": "The quota of roles is used up."}
    set_account(validation_failures=[quota | {"Mode": "FAIL"}])
    refused = deployer.run("deploy", "--yes")
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        f"annex-bootstrap: the change set for {deployer.stack_name} cannot be made: Role: The quota of roles is used up"
    )
    assert "DescribeEvents" not in refused.stderr
    set_account(validation_failures=[quota | {"Mode": "WARN"}])
    warned = deployer.must("deploy", "--dry-run")
    assert "Note" in warned.stdout
    assert "CloudFormation warns: Role: The quota of roles is used up" in " ".join(warned.stdout.split())
    assert change_sets(root, deployer) == []


def test_a_name_that_is_taken_is_named_before_anything_is_made(deployer: CliUser, root: boto3.Session) -> None:
    events, rule = root.client("events"), f"{deployer.stack_name}-SweepRule"
    events.put_rule(Name=rule, ScheduleExpression="rate(1 hour)", State="DISABLED")
    try:
        refused = deployer.run("deploy", "--yes")
        assert refused.returncode == 1
        assert refused.stderr.startswith(
            f"annex-bootstrap: the change set for {deployer.stack_name} cannot be made: SweepRule: Resource of type "
            f"'AWS::Events::Rule' with identifier '{rule}' already exists"
        )
        assert change_sets(root, deployer) == []
    finally:
        events.delete_rule(Name=rule)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"bases": {"amd64": "", "arm64": ""}}, "Debian publishes no image in us-east-1: add --param BaseImage=ami-"),
        ({"hidden_images": ["ami-0deb13000000a0001"]}, "perhaps because the account's Allowed AMIs leave out Debian's"),
    ],
)
def test_an_image_without_a_base_is_refused_before_anything_is_made(
    deployer: CliUser, root: boto3.Session, set_machines: Callable[..., None], settings: dict[str, Any], reason: str
) -> None:
    set_machines(**settings)
    refused = deployer.run("deploy", "--yes")
    assert refused.returncode == 1
    assert reason in refused.stderr
    assert change_sets(root, deployer) == []
    deployer.must("deploy", "--dry-run", "--param", "Image=no")


ROLE_PROFILE = """
[profile ours]
role_arn = arn:aws:iam::{account}:role/{role}
source_profile = keys
mfa_serial = {serial}

[profile keys]
aws_access_key_id = {keys.access_key_id}
aws_secret_access_key = {keys.secret_access_key}
"""


def test_an_mfa_code_is_asked_for_once_for_all_regions_and_steps(
    deployer: CliUser, root: boto3.Session, tmp_path: Path
) -> None:
    name, iam = f"{deployer.stack_name}-deployer", root.client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
    allowed = json.dumps({"Version": "2012-10-17", "Statement": [allow("All", "*", "*")]})
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=allowed)
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=allowed)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    serial = iam.create_virtual_mfa_device(VirtualMFADeviceName=name)["VirtualMFADevice"]["SerialNumber"]
    iam.enable_mfa_device(
        UserName=name, SerialNumber=serial, AuthenticationCode1="111111", AuthenticationCode2="222222"
    )
    keys = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    user = replace(deployer, extra={"AWS_CONFIG_FILE": str(tmp_path / "config")})
    environ = {name: value for name, value in user.environ().items() if "KEY" not in name and "TOKEN" not in name}
    (tmp_path / "config").write_text(ROLE_PROFILE.format(account=ACCOUNT, role=name, serial=serial, keys=keys))
    regions = ("--region", "us-east-1", "--region", "eu-west-1")
    done = subprocess.run(
        user.command("deploy", "--dry-run", "--param", "Image=no", "--profile", "ours", *regions),
        env=environ,
        # No terminal, so that the code is read from stdin: there is only one.
        input="123456\n",
        capture_output=True,
        text=True,
        timeout=120,
        start_new_session=True,
    )
    iam.deactivate_mfa_device(UserName=name, SerialNumber=serial)
    iam.delete_virtual_mfa_device(SerialNumber=serial)
    iam.delete_access_key(UserName=name, AccessKeyId=keys.access_key_id)
    iam.delete_user_policy(UserName=name, PolicyName="all")
    iam.delete_user(UserName=name)
    iam.delete_role_policy(RoleName=name, PolicyName="all")
    iam.delete_role(RoleName=name)
    assert done.returncode == 0, done
    assert re.findall(r"^Where +account \d{12}, (.+)$", done.stdout, re.M) == ["us-east-1", "eu-west-1"]


def test_two_regions_are_deployed_in_parallel_and_a_failure_in_one_does_not_stop_the_other(
    deployer: CliUser, root: boto3.Session
) -> None:
    root.client("s3").create_bucket(Bucket=f"{deployer.stack_name}-taken")
    cloudformation = root.client("cloudformation", region_name="eu-west-1")
    body = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    cloudformation.create_stack(StackName=deployer.stack_name, TemplateBody=json.dumps(body))
    both = ("--region", "us-east-1", "--region", "eu-west-1")
    ran = deployer.run(*DEPLOY_WITHOUT_IMAGE, *both)
    assert ran.returncode == 1
    assert f"CREATE_COMPLETE: {deployer.stack_name} in us-east-1" in ran.stdout
    assert f"eu-west-1: the stack {deployer.stack_name} was not made by annex-bootstrap" in ran.stderr
    assert "eu_west_1." not in deployer.config.read_text()

    cloudformation.delete_stack(StackName=deployer.stack_name)
    stack.wait_until_gone(cloudformation, deployer.stack_name)
    regions = deployer.must(*DEPLOY_WITHOUT_IMAGE, *both, "--output", "json").document["result"]["regions"]
    assert [(region["region"], region["status"]) for region in regions] == [
        ("us-east-1", "CREATE_COMPLETE"),
        ("eu-west-1", "CREATE_COMPLETE"),
    ]
    outputs = [region["outputs"][Output.S3_BUCKET_NAME] for region in regions]
    written = deployer.config.read_text()
    assert f"\nANNEX_DEFAULT_S3_BUCKET = {outputs[0]}\n" in written
    assert f"\neu_west_1.ANNEX_DEFAULT_S3_BUCKET = {outputs[1]}\n" in written
    assert deployer.must("status", *both).returncode == 0
    deployer.must("delete", "--yes", *both)
    assert deployer.config.read_text() == ""
    for region in ("us-east-1", "eu-west-1"):
        # Stacks of other tests may have templates in it.
        s3, bucket = root.client("s3", region_name=region), staging.bucket_name(account(deployer, region))
        if bucket in str(take_inventory(root)):
            left = s3.list_objects_v2(Bucket=bucket, Prefix=f"{deployer.stack_name}/")
            assert left.get("Contents", []) == []
            others = s3.list_objects_v2(Bucket=bucket)
            assert others["KeyCount"] > 0, "an empty bucket is deleted"


def test_ctrl_c_reports_what_continues_in_aws(deployer: CliUser, set_machines: Callable[..., None]) -> None:
    set_machines(seconds=BUILDING)
    process = subprocess.Popen(
        deployer.command("deploy", "--yes"),
        env=deployer.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    here = account(deployer).cloudformation
    for _ in range(200):
        found = read.find(here, deployer.stack_name)
        if found is not None and found.in_progress:
            break
        time.sleep(0.05)
    # Its first poll tells it that the stack is being made.
    time.sleep(1)
    process.send_signal(2)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"CloudFormation continues with the stack {deployer.stack_name} in us-east-1 (CREATE_IN_PROGRESS)" in err
    assert err.splitlines()[-1] == "annex-bootstrap: stopped."
    deployer.must("deploy", "--yes")


def test_a_deleted_log_is_not_an_error(deployer: CliUser) -> None:
    failed = Event("1", datetime.now(UTC), "Bucket", "Custom::X", "", "")
    assert function_log(account(deployer), "arn:aws:cloudformation:us-east-1:1:stack/none/1", failed) == ()
