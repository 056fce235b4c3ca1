"""Every check of the doctor: what is right, and what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap.doctor import checks
from annex_bootstrap.doctor.checks import Level
from annex_bootstrap.doctor.doctor_run import log_message, trusted_services
from annex_bootstrap.errors import DeniedError, UserError
from annex_bootstrap.pool.blocks import render
from annex_bootstrap.stack.read import Stack
from annex_contract.knobs import KNOBS
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
    fields = dict.fromkeys(Stack.__dataclass_fields__, "")
    return Stack(**{**fields, "name": "s", "status": status, "outputs": OUTPUTS | outputs})  # type: ignore[arg-type]  # the rest is not looked at


def is_ok(finding: checks.Finding) -> bool:
    assert finding.level in (Level.OK, Level.PROBLEM)
    assert bool(finding.advice) == (finding.level is Level.PROBLEM)
    return finding.level is Level.OK


def test_a_stack_of_this_version_that_stands_is_right() -> None:
    assert is_ok(checks.check_stack("s", stack(), "1.2.3"))


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "there is no stack"),
        (stack("ROLLBACK_COMPLETE"), "ROLLBACK_COMPLETE"),
        (stack("DELETE_FAILED"), "DELETE_FAILED"),
        (stack(Version=""), "CREATE_COMPLETE"),
        (stack(Version="1.2.4"), "version 1.2.4"),
    ],
)
def test_a_stack_that_is_missing_broken_or_of_another_version_is_not(found: Stack | None, says: str) -> None:
    finding = checks.check_stack("s", found, "1.2.3")
    assert not is_ok(finding)
    assert says in finding.detail


def test_an_ample_quota_of_vcpus_needs_no_advice() -> None:
    finding = checks.check_quota(REGION, 256, 64)
    assert is_ok(finding)
    assert (finding.detail, finding.commands) == ("256 on demand, 64 on the spot market", ())


def test_a_new_accounts_quota_of_vcpus_comes_with_the_commands_that_ask_for_more() -> None:
    finding = checks.check_quota(REGION, 5, 5)
    assert finding.level is Level.OK
    assert finding.advice == "for larger annexes ask AWS for more, which may take days:"
    request = "aws service-quotas request-service-quota-increase --region us-east-1 --service-code ec2"
    assert finding.commands == (
        f"{request} --quota-code L-1216C47A --desired-value 64",
        f"{request} --quota-code L-34B43A08 --desired-value 64",
    )


def test_a_quota_that_not_one_machine_fits_into_is_a_problem() -> None:
    finding = checks.check_quota(REGION, 1, 256)
    assert not is_ok(finding)
    assert finding.advice.startswith("before the first annex ask AWS for more")
    (command,) = finding.commands
    assert "--quota-code L-1216C47A" in command


def test_a_quota_that_cannot_be_read_is_no_problem_and_says_who_may_read_it() -> None:
    denied = checks.unread_quota(DeniedError("made up"))
    assert (denied.level, denied.detail) == (Level.SKIPPED, "it cannot be read")
    assert denied.advice == "ask your administrator for what `annex-bootstrap policy operator` prints"
    assert checks.unread_quota(UserError("AWS cannot be reached")).advice == "AWS cannot be reached"


def test_a_bucket_closed_to_the_public_is_right() -> None:
    assert is_ok(checks.check_bucket("b", BLOCKS))


@pytest.mark.parametrize(
    ("blocks", "says"),
    [(None, "gone"), ({}, "no block"), (BLOCKS | {"IgnorePublicAcls": False}, "IgnorePublicAcls")],
)
def test_a_bucket_that_is_gone_or_open_is_not(blocks: dict[str, bool] | None, says: str) -> None:
    finding = checks.check_bucket("b", blocks)
    assert not is_ok(finding)
    assert says in finding.detail


def test_a_lease_function_that_is_called_is_right() -> None:
    assert is_ok(checks.check_sweep(age=3600 * 24, calls=3, refused=0))


@pytest.mark.parametrize(
    ("calls", "refused", "says"),
    [
        (0, 0, "nothing has called"),
        (0, 3, "could not call the lease function 3 times"),
        (36, 1, "could not call the lease function once"),
    ],
)
def test_a_lease_function_that_is_not_called_or_not_always_is_not(calls: int, refused: int, says: str) -> None:
    finding = checks.check_sweep(age=3600 * 24, calls=calls, refused=refused)
    assert not is_ok(finding)
    assert says in finding.detail


def test_nobody_worries_about_the_orphan_check_of_a_new_stack_unless_it_was_refused() -> None:
    assert checks.check_sweep(age=600, calls=0, refused=0).level is Level.SKIPPED
    assert checks.check_sweep(age=600, calls=0, refused=1).level is Level.PROBLEM


def test_a_function_that_is_active_and_did_not_fail_is_right() -> None:
    assert is_ok(checks.check_function("f", "Active", "", []))
    assert is_ok(checks.check_function("f", "Inactive", "it was not called for long", []))


@pytest.mark.parametrize(
    ("state", "errors", "says"), [("", [], "gone"), ("Failed", [], "why"), ("Active", ["old", "newest"], "newest")]
)
def test_a_function_that_is_gone_broken_or_failing_is_not(state: str, errors: list[str], says: str) -> None:
    finding = checks.check_function("f", state, "why", errors)
    assert not is_ok(finding)
    assert says in finding.detail


def test_a_profile_needs_the_machines_role() -> None:
    assert is_ok(checks.check_profile("p", ["r"], "r"))
    assert not is_ok(checks.check_profile("p", ["other"], "r"))
    assert not is_ok(checks.check_profile("p", None, "r"))


def test_a_fleet_role_needs_the_trust_of_spot_fleets() -> None:
    assert is_ok(checks.check_fleet_role("r", ["spotfleet.amazonaws.com"]))
    assert not is_ok(checks.check_fleet_role("r", ["ec2.amazonaws.com"]))
    assert not is_ok(checks.check_fleet_role("r", None))


def test_a_security_group_needs_htcondors_port() -> None:
    assert is_ok(checks.check_group("g", [(22, 22), (9000, 9700)], 9618))
    assert not is_ok(checks.check_group("g", [(22, 22)], 9618))
    assert not is_ok(checks.check_group("g", None, 9618))


def test_a_configuration_that_names_the_stack_is_right() -> None:
    assert is_ok(checks.check_knobs(Path("c"), CONFIG.encode(), REGION, OUTPUTS))


@pytest.mark.parametrize("knob", [knob.name for knob in KNOBS if not knob.guide])
def test_a_configuration_with_any_knob_missing_is_not(knob: str) -> None:
    finding = checks.check_knobs(Path("c"), CONFIG.replace(f"{knob} =", "X =").encode(), REGION, OUTPUTS)
    assert not is_ok(finding)
    assert finding.detail.endswith(f" {knob}")


def test_a_knob_of_the_region_wins_over_the_common_one() -> None:
    content = f"{render('s', REGION, OUTPUTS)}us_east_1.ANNEX_DEFAULT_S3_BUCKET = other\n"
    finding = checks.check_knobs(Path("c"), content.encode(), REGION, OUTPUTS)
    assert not is_ok(finding)
    assert finding.advice == "delete us_east_1.ANNEX_DEFAULT_S3_BUCKET outside the stack's block"


def test_a_block_of_an_older_stack_is_written_anew_before_anything_is_deleted() -> None:
    content = f"{render('s', REGION, OUTPUTS)}us_east_1.ANNEX_DEFAULT_S3_BUCKET = other\n"
    newer = OUTPUTS | {Output.LEASE_FUNCTION_ARN: "newer"}
    finding = checks.check_knobs(Path("c"), content.encode(), REGION, newer)
    assert finding.advice == f"run annex-bootstrap pull-config --region {REGION}"


def keys(directory: Path, access: bytes = b"AKIAMADEUP\n", mode: int = 0o600) -> bytes:
    for name, content in (("access", access), ("secret", b"made up\n")):
        (directory / name).write_bytes(content)
        (directory / name).chmod(mode)
    return (
        f"ANNEX_DEFAULT_ACCESS_KEY_FILE = {directory}/access\nANNEX_DEFAULT_SECRET_KEY_FILE = {directory}/secret\n"
    ).encode()


def test_private_keys_and_a_machines_role_are_right(tmp_path: Path) -> None:
    role = b"ANNEX_DEFAULT_ACCESS_KEY_FILE = FROM INSTANCE\nANNEX_DEFAULT_SECRET_KEY_FILE = FROM INSTANCE\n"
    assert is_ok(checks.check_keys(keys(tmp_path), REGION))
    assert is_ok(checks.check_keys(role, REGION))


def test_keys_that_are_open_empty_missing_or_not_named_are_not(tmp_path: Path) -> None:
    assert "mode 0644" in checks.check_keys(keys(tmp_path, mode=0o644), REGION).detail
    assert "is empty" in checks.check_keys(keys(tmp_path, access=b"\n"), REGION).detail
    content = keys(tmp_path)
    (tmp_path / "secret").unlink()
    assert "cannot be read" in checks.check_keys(content, REGION).detail
    assert "names no key files" in checks.check_keys(b"", REGION).detail


def test_a_pool_password_must_be_private_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(b"made up")
    path.chmod(0o600)
    assert is_ok(checks.check_password(str(path)))
    path.chmod(0o604)
    assert not is_ok(checks.check_password(str(path)))
    assert not is_ok(checks.check_password(str(tmp_path / "none")))
    assert checks.check_password("").level is Level.SKIPPED


def test_a_collector_must_answer_aws() -> None:
    assert is_ok(checks.check_collector("h:1", {"success": "1", "result": "abc", "description": ""}))
    silent = checks.check_collector("h:1", {"success": "0", "result": "", "description": "Open this port."})
    assert not is_ok(silent)
    assert "Open this port." in silent.detail
    assert "boom" in checks.check_collector("h:1", {"errorMessage": "boom"}).detail
    assert checks.check_collector("", None).level is Level.SKIPPED


def test_a_fleet_file_in_condor_annexs_form_is_right() -> None:
    assert is_ok(checks.check_fleet_form("f", json.dumps(FLEET)))
    assert checks.check_fleet_form("", None).level is Level.SKIPPED


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
def test_a_fleet_file_that_condor_annex_would_not_take_is_not(text: str | None, says: str) -> None:
    finding = checks.check_fleet_form("f", text)
    assert not is_ok(finding)
    assert says in finding.detail


def test_what_a_fleet_names_must_still_be_offered() -> None:
    assert checks.fleet_parts(json.dumps(FLEET)) == ({"ami-1"}, {"c7i.large"})
    assert is_ok(checks.check_offered("types", {"a"}, ["a", "b"]))
    gone = checks.check_offered("types", {"a", "c"}, ["a", "b"])
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
def test_of_a_log_line_the_error_is_told(line: str, text: str) -> None:
    assert log_message(line) == text
