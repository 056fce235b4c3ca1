"""Every request and answer of the local AWS against botocore's models: names, types, required members, error codes.

The models come from AWS: https://github.com/boto/botocore/tree/develop/botocore/data
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.model import ServiceModel, StructureShape
from botocore.parsers import create_parser
from botocore.validate import ParamValidator

from tests.local_aws.second_opinions.decoding import answer_members, request_members
from tests.local_aws.second_opinions.exchanges import Exchange, operation_of, service_of

COMMON_ERRORS = """AccessDenied AccessDeniedException ExpiredToken IncompleteSignature InternalFailure InvalidAction
    InvalidClientTokenId InvalidParameterCombination InvalidParameterValue InvalidQueryParameter
    InvalidSignatureException MalformedQueryString MissingAction MissingAuthenticationToken
    MissingParameter OptInRequired RequestExpired ServiceUnavailable SignatureDoesNotMatch
    Throttling ThrottlingException UnrecognizedClientException ValidationError ValidationException"""
"""What every service may answer: https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html"""

ERRORS = {
    # No operation of EC2's model lists errors: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
    "ec2": """AuthFailure AuthFailure.ServiceLinkedRoleCreationNotPermitted DependencyViolation DryRunOperation
        IdempotentParameterMismatch InvalidAMIID.NotFound InvalidAMIID.Unavailable InvalidAMIName.Duplicate
        InvalidFilter InvalidFleetId.NotFound InvalidGroup.Duplicate InvalidGroup.NotFound
        InvalidInstanceID.NotFound InvalidInstanceType InvalidKeyPair.Duplicate InvalidKeyPair.NotFound
        InvalidNextToken InvalidPermission.Duplicate InvalidPermission.NotFound InvalidSnapshot.InUse
        InvalidSpotFleetRequestConfig InvalidSpotFleetRequestId.NotFound InvalidSpotInstanceRequestID.NotFound
        InvalidSubnetID.NotFound InvalidVpcID.NotFound MaxSpotInstanceCountExceeded OperationNotPermitted
        PendingVerification RequestLimitExceeded UnauthorizedOperation UnsupportedOperation VcpuLimitExceeded""",
    # S3's lists few: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html. HEAD has no body, so the
    # code is the status.
    "s3": """301 400 403 404 BucketNotEmpty IllegalLocationConstraintException InvalidAccessKeyId InvalidArgument
        InvalidBucketName InvalidRequest InvalidToken MalformedPolicy MalformedXML NoSuchBucket NoSuchBucketPolicy
        NoSuchKey NoSuchLifecycleConfiguration NoSuchPublicAccessBlockConfiguration NoSuchTagSet OperationAborted
        OwnershipControlsNotFoundError PermanentRedirect PreconditionFailed RequestTimeTooSkewed
        ServerSideEncryptionConfigurationNotFoundError SlowDown UnsupportedArgument""",
}
"""What a service may answer that its model does not list."""

DEPARTURES = {
    ("cloudformation.DescribeChangeSet", "?ChangeSetType"): "the type that was asked for; AWS does not repeat it",
    ("ec2.CreateVpc", "?defaultNetworkAclId"): "what AWS only tells of in DescribeNetworkAcls",
    ("ec2.CreateVpc", "?defaultSecurityGroupId"): "what AWS only tells of in DescribeSecurityGroups",
    ("ec2.CreateVpc", "?mainRouteTableId"): "what AWS only tells of in DescribeRouteTables",
    ("ec2.DescribeVpcs", "?defaultNetworkAclId"): "as in CreateVpc",
    ("ec2.DescribeVpcs", "?defaultSecurityGroupId"): "as in CreateVpc",
    ("ec2.DescribeVpcs", "?mainRouteTableId"): "as in CreateVpc",
    ("events.ListRules", "?CreatedBy"): "what AWS only tells of in DescribeRule",
}
"""What MiniStack's own answers have beyond AWS's, by operation and member, and why nobody is misled: clients drop
members that they do not know, and nothing of ours reads these."""


@dataclass(frozen=True)
class Violation:
    """Something that the model forbids.

    Attributes:
        operation: such as ``ec2.RunInstances``.
        side: ``request``, ``answer`` or ``error``.
        text: what about it.
    """

    operation: str
    side: str
    text: str


def violations(exchange: Exchange) -> Iterator[Violation]:
    """Compare one exchange with the models. What names no service of AWS, such as a health check, has none."""
    service = service_of(exchange)
    if service is None:
        return
    operation = operation_of(service, exchange)
    if operation is None:
        yield Violation(f"{service.service_name}.?", "request", f"{exchange.method} {exchange.path} is no operation")
        return
    name = f"{service.service_name}.{operation.name}"
    if exchange.status < 300:
        # A refused request may be wrong; an accepted one may not.
        for text in _wrong(operation.input_shape, request_members(service, operation, exchange)):
            yield Violation(name, "request", text)
        for text in _wrong(operation.output_shape, answer_members(service, operation, exchange)):
            # AWS itself answers with empty lists and texts that its models forbid, such as a rule without targets.
            if not text.startswith("Invalid length") and not _departs(name, text):
                yield Violation(name, "answer", text)
    else:
        code = _error_code(service, exchange)
        modeled = {shape.metadata.get("error", {}).get("code", shape.name) for shape in operation.error_shapes}
        if code not in {*COMMON_ERRORS.split(), *ERRORS.get(service.service_name, "").split(), *modeled}:
            yield Violation(name, "error", code)


def _departs(operation: str, text: str) -> bool:
    return any(operation == departing and f'"{member}"' in text for departing, member in DEPARTURES)


def _wrong(shape: StructureShape | None, members: Mapping[str, Any]) -> Iterable[str]:
    if shape is None:
        return [f"unknown member {name}" for name in members]
    return str(ParamValidator().validate(members, shape).generate_report()).splitlines()


def _error_code(service: ServiceModel, exchange: Exchange) -> str:
    if exchange.method == "HEAD":
        return str(exchange.status)
    parsed = create_parser(service.resolved_protocol).parse(
        {"status_code": exchange.status, "headers": exchange.answer_headers, "body": exchange.answer},
        StructureShape("Nothing", {"type": "structure", "members": {}}),
    )
    return str(parsed.get("Error", {}).get("Code"))
