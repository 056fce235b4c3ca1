"""What a process loads once before commands are forked from it; see ``tests.local_aws.forked``."""

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
