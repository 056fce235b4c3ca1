"""The key of KMS that a stack may be given: who uses it, and through which service.

Every right is for one key, and only through the service that encrypts with it:
https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html
"""

from __future__ import annotations

from annex_contract.iam import Expression, Statement, allow

EBS_KEY = "alias/aws/ebs"
"""AWS's own key for volumes, which everybody may use. An encrypted volume that names no key gets the account's default
key, which may be one that its starter may not use: https://github.com/runs-on/runs-on/issues/151"""

KEY_PATTERN = r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]{1,64}"
"""The ARN of a key. An alias can be pointed at another key, and no policy can be limited to one:
https://docs.aws.amazon.com/kms/latest/developerguide/alias-authorization.html"""

FOR_VOLUMES = "kms: Decrypt DescribeKey GenerateDataKeyWithoutPlaintext ReEncryptFrom ReEncryptTo"
"""What starting a machine with an encrypted volume needs, beside CreateGrant:
https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html"""


def through(service: str, key: str) -> str:
    """Return the name of a service in the region of a key, as ``kms:ViaService`` has it.

    Args:
        service: such as ``ec2``.
        key: its ARN, in a partition that has annexes.
    """
    return f"{service}.{key.split(':')[3]}.amazonaws.com"


def use_for_volumes(key: Expression, ec2: Expression) -> list[Statement]:
    """Return the statements that let EC2 encrypt volumes for somebody.

    Args:
        key: its ARN.
        ec2: EC2's name in one region, such as ``ec2.us-east-1.amazonaws.com``.
    """
    by_ec2 = {"StringEquals": {"kms:ViaService": ec2}}
    return [
        allow("EncryptVolumes", FOR_VOLUMES, key, by_ec2),
        allow("LetVolumesUseKey", "kms: CreateGrant", key, by_ec2 | {"Bool": {"kms:GrantIsForAWSResource": "true"}}),
    ]


def use_as_user(key: Expression, ec2: Expression, s3: Expression) -> Statement:
    """Return the statement for those who start machines and put objects: one, since their policies are nearly full.

    Args:
        key: its ARN.
        ec2: EC2's name in one region.
        s3: S3's name there.
    """
    # Wildcards for room. Of these actions CreateGrant alone has the second key.
    limits = {"StringEquals": {"kms:ViaService": [ec2, s3]}, "BoolIfExists": {"kms:GrantIsForAWSResource": "true"}}
    return allow("UseKey", "kms: CreateGrant Decrypt DescribeKey GenerateDataKey* ReEncrypt*", key, limits)


def read_objects(key: Expression, s3: Expression) -> Statement:
    """Return the statement that lets S3 decrypt objects for somebody.

    Args:
        key: its ARN.
        s3: S3's name in one region, such as ``s3.us-east-1.amazonaws.com``.
    """
    return allow("DecryptPoolConfigurations", "kms: Decrypt", key, {"StringEquals": {"kms:ViaService": s3}})
