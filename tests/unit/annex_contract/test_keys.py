"""What may be done with a stack's key, and through which service only."""

from __future__ import annotations

import re

import pytest

from annex_contract.keys import EBS_KEY, KEY_PATTERN, read_objects, through, use_as_user, use_for_volumes

KEY = "arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012"
EC2, S3 = "ec2.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com"


def test_a_service_is_named_in_the_region_of_the_key() -> None:
    assert (through("ec2", KEY), through("s3", KEY)) == (EC2, S3)
    assert EBS_KEY == "alias/aws/ebs"


def test_volumes_are_encrypted_through_ec2_and_grants_are_for_aws_only() -> None:
    by_ec2 = {"kms:ViaService": EC2}
    assert use_for_volumes(KEY, EC2) == [
        {
            "Sid": "EncryptVolumes",
            "Effect": "Allow",
            "Action": [
                *("kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext"),
                *("kms:ReEncryptFrom", "kms:ReEncryptTo"),
            ],
            "Resource": KEY,
            "Condition": {"StringEquals": by_ec2},
        },
        {
            "Sid": "LetVolumesUseKey",
            "Effect": "Allow",
            "Action": ["kms:CreateGrant"],
            "Resource": KEY,
            "Condition": {"StringEquals": by_ec2, "Bool": {"kms:GrantIsForAWSResource": "true"}},
        },
    ]


def test_people_use_the_key_through_ec2_and_s3_and_machines_read_through_s3() -> None:
    assert use_as_user(KEY, EC2, S3) == {
        "Sid": "UseKey",
        "Effect": "Allow",
        "Action": ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
        "Resource": KEY,
        "Condition": {
            "StringEquals": {"kms:ViaService": [EC2, S3]},
            "BoolIfExists": {"kms:GrantIsForAWSResource": "true"},
        },
    }
    assert read_objects(KEY, S3) == {
        "Sid": "DecryptPoolConfigurations",
        "Effect": "Allow",
        "Action": ["kms:Decrypt"],
        "Resource": KEY,
        "Condition": {"StringEquals": {"kms:ViaService": S3}},
    }


@pytest.mark.parametrize(
    ("arn", "is_key"),
    [
        (KEY, True),
        (KEY.replace("arn:aws:", "arn:aws-us-gov:"), True),
        (KEY.replace("key/12345678-1234-1234-1234-123456789012", "key/mrk-1234"), True),
        (KEY.replace(":key/", ":alias/"), False),
        (KEY.replace("123456789012:", "12345678901:"), False),
        ("12345678-1234-1234-1234-123456789012", False),
        (KEY + "\n", False),
    ],
)
def test_a_key_is_named_by_its_arn_only(arn: str, is_key: bool) -> None:
    assert bool(re.fullmatch(KEY_PATTERN, arn)) == is_key
