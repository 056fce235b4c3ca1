"""The running server, and clients of its principals."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import boto3
from botocore.config import Config

from local_aws.launcher import Credentials, LocalAws

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient


@dataclass(frozen=True)
class Server:
    """The running server, and clients of its principals."""

    local: LocalAws
    session: boto3.Session

    def client(
        self,
        service: Literal[
            "cloudformation", "cloudwatch", "ec2", "events", "iam", "kms", "lambda", "logs", "s3", "sqs", "ssm", "sts"
        ],
        region: str = "us-east-1",
        credentials: Credentials | None = None,
    ) -> Any:
        """Return a client, by default of the account's root, that fails at once."""
        principal = credentials or self.local.root
        return self.session.client(
            service,
            region_name=region,
            aws_access_key_id=principal.access_key_id,
            aws_secret_access_key=principal.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def ec2(self, region: str = "us-east-1") -> EC2Client:
        """Return root's EC2 client."""
        client: EC2Client = self.client("ec2", region)
        return client

    def iam(self) -> IAMClient:
        """Return root's IAM client."""
        client: IAMClient = self.client("iam")
        return client

    def user(self, *statements: dict[str, Any]) -> EC2Client:
        """Return the EC2 client of a new user who may do just this."""
        client: EC2Client = self.client("ec2", "us-east-1", self.key(*statements))
        return client

    def iam_user(self, *statements: dict[str, Any]) -> IAMClient:
        """Return the IAM client of a new user who may do just this."""
        client: IAMClient = self.client("iam", "us-east-1", self.key(*statements))
        return client

    def key(self, *statements: dict[str, Any]) -> Credentials:
        """Return the access key of a new user who may do just this."""
        name = f"user-{uuid.uuid4()}"
        iam = self.iam()
        iam.create_user(UserName=name)
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement} for statement in statements]}
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])
