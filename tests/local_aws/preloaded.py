"""What a process loads once before commands are forked from it; see ``tests.local_aws.forked``."""

from __future__ import annotations

import importlib
import pkgutil

import boto3  # noqa: F401 (for who is forked)
import botocore.session
from botocore.loaders import create_loader

import annex_bootstrap

SERVICES = (
    *("budgets", "cloudformation", "cloudwatch", "ec2", "events", "iam", "lambda", "logs", "pricing", "s3"),
    *("service-quotas", "sns", "ssm", "sts"),
)

_loader = create_loader()
botocore.session.create_loader = lambda *_: _loader
for _service in SERVICES:
    botocore.session.Session().create_client(_service, region_name="us-east-1")
for _module in pkgutil.walk_packages(annex_bootstrap.__path__, "annex_bootstrap."):
    if not _module.name.endswith("__main__"):
        importlib.import_module(_module.name)
