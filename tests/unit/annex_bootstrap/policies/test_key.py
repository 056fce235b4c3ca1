"""The policy of the stack's key: what it lets whom do, and what another one lacks of it."""

from __future__ import annotations

from typing import Any

import pytest

from annex_bootstrap.policies.key import key_policy, missing

ACCOUNT = "123456789012"
NEEDED = key_policy("aws", ACCOUNT, "us-east-1", "lab")
SIDS = [statement["Sid"] for statement in NEEDED["Statement"]]
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
SPOT = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"
SPOT_FLEET = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/spotfleet.amazonaws.com/AWSServiceRoleForEC2SpotFleet"


def allow(principal: Any, actions: Any = "kms:*") -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": actions, "Resource": "*"}


def test_only_aws_itself_speaks_without_a_policy_of_ours() -> None:
    who = {statement["Sid"]: (statement["Principal"], statement.get("Condition")) for statement in NEEDED["Statement"]}
    spot = {"ArnEquals": {"aws:PrincipalArn": [SPOT, SPOT_FLEET]}, "StringEquals": {"kms:CallerAccount": ACCOUNT}}
    assert who == {
        "LetPoliciesDecide": ({"AWS": ROOT}, None),
        "EncryptVolumesOfSpotMachines": ({"AWS": "*"}, spot),
        "LetVolumesOfSpotMachinesUseKey": (
            {"AWS": "*"},
            spot | {"Bool": {"kms:GrantIsForAWSResource": "true"}},
        ),
        "EncryptLogs": (
            {"Service": "logs.us-east-1.amazonaws.com"},
            {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:lab-*"}},
        ),
        "SendAlarms": ({"Service": "cloudwatch.amazonaws.com"}, None),
    }


@pytest.mark.parametrize(
    ("statements", "lacking"),
    [
        (NEEDED["Statement"], []),
        ([], SIDS),
        (allow({"AWS": ROOT}), SIDS[1:]),
        ([allow({"AWS": ACCOUNT})], SIDS[1:]),
        ([allow("*")], []),
        ([allow({"AWS": "*"}, ["kms:CreateGrant", "kms:De*"])], [*SIDS[:2], *SIDS[3:]]),
        ([allow({"AWS": ROOT}), allow({"AWS": [SPOT, SPOT_FLEET]})], SIDS[3:]),
        ([allow({"AWS": ROOT}), allow({"AWS": [SPOT]})], SIDS[1:]),
        ([allow({"AWS": ROOT, "Service": ["cloudwatch.amazonaws.com"]}, ["kms:*"])], SIDS[1:4]),
        ([allow({"Service": "logs.us-east-1.amazonaws.com"}, "kms:Encrypt")], SIDS),
        ([allow({"Service": "logs.eu-west-1.amazonaws.com"})], SIDS),
        ([{**allow("*"), "Effect": "Deny"}], SIDS),
        ([{"Effect": "Allow", "Principal": "*", "NotAction": "kms:Put*", "Resource": "*"}], SIDS),
    ],
)
def test_what_a_policy_lacks(statements: Any, lacking: list[str]) -> None:
    assert missing(NEEDED, {"Statement": statements}) == lacking
