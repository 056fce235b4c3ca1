"""Every check of the doctor: what is right, and what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from annex_bootstrap.aws import Account
from annex_bootstrap.doctor.account_checks import PolicyHolders, Quota, RightToStart
from annex_bootstrap.doctor.check import Finding, Level, Setup
from annex_bootstrap.doctor.file_checks import ConfigurationCheck, FleetFile, FleetTypes, Keys, named_in_fleet
from annex_bootstrap.doctor.function_checks import AlarmMail, LeaseFunction, OrphanCheck, log_message
from annex_bootstrap.doctor.pool_checks import Collector, PoolPassword
from annex_bootstrap.doctor.role_checks import FleetRole, InstanceProfile, trusted_services
from annex_bootstrap.doctor.stack_checks import Bucket, EncryptionKey, Lost, Parts, SecurityGroup, StackCheck
from annex_bootstrap.errors import AwsError, DeniedError, UserError
from annex_bootstrap.pool.blocks import render
from annex_bootstrap.pool.file_knobs import read_knob
from annex_bootstrap.stack.connectivity import Reach
from annex_bootstrap.stack.read import Stack, find_wrong_output_of
from annex_contract.knobs import ACCESS_KEY_KNOB, KNOBS, SECRET_KEY_KNOB
from annex_contract.stack import Output

REGION = "us-east-1"
OUTPUTS = {str(output): f"made-up-{output}" for output in Output} | {"Version": "1.2.3"}
BLOCKS = dict.fromkeys(("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True)
CONFIG = "".join(f"{knob.name} = {OUTPUTS[knob.output]}\n" for knob in KNOBS if not knob.guide)
FLEET: dict[str, Any] = {
    "SpotPrice": "0.05",
    "IamFleetRole": "made-up-arn",
    "LaunchSpecifications": [{"ImageId": "ami-1", "InstanceType": "c7i.large", "WeightedCapacity": "2"}],
}


def stack(status: str = "CREATE_COMPLETE", **outputs: str) -> Stack:
    stack_id = "arn:aws:cloudformation:us-east-1:123456789012:stack/s/0a1b2c3d-1111-2222-3333-0123456789ab"
    own = {"Version": "1.2.3", **outputs}
    return Stack(stack_id, "s", status, "", {}, own, datetime(2026, 1, 1, tzinfo=UTC))


def configuration(text: str, outputs: Mapping[str, str] = OUTPUTS) -> ConfigurationCheck:
    content = text.encode()
    values = {knob.name: read_knob(content, REGION, knob.name) for knob in KNOBS}
    return ConfigurationCheck(Path("c"), content, REGION, outputs, values)


def key_check(content: bytes) -> Keys:
    return Keys(read_knob(content, REGION, ACCESS_KEY_KNOB), read_knob(content, REGION, SECRET_KEY_KNOB))


def is_ok(finding: Finding) -> bool:
    assert finding.level in (Level.OK, Level.PROBLEM)
    assert bool(finding.advice) == (finding.level is Level.PROBLEM)
    return finding.level is Level.OK


def test_a_deployed_stack_of_this_version_is_ok() -> None:
    assert is_ok(StackCheck("s", stack(), "1.2.3").judge())


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "there is no stack"),
        (stack("ROLLBACK_COMPLETE"), "ROLLBACK_COMPLETE"),
        (stack("DELETE_FAILED"), "DELETE_FAILED"),
        (stack(Version=""), "CREATE_COMPLETE"),
        (stack(Version="1.2.4"), "version 1.2.4"),
        (stack(S3BucketName="somebody-elses"), "the output S3BucketName of s is not what annex-bootstrap puts there"),
    ],
)
def test_a_stack_that_is_missing_broken_or_of_another_version_is_a_problem(found: Stack | None, says: str) -> None:
    finding = StackCheck("s", found, "1.2.3").judge()
    assert not is_ok(finding)
    assert says in finding.detail


def test_an_ample_quota_of_vcpus_needs_no_advice() -> None:
    finding = Quota(REGION, 256, 64).judge()
    assert is_ok(finding)
    assert (finding.detail, finding.commands) == ("256 on demand, 64 on the spot market", ())


def test_a_new_accounts_quota_of_vcpus_comes_with_the_commands_that_ask_for_more() -> None:
    finding = Quota(REGION, 5, 5).judge()
    assert finding.level is Level.OK
    assert finding.advice == "for larger annexes ask AWS for more, which may take days:"
    request = "aws service-quotas request-service-quota-increase --region us-east-1 --service-code ec2"
    assert finding.commands == (
        f"{request} --quota-code L-1216C47A --desired-value 64",
        f"{request} --quota-code L-34B43A08 --desired-value 64",
    )


def test_a_quota_too_small_for_one_machine_is_a_problem() -> None:
    finding = Quota(REGION, 1, 256).judge()
    assert not is_ok(finding)
    assert finding.advice.startswith("before the first annex ask AWS for more")
    (command,) = finding.commands
    assert "--quota-code L-1216C47A" in command


def test_a_quota_that_cannot_be_read_is_skipped_and_says_who_may_read_it() -> None:
    denied = Quota(REGION, 0, 0, DeniedError("made up", "AccessDenied", "made up")).judge()
    assert (denied.level, denied.detail) == (Level.SKIPPED, "it cannot be read")
    assert denied.advice == "ask your administrator for what `annex-bootstrap policy operator` prints"
    assert Quota(REGION, 0, 0, UserError("AWS cannot be reached")).judge().advice == "AWS cannot be reached"


def test_a_bucket_closed_to_the_public_is_ok() -> None:
    assert is_ok(Bucket("b", BLOCKS).judge())


@pytest.mark.parametrize(
    ("blocks", "says"),
    [(None, "gone"), ({}, "no block"), (BLOCKS | {"IgnorePublicAcls": False}, "IgnorePublicAcls")],
)
def test_a_bucket_that_is_gone_or_open_is_a_problem(blocks: dict[str, bool] | None, says: str) -> None:
    finding = Bucket("b", blocks).judge()
    assert not is_ok(finding)
    assert says in finding.detail


IAM = "arn:aws:iam::123456789012:policy/"
USERS_BOUNDARY = f"{IAM}annex-bootstrap-users-boundary"


def holders(**people: str) -> Finding:
    return PolicyHolders(
        f"{IAM}annex-bootstrap/", USERS_BOUNDARY, {k.replace("_", " "): people[k] for k in people}
    ).judge()


def test_holders_of_policies_that_all_have_a_boundary_are_ok() -> None:
    assert holders().detail == "nobody has one yet"
    finding = holders(user_alice=USERS_BOUNDARY, role_lab=f"{IAM}the-labs-own")
    assert is_ok(finding)
    assert finding.detail == "all have a permissions boundary"


@pytest.mark.parametrize(
    "boundary",
    [
        "",
        "arn:aws:iam::aws:policy/AdministratorAccess",
        "arn:aws:iam::aws:policy/PowerUserAccess",
        # The deployer of a stack may write policies there.
        f"{IAM}annex-bootstrap/mine-AnnexUserPolicy-a",
    ],
)
def test_a_holder_whose_boundary_limits_nothing_is_a_problem_with_the_command_that_sets_one(boundary: str) -> None:
    finding = holders(user_bob=USERS_BOUNDARY, user_alice=boundary, role_lab=boundary)
    assert not is_ok(finding)
    assert finding.detail == (
        "role lab, user alice: no permissions boundary of your own, so anyone who deploys the stack can give them any "
        "right"
    )
    assert finding.commands == (
        f"aws iam put-role-permissions-boundary --role-name lab --permissions-boundary {USERS_BOUNDARY}",
        f"aws iam put-user-permissions-boundary --user-name alice --permissions-boundary {USERS_BOUNDARY}",
    )


def test_holders_that_may_not_be_read_are_an_administrators_to_check() -> None:
    finding = PolicyHolders(f"{IAM}annex-bootstrap/", USERS_BOUNDARY, None).judge()
    assert (finding.level, finding.advice) == (Level.SKIPPED, "let an administrator run annex-bootstrap doctor")


def test_the_right_to_start_is_ok_where_ec2_says_so() -> None:
    assert RightToStart(None, ()).judge().detail == "these credentials have it"
    assert is_ok(RightToStart(None, ()).judge())


def test_who_only_sets_up_needs_no_right_to_start_and_learns_who_does() -> None:
    denied = DeniedError("refused", code="UnauthorizedOperation", reason="not yours")
    finding = RightToStart(denied, ("aws iam attach",)).judge()
    assert finding.level is Level.SKIPPED
    assert finding.detail == "these credentials have no right to start machines of the stack"
    assert finding.advice == "those who start annexes need the stack's StartPolicy, from an administrator:"
    assert finding.commands == ("aws iam attach",)
    assert RightToStart(denied, ()).judge().advice == finding.advice.removesuffix(":")


def test_where_ec2_says_something_else_the_right_to_start_is_not_known() -> None:
    finding = RightToStart(AwsError("no VPC", code="VPCIdNotSpecified", reason="no VPC"), ("line",)).judge()
    assert (finding.level, finding.detail, finding.advice) == (Level.SKIPPED, "it cannot be checked", "no VPC")
    assert finding.commands == ()


def test_a_lease_function_that_is_called_is_ok() -> None:
    assert is_ok(OrphanCheck(age=3600 * 24, calls=3, refused=0).judge())


@pytest.mark.parametrize(
    ("calls", "refused", "says"),
    [
        (0, 0, "nothing has called"),
        (0, 3, "could not call the lease function 3 times"),
        (36, 1, "could not call the lease function once"),
    ],
)
def test_a_lease_function_that_is_not_always_called_is_a_problem(calls: int, refused: int, says: str) -> None:
    finding = OrphanCheck(age=3600 * 24, calls=calls, refused=refused).judge()
    assert not is_ok(finding)
    assert says in finding.detail


def test_the_orphan_check_of_a_new_stack_is_skipped_unless_it_was_refused() -> None:
    assert OrphanCheck(age=600, calls=0, refused=0).judge().level is Level.SKIPPED
    assert OrphanCheck(age=600, calls=0, refused=1).judge().level is Level.PROBLEM


def test_an_active_function_without_errors_is_ok() -> None:
    assert is_ok(LeaseFunction("Active", "", []).judge())
    assert is_ok(LeaseFunction("Inactive", "it was not called for long", []).judge())


@pytest.mark.parametrize(
    ("state", "errors", "says"), [("", [], "gone"), ("Failed", [], "why"), ("Active", ["old", "newest"], "newest")]
)
def test_a_function_that_is_gone_broken_or_failing_is_a_problem(state: str, errors: list[str], says: str) -> None:
    finding = LeaseFunction(state, "why", errors).judge()
    assert not is_ok(finding)
    assert says in finding.detail


def test_a_profile_needs_the_machines_role() -> None:
    both = {"p": "r", "start": "AROA1"}
    assert is_ok(InstanceProfile({"p": "r"}, {"p": ["r", "AROA0"]}).judge())
    assert is_ok(InstanceProfile(both, {"p": ["r", "AROA0"], "start": ["s", "AROA1"]}).judge())
    for roles, detail in (
        ({"p": ["other", "AROA9"], "start": ["s", "AROA1"]}, "p does not hold the role r"),
        ({"p": ["r", "AROA0"], "start": []}, "start does not hold the role AROA1"),
        ({"p": ["r", "AROA0"], "start": ["s", "AROA9"]}, "start does not hold the role AROA1"),
        ({"p": None, "start": ["s", "AROA1"]}, "p is gone"),
        ({"p": ["r", "AROA0"], "start": None}, "start is gone"),
    ):
        found = InstanceProfile(both, roles).judge()
        assert (is_ok(found), found.detail) == (False, detail)


def test_a_fleet_role_needs_the_trust_of_spot_fleets() -> None:
    assert is_ok(FleetRole("r", ["spotfleet.amazonaws.com"]).judge())
    assert not is_ok(FleetRole("r", ["ec2.amazonaws.com"]).judge())
    assert not is_ok(FleetRole("r", None).judge())


def test_without_awss_roles_for_spot_machines_an_administrator_has_the_command() -> None:
    arn, trusted = "arn:aws:iam::123456789012:role/fleet", ["spotfleet.amazonaws.com"]
    finding = FleetRole(arn, trusted, ["spot.amazonaws.com", "spotfleet.amazonaws.com"]).judge()
    assert finding.level is Level.SKIPPED
    assert finding.detail == "AWS's own role for spot.amazonaws.com and spotfleet.amazonaws.com is missing"
    assert "machines on demand need none" in finding.advice
    assert finding.commands == (
        "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com",
        "aws iam create-service-linked-role --aws-service-name spotfleet.amazonaws.com",
    )
    assert FleetRole(arn, [], ["spot.amazonaws.com"]).judge().level is Level.PROBLEM


def test_a_security_group_needs_htcondors_port() -> None:
    assert is_ok(SecurityGroup("g", [(22, 22), (9000, 9700)], 9618).judge())
    assert not is_ok(SecurityGroup("g", [(22, 22)], 9618).judge())
    assert not is_ok(SecurityGroup("g", None, 9618).judge())
    assert not is_ok(SecurityGroup("g", None, 9618, closed=True).judge())
    closed = SecurityGroup("g", [(22, 22)], 9618, closed=True).judge()
    assert is_ok(closed)
    assert closed.detail == "g closes port 9618; annex-bootstrap start needs none, condor_annex does"


def test_a_configuration_that_names_the_stack_is_ok() -> None:
    assert is_ok(configuration(CONFIG).judge())


@pytest.mark.parametrize("knob", [knob.name for knob in KNOBS if not knob.guide])
def test_a_configuration_with_any_knob_missing_is_a_problem(knob: str) -> None:
    finding = configuration(CONFIG.replace(f"{knob} =", "X =")).judge()
    assert not is_ok(finding)
    assert finding.detail.endswith(f" {knob}")


def test_a_knob_of_the_region_wins_over_the_common_one() -> None:
    content = f"{render('s', REGION, OUTPUTS)}us_east_1.ANNEX_DEFAULT_S3_BUCKET = other\n"
    finding = configuration(content).judge()
    assert not is_ok(finding)
    assert finding.advice == "delete us_east_1.ANNEX_DEFAULT_S3_BUCKET outside the stack's block"


def test_a_block_of_an_older_stack_is_rewritten_before_anything_is_deleted() -> None:
    content = f"{render('s', REGION, OUTPUTS)}us_east_1.ANNEX_DEFAULT_S3_BUCKET = other\n"
    newer = OUTPUTS | {Output.LEASE_FUNCTION_ARN: "newer"}
    finding = configuration(content, newer).judge()
    assert finding.advice == f"run annex-bootstrap pull-config --region {REGION}"


def keys(directory: Path, access: bytes = b"AKIAMADEUP\n", mode: int = 0o600) -> bytes:
    for name, content in (("access", access), ("secret", b"made up\n")):
        (directory / name).write_bytes(content)
        (directory / name).chmod(mode)
    return (
        f"ANNEX_DEFAULT_ACCESS_KEY_FILE = {directory}/access\nANNEX_DEFAULT_SECRET_KEY_FILE = {directory}/secret\n"
    ).encode()


def test_private_keys_and_a_machines_role_are_ok(tmp_path: Path) -> None:
    role = b"ANNEX_DEFAULT_ACCESS_KEY_FILE = FROM INSTANCE\nANNEX_DEFAULT_SECRET_KEY_FILE = FROM INSTANCE\n"
    assert is_ok(key_check(keys(tmp_path)).judge())
    assert is_ok(key_check(role).judge())


def test_keys_that_are_open_empty_missing_or_not_named_are_a_problem(tmp_path: Path) -> None:
    assert "mode 0644" in key_check(keys(tmp_path, mode=0o644)).judge().detail
    assert "is empty" in key_check(keys(tmp_path, access=b"\n")).judge().detail
    content = keys(tmp_path)
    (tmp_path / "secret").unlink()
    assert "cannot be read" in key_check(content).judge().detail
    assert "names no key files" in key_check(b"").judge().detail


def test_no_keys_are_a_problem_only_where_no_annex_starts_without_them() -> None:
    without = Keys("", "", needed=False).judge()
    assert (without.level, without.detail) == (Level.SKIPPED, "none, and annex-bootstrap start needs none")
    assert "run annex-bootstrap credentials" in without.advice
    for half in (Keys("/made/up", "", needed=False), Keys("", "/made/up", needed=False)):
        assert half.judge().level is Level.PROBLEM


def test_a_pool_password_must_be_private_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(b"made up")
    path.chmod(0o600)
    assert is_ok(PoolPassword(str(path)).judge())
    path.chmod(0o604)
    assert not is_ok(PoolPassword(str(path)).judge())
    assert not is_ok(PoolPassword(str(tmp_path / "none")).judge())
    assert PoolPassword("").judge().level is Level.SKIPPED


def test_a_collector_must_answer_aws() -> None:
    assert is_ok(Collector("h:1", Reach("abc", "")).judge())
    silent = Collector("h:1", Reach("", "Open this port.")).judge()
    assert not is_ok(silent)
    assert "Open this port." in silent.detail
    assert Collector("", None).judge().level is Level.SKIPPED


def test_a_fleet_file_in_condor_annexs_form_is_ok() -> None:
    assert is_ok(FleetFile("f", json.dumps(FLEET)).judge())
    assert FleetFile("", None).judge().level is Level.SKIPPED


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "not there"),
        ("{", "not a JSON object"),
        ("[]", "not a JSON object"),
        (json.dumps(FLEET | {"SpotPrice": 0.05}), "SpotPrice must be a string"),
        (json.dumps(FLEET | {"IamFleetRole": None}), "IamFleetRole must be a string"),
        (json.dumps(FLEET | {str(n): "" for n in range(9)}), "more than 11 attributes"),
        (json.dumps(FLEET | {"LaunchSpecifications": []}), "no launch specification"),
        (json.dumps(FLEET | {"LaunchSpecifications": ["x"]}), "list of objects"),
        (json.dumps(FLEET | {"LaunchSpecifications": [{"WeightedCapacity": 2}]}), "WeightedCapacity must be a string"),
    ],
)
def test_a_fleet_file_that_condor_annex_would_refuse_is_a_problem(text: str | None, says: str) -> None:
    finding = FleetFile("f", text).judge()
    assert not is_ok(finding)
    assert says in finding.detail


def test_what_a_fleet_names_must_still_be_offered() -> None:
    assert [named_in_fleet(json.dumps(FLEET), key) for key in ("ImageId", "InstanceType")] == [{"ami-1"}, {"c7i.large"}]
    assert is_ok(FleetTypes({"a"}, {"a", "b"}).judge())
    gone = FleetTypes({"a", "c"}, {"a", "b"}).judge()
    assert not is_ok(gone)
    assert gone.detail.endswith(": c")


def test_only_services_that_are_allowed_are_trusted() -> None:
    document = {
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": ["a", "b"]}},
            {"Effect": "Deny", "Principal": {"Service": "c"}},
            {"Effect": "Allow", "Principal": "*"},
        ]
    }
    assert trusted_services(document) == ["a", "b"]
    assert trusted_services({"Statement": {"Effect": "Allow", "Principal": {"Service": "d"}}}) == ["d"]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('{"level":"ERROR","error":"no such bucket"}', "no such bucket"),
        ("[ERROR] ValueError: x\n", "[ERROR] ValueError: x"),
        ('{"level":"ERROR"}', '{"level":"ERROR"}'),
        ("[1]", "[1]"),
        ("x" * 500, "x" * 200),
    ],
)
def test_the_error_is_taken_from_a_log_line(line: str, text: str) -> None:
    assert log_message(line) == text


KEY = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"
MAIL = "somebody@example.org"


@pytest.mark.parametrize(
    ("facts", "level", "said"),
    [
        (EncryptionKey(KEY, "Enabled"), Level.OK, "its policy lets AWS use it"),
        (EncryptionKey(KEY, "Enabled", ["EncryptLogs"]), Level.PROBLEM, "lacks EncryptLogs"),
        (EncryptionKey(KEY, "PendingDeletion"), Level.PROBLEM, "is PendingDeletion"),
        (EncryptionKey(KEY, "Disabled", ["EncryptLogs"]), Level.PROBLEM, "is Disabled"),
        (EncryptionKey(KEY), Level.PROBLEM, "is gone"),
        (EncryptionKey(KEY, error=DeniedError("no", "AccessDenied", "no")), Level.SKIPPED, f"operator --key {KEY}"),
        (AlarmMail(MAIL, confirmed=1), Level.OK, "has confirmed"),
        (AlarmMail(MAIL, [MAIL]), Level.PROBLEM, f"{MAIL} did not confirm"),
        (AlarmMail(MAIL, [MAIL], confirmed=1), Level.PROBLEM, f"{MAIL} did not confirm"),
        (AlarmMail(MAIL), Level.PROBLEM, f"{MAIL} has unsubscribed"),
        (AlarmMail(MAIL, error=DeniedError("no", "AccessDenied", "no")), Level.SKIPPED, "policy operator"),
    ],
)
def test_the_key_and_the_mails_of_alarms(facts: AlarmMail | EncryptionKey, level: Level, said: str) -> None:
    finding = facts.judge()
    assert (finding.level, said in f"{finding.detail} {finding.advice}") == (level, True)
    assert bool(finding.advice) == (level is not Level.OK)


def bucket_of(code: str) -> Finding:
    account = Account(boto3.Session("AKIAMADEUP", "made-up"), "us-east-1")
    account.__dict__["account_id"] = "123456789012"
    setup = Setup(account, "s", Path("c"))
    setup.__dict__["deployed"] = stack(S3BucketName="b")
    with Stubber(account.s3) as s3:
        if code:
            s3.add_client_error("get_public_access_block", code, "no", expected_params={"Bucket": "b"})
        else:
            s3.add_response("get_public_access_block", {"PublicAccessBlockConfiguration": BLOCKS}, {"Bucket": "b"})
        facts = Bucket.read(setup)
    assert facts is not None
    return facts.judge()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("", "b is closed to the public"),
        ("NoSuchBucket", "b is gone"),
        ("NoSuchPublicAccessBlockConfiguration", "b is not closed to the public (no block is set)"),
    ],
)
def test_a_bucket_is_checked_without_a_right_to_list_it(code: str, says: str) -> None:
    assert bucket_of(code).detail == says


@pytest.mark.parametrize(
    ("resource_type", "physical_id", "wrong"),
    [
        ("Custom::AnnexBucket", "mine", ""),
        ("Custom::AnnexBucket", "another", "S3BucketName"),
        ("AWS::S3::Bucket", "mine", "S3BucketName"),
        (None, "", "S3BucketName"),
    ],
)
def test_a_bucket_is_adopted_where_the_stacks_own_resource_says_so(
    resource_type: str | None, physical_id: str, wrong: str
) -> None:
    account = Account(boto3.Session("AKIAMADEUP", "made-up"), "us-east-1")
    forged = replace(stack(S3BucketName="mine"), parameters={"BucketName": "mine"})
    detail = {
        "LogicalResourceId": "Bucket",
        "ResourceType": resource_type or "",
        "PhysicalResourceId": physical_id,
        "ResourceStatus": "CREATE_COMPLETE",
        "LastUpdatedTimestamp": datetime(2026, 1, 1, tzinfo=UTC),
    }
    asked = {"StackName": forged.stack_id, "LogicalResourceId": "Bucket"}
    with Stubber(account.cloudformation) as cloudformation:
        if resource_type is None:
            cloudformation.add_client_error("describe_stack_resource", "ValidationError", "Resource does not exist")
        else:
            cloudformation.add_response("describe_stack_resource", {"StackResourceDetail": detail}, asked)
        assert find_wrong_output_of(account, forged) == wrong


def test_an_output_that_is_wrong_is_named_without_asking_for_the_bucket() -> None:
    wrong = replace(stack(), outputs={"Version": "1.2.3", "ImageId": "none"})
    assert find_wrong_output_of(Account(boto3.Session("AKIAMADEUP", "made-up"), "us-east-1"), wrong) == "ImageId"


def test_parts_that_are_gone_say_what_no_longer_works_and_how_to_make_them_again() -> None:
    arn = "arn:aws:lambda:us-east-1:123456789012:function:lease"
    target = f'[{{"Id": "sweep", "Arn": "{arn}", "Input": "{{\\"Sweep\\": true}}"}}]'
    permission = (
        "aws lambda add-permission --region us-east-1 --function-name lease --statement-id permission --action "
        "lambda:InvokeFunction --principal events.amazonaws.com --source-arn "
        "'arn:aws:events:us-east-1:123456789012:rule/*'"
    )
    parts = Parts("us-east-1", arn, "rule", "permission", [*Lost], ["F"], [])
    finding = parts.judge()
    assert finding.level is Level.PROBLEM
    assert finding.detail == (
        "gone: the rule of the orphan check, EventBridge's permission to run the lease function, the launch template, F"
    )
    assert finding.advice == (
        "until these lines have been run, leases do not end annexes, or nothing looks for orphans; "
        "without the launch template annex-bootstrap start starts nothing: run annex-bootstrap delete --end-annexes, "
        "then annex-bootstrap deploy; "
        "without these functions no deployment and no deletion succeeds: annexes run and end as before; to be rid of "
        "the stack, run annex-bootstrap delete --end-annexes twice: the second time it says how to abandon what is "
        "left"
    )
    assert finding.commands == (
        "aws events put-rule --region us-east-1 --name rule --schedule-expression 'rate(1 hour)'",
        f"aws events put-targets --region us-east-1 --rule rule --targets '{target}'",
        permission,
    )
    assert replace(parts, lost=[], functions=[]).judge().detail == "all are there"
    assert replace(parts, lost=[], functions=[], unread=["F"]).judge().detail == "those that may be read here are there"
