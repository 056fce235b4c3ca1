"""What a process loads before others are forked from it: boto3, and its models of AWS's services."""

from __future__ import annotations

import boto3  # noqa: F401 (for who is forked)
import botocore.session
from botocore.loaders import create_loader

SERVICES = (
    *("budgets", "cloudformation", "cloudwatch", "ec2", "events", "iam", "lambda", "logs", "pricing", "s3"),
    *("service-quotas", "sns", "ssm", "sts"),
)

_loader = create_loader()
botocore.session.create_loader = lambda *_: _loader
for _service in SERVICES:
    botocore.session.Session().create_client(_service, region_name="us-east-1")
