"""The AWS clients of the lease function. Importing this module loads the SDK."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.session import Session

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_pricing import PricingClient
    from mypy_boto3_s3 import S3Client

# Throttling passes: try longer than the default. But never wait a minute, boto3's default, for one answer.
_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 5},
    connect_timeout=5,
    read_timeout=30,
)


class Clients:
    """Clients, each made at its first use (EC2's takes a second on a small function) and then kept.

    botocore makes them, and boto3, which would add nothing but 3 MB, is not loaded.
    """

    def __init__(self) -> None:
        """Read the credentials and the region from the environment."""
        self._session = Session()

    def _client(self, service: str, region: str | None = None) -> Any:
        return self._session.create_client(service, region_name=region, config=_CONFIG)

    @cached_property
    def events(self) -> EventBridgeClient:
        """EventBridge: rules and targets."""
        client: EventBridgeClient = self._client("events")
        return client

    @cached_property
    def ec2(self) -> EC2Client:
        """EC2: machines and spot fleets."""
        client: EC2Client = self._client("ec2")
        return client

    @cached_property
    def cloudformation(self) -> CloudFormationClient:
        """CloudFormation: what the stack owns."""
        client: CloudFormationClient = self._client("cloudformation")
        return client

    @cached_property
    def s3(self) -> S3Client:
        """S3: tarballs."""
        client: S3Client = self._client("s3")
        return client

    def pricing(self, region: str) -> PricingClient:
        """Return a client of the Price List, whose endpoint is in few regions; it is not kept."""
        client: PricingClient = self._client("pricing", region)
        return client
