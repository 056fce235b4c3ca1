"""AWS as the client sees it: one account in one region, its clients, and botocore's errors in plain words.

The only module that knows boto3, which it loads when it is first used: ``--help`` needs none.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from annex_bootstrap.advice import DENIED, UNKNOWN_KEYS, advise, find_encoded, read_reason
from annex_bootstrap.errors import AwsError, CommandLineError, DeniedError, UserError
from annex_contract.ownership import reach_own_buckets_only
from annex_contract.prices import PRICE_LIST_ENDPOINTS
from annex_contract.statuses import DELETE_COMPLETE

if TYPE_CHECKING:
    import boto3
    from botocore.config import Config
    from mypy_boto3_budgets import BudgetsClient
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import ImageTypeDef
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_pricing import PricingClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts.type_defs import GetCallerIdentityResponseTypeDef

ATTEMPTS = 5
"""How often a call is tried, in botocore's standard mode."""

CONNECT_TIMEOUT = 10
"""Seconds."""

READ_TIMEOUT = 60
"""Seconds that a call may take, but for those that take longer by nature."""

SERVER_ERROR = 500
"""The HTTP status from which an error is the server's own, so that the call may have had its effect."""

RETRY_PAUSE = 5.0
"""Seconds between two tries of ``retry``."""

SHORT_PATIENCE = 5.0
"""Seconds to wait for what only helps people."""

Answer = TypeVar("Answer")

MAIN_REGIONS = {"aws": "us-east-1", "aws-us-gov": "us-gov-west-1", "aws-cn": "cn-north-1"}
"""A region that every account of a partition has. Source:
https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-regions.html"""

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Account:
    """An AWS account in one region, as one principal.

    Attributes:
        session: gives the credentials.
        region: such as ``us-east-1``.
    """

    session: boto3.Session
    region: str

    @cached_property
    def budgets(self) -> BudgetsClient:
        """The Budgets client; the service has one endpoint for all regions."""
        return self.session.client("budgets", region_name=self.region, config=_config())

    @cached_property
    def cloudformation(self) -> CloudFormationClient:
        """The CloudFormation client."""
        client = self.session.client("cloudformation", region_name=self.region, config=_config())
        client.meta.events.register_first("after-call.cloudformation.GetTemplate", _keep_text)
        return client

    @cached_property
    def cloudwatch(self) -> CloudWatchClient:
        """The CloudWatch client."""
        return self.session.client("cloudwatch", region_name=self.region, config=_config())

    @cached_property
    def ec2(self) -> EC2Client:
        """The EC2 client."""
        return self.session.client("ec2", region_name=self.region, config=_config())

    @cached_property
    def fleets(self) -> EC2Client:
        """The EC2 client for CreateFleet, which answers when all machines have started."""
        return self.session.client("ec2", region_name=self.region, config=_config(180))

    @cached_property
    def events(self) -> EventBridgeClient:
        """The EventBridge client."""
        return self.session.client("events", region_name=self.region, config=_config())

    @cached_property
    def iam(self) -> IAMClient:
        """The IAM client."""
        return self.session.client("iam", region_name=self.region, config=_config())

    @cached_property
    def kms(self) -> Any:
        """The KMS client. Two calls do not need types of their own."""
        return self.session.client("kms", region_name=self.region, config=_config())

    @cached_property
    def lambda_(self) -> LambdaClient:
        """The Lambda client. It waits 300 seconds for an answer: a run of the lease function may take minutes."""
        return self.session.client("lambda", region_name=self.region, config=_config(300))

    @cached_property
    def logs(self) -> CloudWatchLogsClient:
        """The CloudWatch Logs client."""
        return self.session.client("logs", region_name=self.region, config=_config())

    @cached_property
    def pricing(self) -> PricingClient:
        """The Price List client, at the endpoint that serves the account's partition.

        Raises:
            UserError: the partition has no price list.
        """
        endpoint = PRICE_LIST_ENDPOINTS.get(self.partition)
        if endpoint is None:
            raise UserError(f"AWS has no price list in the partition {self.partition}")
        return self.session.client("pricing", region_name=endpoint, config=_config())

    @cached_property
    def s3(self) -> S3Client:
        """The S3 client, which reaches no bucket of other accounts."""
        client = self.session.client("s3", region_name=self.region, config=_config())
        reach_own_buckets_only(client, lambda: self.account_id)
        return client

    @cached_property
    def sns(self) -> SNSClient:
        """The SNS client."""
        return self.session.client("sns", region_name=self.region, config=_config())

    @cached_property
    def ssm(self) -> SSMClient:
        """The Systems Manager client, for public parameters."""
        return self.session.client("ssm", region_name=self.region, config=_config())

    @cached_property
    def quotas(self) -> ServiceQuotasClient:
        """The Service Quotas client."""
        return self.session.client("service-quotas", region_name=self.region, config=_config())

    @cached_property
    def _caller(self) -> GetCallerIdentityResponseTypeDef:
        return self.session.client("sts", region_name=self.region, config=_config()).get_caller_identity()

    @cached_property
    def account_id(self) -> str:
        """The account ID, 12 digits."""
        return self._caller["Account"]

    @cached_property
    def label(self) -> str:
        """The account ID, and the account's alias where it has one that the credentials may read."""

        def read() -> list[str]:
            with explained("reading the account's alias"):
                return self.iam.list_account_aliases()["AccountAliases"]

        aliases = within(SHORT_PATIENCE, read)
        return f"{self.account_id} ({aliases[0]})" if aliases else self.account_id

    @property
    def caller(self) -> str:
        """Who calls, as IAM's policies know it: a user's name; of a session the ID of its role, and its own name.

        Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
        """
        arn = self.caller_arn
        return arn.rpartition("/")[2] if ":user/" in arn else self._caller["UserId"]

    @property
    def caller_arn(self) -> str:
        """The ARN of who calls: a user's, or that of a role's session."""
        return self._caller["Arn"]

    @property
    def partition(self) -> str:
        """``aws``, ``aws-us-gov`` or ``aws-cn``."""
        return self.session.get_partition_for_region(self.region)


def _config(read_timeout: int = READ_TIMEOUT) -> Config:
    """Return how clients call AWS; a call may take so many seconds."""
    from botocore.config import Config

    return Config(
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=read_timeout,
    )


def open_session(region: str | None, profile: str | None) -> boto3.Session:
    """Return a session whose region is the given one, else that of ``AWS_REGION``, ``AWS_DEFAULT_REGION``, the profile.

    That is the order of AWS's own command line; boto3 alone reads no ``AWS_REGION``. Source:
    https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-envvars.html

    Raises:
        UserError: there is no such profile, or its credentials cannot be had.
    """
    import boto3

    with _finding_credentials(profile or os.environ.get("AWS_PROFILE", "default")):
        session = boto3.Session(profile_name=profile, region_name=region or os.environ.get("AWS_REGION") or None)
    session.events.register("needs-retry", _check_local_aws)
    session.events.register("after-call", partial(_decode_denial, session))
    return session


def _check_local_aws(caught_exception: Exception | None = None, **_: Any) -> None:
    """Say after one attempt, and not after five, that a local AWS has ended.

    Raises:
        UserError: nothing listens at that address, and it is this machine's own.
    """
    from botocore.exceptions import EndpointConnectionError

    if not isinstance(caught_exception, EndpointConnectionError):
        return
    url = urlsplit(caught_exception.kwargs["endpoint_url"])
    if url.hostname in LOOPBACK:
        error = caught_exception.kwargs["error"]
        reason = error.__cause__.strerror if isinstance(error.__cause__, OSError) else error
        raise UserError(
            f"the local AWS at {url.scheme}://{url.netloc} does not answer ({reason}): start it with annex-bootstrap "
            "local, or unset AWS_ENDPOINT_URL to use AWS"
        ) from caught_exception


def _decode_denial(session: boto3.Session, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Put what an encoded denial says in its place, if the caller may decode it."""
    error = parsed.get("Error", {})
    encoded = find_encoded(error.get("Message", ""))
    if encoded:

        def decode() -> str:
            with explained("decoding a denial"):
                client = session.client("sts", region_name=context.get("client_region"))
                return client.decode_authorization_message(EncodedMessage=encoded)["DecodedMessage"]

        error["Message"] = read_reason(error["Message"], within(SHORT_PATIENCE, decode) or "")


TEMPLATE_TEXT = "TemplateText"
"""What an answer of GetTemplate has in place of the template as data."""


def _keep_text(parsed: dict[str, Any], **_: Any) -> None:
    """Keep a template as text: in the data that botocore makes of it, a key that is written twice stands once."""
    parsed[TEMPLATE_TEXT] = parsed.pop("TemplateBody", "")


@contextlib.contextmanager
def _finding_credentials(profile: str) -> Iterator[None]:
    """Turn what botocore lets through from a profile's files and its credential process into a sentence."""
    try:
        with explained("finding your AWS credentials", profile):
            yield
    except EOFError as error:
        raise UserError(
            f"the AWS profile {profile} asks for an MFA code, and there is no terminal to type it on: run this on one"
        ) from error
    except (OSError, ValueError, IndexError) as error:
        raise UserError(
            f"the credentials of the AWS profile {profile} cannot be had: its credential_process or a file that it "
            f"names failed ({error}): correct them in ~/.aws/config"
        ) from error


def connect(region: str | None, profile: str | None, session: boto3.Session | None = None) -> Account:
    """Find credentials and region as every AWS tool does, and check both.

    Args:
        region: overrides the environment's and the profile's.
        profile: overrides the environment's.
        session: of that profile, so that it asks for an MFA code only once: AWS takes each code once.

    Raises:
        UserError: the profile, the region or the credentials do not exist or do not work.
    """
    session = session or open_session(region, profile)
    with _finding_credentials(session.profile_name):
        chosen = region or session.region_name
        if not chosen:
            raise UserError("no AWS region is chosen: add --region, or set AWS_REGION")
        partition = _partition(session, chosen)
        if chosen not in session.get_available_regions("cloudformation", partition):
            kind = CommandLineError if region else UserError
            raise kind(
                f"AWS has no region {chosen!r} that this version of boto3 knows: "
                "give --region a name such as us-east-1, or update boto3"
            )
        account = Account(session, chosen)
        try:
            # Fails now if the credentials do not work, rather than half-way.
            with explained("finding your AWS credentials", session.profile_name):
                _ = account.account_id
        except AwsError as error:
            if error.code in UNKNOWN_KEYS and _works_elsewhere(session, MAIN_REGIONS.get(partition, chosen), chosen):
                raise UserError(
                    f"your credentials work, but not in {chosen}: either the account has not enabled that region (aws "
                    f"account enable-region --region-name {chosen}), or your session was made for other regions"
                ) from error
            raise
        return account


def _works_elsewhere(session: boto3.Session, region: str, not_in: str) -> bool:
    def ask() -> str:
        with explained("finding your AWS credentials"):
            return Account(session, region).account_id

    return region != not_in and within(SHORT_PATIENCE, ask) is not None


def find_holder(account: Account, key_id: str, secret: str) -> str:
    """Return whose an access key is, such as ``user/alice``; nothing where it does not work, or not any more.

    It asks with that key, which needs no permission:
    https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html

    Raises:
        UserError: AWS did not answer, or refused for another reason.
    """
    sts = account.session.client(
        "sts", region_name=account.region, config=_config(), aws_access_key_id=key_id, aws_secret_access_key=secret
    )
    try:
        with explained("finding out whose an access key is"):
            return sts.get_caller_identity()["Arn"].rpartition(":")[2]
    except AwsError as error:
        if error.code in UNKNOWN_KEYS:
            return ""
        raise


def place(accounts: Sequence[Account]) -> str:
    """Return where something happens, for a question: the account, with its alias, and the regions."""
    return f"account {accounts[0].label}, {' and '.join(account.region for account in accounts)}"


def _partition(session: boto3.Session, region: str) -> str:
    from botocore.exceptions import BotoCoreError

    try:
        return session.get_partition_for_region(region)
    except BotoCoreError:
        return "aws"


def retry(
    call: Callable[[], Answer], codes: Collection[str], patience: float, sleep: Callable[[float], None] = time.sleep
) -> Answer:
    """Make a call again and again while AWS answers what time can change.

    Args:
        call: makes the call, explained; may be repeated.
        codes: the error codes that mean "not yet".
        patience: seconds to go on for.
        sleep: waits some seconds.

    Raises:
        AwsError: another code, or the last answer.
    """
    waited = 0.0
    while True:
        try:
            return call()
        except AwsError as error:
            if error.code not in codes or waited >= patience:
                raise
        sleep(RETRY_PAUSE)
        waited += RETRY_PAUSE


def physical_id(account: Account, stack_id: str, logical_id: str, resource_type: str = "") -> str:
    """Return the physical ID of a resource of a stack; nothing where the stack has none, or it is deleted.

    Args:
        account: where.
        stack_id: the stack's ARN.
        logical_id: the resource's.
        resource_type: which it must have; empty for any.

    Raises:
        AwsError: AWS refused.
    """
    try:
        with explained(f"looking for the resource {logical_id}"):
            detail = account.cloudformation.describe_stack_resource(StackName=stack_id, LogicalResourceId=logical_id)
    except AwsError as error:
        if error.code == "ValidationError":
            return ""
        raise
    found = detail["StackResourceDetail"]
    if found["ResourceStatus"] == DELETE_COMPLETE or (resource_type and found["ResourceType"] != resource_type):
        return ""
    return found.get("PhysicalResourceId", "")


def find_image(account: Account, image_id: str) -> ImageTypeDef | None:
    """Return an image as EC2 describes it; None where there is none, or it is not shared with the account.

    Raises:
        AwsError: AWS refused.
    """
    with explained(f"looking up the image {image_id}"):
        # By a filter, since an unknown ID is an error.
        found = account.ec2.describe_images(Filters=[{"Name": "image-id", "Values": [image_id]}])["Images"]
    return found[0] if found else None


def newest_image(account: Account, name: str, owners: Sequence[str], architecture: str) -> ImageTypeDef | None:
    """Return the newest available image whose name matches, or None.

    Args:
        account: where.
        name: a pattern such as ``my-annex-*``.
        owners: accounts, ``self`` or ``amazon``: a name says nothing about who published the image.
        architecture: ``x86_64`` or ``arm64``.

    Raises:
        AwsError: AWS refused.
    """
    filters = {"name": name, "architecture": architecture, "state": "available"}
    with explained(f"looking for an image named {name}"):
        images = account.ec2.describe_images(
            Owners=[*owners], Filters=[{"Name": key, "Values": [value]} for key, value in filters.items()]
        )["Images"]
    # A time in ISO 8601 sorts as text.
    return max(images, key=lambda image: (image.get("CreationDate", ""), image["ImageId"]), default=None)


def find_bucket(account: Account, bucket: str) -> str | None:
    """Return the region of a bucket, or None where there is no such bucket.

    Raises:
        AwsError: AWS refused; with the code ``FORBIDDEN`` where the bucket may be somebody else's.
    """
    try:
        with explained(f"looking for the bucket {bucket}"):
            return account.s3.head_bucket(Bucket=bucket)["BucketRegion"]
    except AwsError as error:
        if error.code == "404":
            return None
        raise


def create_bucket(account: Account, bucket: str) -> None:
    """Create a bucket in the account's region.

    Raises:
        AwsError: AWS refused.
    """
    with explained(f"creating the bucket {bucket}"):
        if account.region == "us-east-1":
            account.s3.create_bucket(Bucket=bucket)
        else:
            account.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": account.region})  # type: ignore[typeddict-item]  # any region


def block_public_access(account: Account, bucket: str, *, policies: bool) -> None:
    """Block public access to a bucket.

    Args:
        account: whose bucket.
        bucket: its name.
        policies: whether to block public policies too, not only public access control lists.

    Raises:
        AwsError: AWS refused.
    """
    with explained(f"blocking public access to the bucket {bucket}"):
        account.s3.put_public_access_block(
            Bucket=bucket,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": policies,
                "RestrictPublicBuckets": policies,
            },
        )


def within(seconds: float, read: Callable[[], Answer]) -> Answer | None:
    """Return what a call answers, or None where AWS refuses or takes longer: for what only helps people.

    Args:
        seconds: to wait.
        read: makes the call.
    """
    with contextlib.suppress(UserError, TimeoutError):
        return in_background(read).result(seconds)
    return None


def in_background(call: Callable[[], Answer]) -> Future[Answer]:
    """Make a call beside this thread, and return what waits for its answer and raises what it raised.

    Args:
        call: is left alone where nobody waits: Ctrl-C or an error ends the client at once.
    """
    answer: Future[Answer] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return answer


@contextlib.contextmanager
def explained(doing: str, profile: str = "NAME") -> Iterator[None]:
    """Turn botocore's errors into sentences.

    Args:
        doing: what the block does, such as ``reading the stack``.
        profile: the AWS profile in use, where it is known.

    Raises:
        DeniedError: in place of AWS's refusal of a call that the credentials may not make.
        AwsError: in place of every other error of AWS, with its code, and of an answer that did not come.
        UserError: in place of every other error of botocore.
    """
    try:
        yield
    except (UserError, KeyboardInterrupt):
        raise
    except Exception as error:
        # Where botocore was never loaded, none of its errors can be.
        explanation = _explain(error, doing, profile) if "botocore" in sys.modules else None
        if explanation is None:
            raise
        raise explanation from error


def _explain(error: Exception, doing: str, profile: str) -> UserError | None:
    """Return what an error of botocore means; None for every other error."""
    from botocore import exceptions

    match error:
        case exceptions.NoCredentialsError():
            return UserError(
                "no AWS credentials were found: run aws configure, or set AWS_PROFILE or AWS_ACCESS_KEY_ID"
            )
        case exceptions.PartialCredentialsError():
            return UserError(f"your AWS credentials are incomplete ({error}): run aws configure")
        case exceptions.ProfileNotFound():
            return UserError(f"{error}: give --profile one of those that aws configure list-profiles prints")
        case exceptions.SSOError() | exceptions.TokenRetrievalError():
            return UserError(f"you are not signed in, or no longer: run aws sso login --profile {profile}")
        case exceptions.LoginError():
            return UserError(f"you are not signed in, or no longer: run aws login --profile {profile}")
        case exceptions.EndpointConnectionError() | exceptions.SSLError():
            reason = f"AWS cannot be reached while {doing}: {error}; check the network and the region"
            return AwsError(reason, "", str(error), answered=False)
        case exceptions.ClientError():
            detail, metadata = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
            code, reason = detail.get("Code", "Unknown"), read_reason(detail.get("Message", "no message"))
            kind = DeniedError if code in DENIED else AwsError
            message = f"{doing} failed: AWS said {code}: {reason}; {advise(code, reason, _skew(metadata))}"
            return kind(message, code, reason, answered=metadata.get("HTTPStatusCode", 400) < SERVER_ERROR)
        case ValueError() if "Invalid endpoint" in str(error):
            return UserError(
                f"AWS cannot be reached ({error}): give AWS_ENDPOINT_URL or the profile's endpoint_url as a URL, "
                "such as https://127.0.0.1:4566, or remove it"
            )
        case exceptions.BotoCoreError():
            return AwsError(f"{doing} failed: {error}", "", str(error), answered=False)
    return None


def _skew(metadata: Mapping[str, Any]) -> timedelta:
    """Return by how much this machine's clock is ahead of the service's, as far as its answer says."""
    try:
        return datetime.now(UTC) - parsedate_to_datetime(metadata["HTTPHeaders"]["date"])
    except (KeyError, TypeError, ValueError):
        return timedelta()
