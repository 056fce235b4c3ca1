"""The role template of HTCondor's 8.7.0 guide: machines may read one object, and nothing else. Pure.

Source: the contract with HTCondor, "The instance role". The stack's own role replaces it for current annexes.
"""

from __future__ import annotations

import re
from typing import Any

from annex_bootstrap.errors import UserError
from annex_contract.iam import document, trust
from annex_contract.machine_policies import CONFIGURATION_POLICY, configuration_policy
from annex_contract.stack import EC2_SERVICE

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""Source: "General purpose bucket naming rules" in the S3 user guide."""

LONGEST_KEY = 1024
"""Bytes of an object's key. Source: "Naming Amazon S3 objects" in the S3 user guide."""


def role_template(bucket: str, key: str) -> dict[str, Any]:
    """Return a CloudFormation template with a role, its profile, and the output ``InstanceConfigurationProfile``.

    Args:
        bucket: the private bucket's name.
        key: the key of the object with the pool configuration; ``*`` and ``?`` match as in IAM policies.

    Raises:
        UserError: the bucket name or the key is invalid.
    """
    if not _BUCKET.fullmatch(bucket):
        raise UserError(f"{bucket!r} is not the name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens")
    if not 0 < len(key.encode()) <= LONGEST_KEY or "${" in key:
        raise UserError(f"{key!r} is not the key of an object: give one such as config.tar.gz")
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Lets the machines of an HTCondor annex read s3://{bucket}/{key} and nothing else."[
            :LONGEST_KEY
        ],
        "Resources": {
            "InstanceRole": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "AssumeRolePolicyDocument": document([trust(EC2_SERVICE, "AssumedByMachines")]),
                    "Policies": [
                        {
                            "PolicyName": CONFIGURATION_POLICY,
                            "PolicyDocument": configuration_policy(
                                {"Fn::Sub": f"arn:${{AWS::Partition}}:s3:::{bucket}/{key}"}
                            ),
                        }
                    ],
                },
            },
            "InstanceProfile": {
                "Type": "AWS::IAM::InstanceProfile",
                "Properties": {"Roles": [{"Ref": "InstanceRole"}]},
            },
        },
        "Outputs": {
            "InstanceConfigurationProfile": {
                "Description": "The instance profile of the machines",
                "Value": {"Fn::GetAtt": ["InstanceProfile", "Arn"]},
            }
        },
    }
