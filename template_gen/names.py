"""The names of what custom resources create. They derive from the stack's ID, so that a repeated Create finds them."""

from __future__ import annotations

from typing import Any

from troposphere import AWSHelperFn, If, Join, Ref, Select, Split, Sub, encode_to_dict

from annex_contract.stack import ROLE_PATH, Parameter, given_policy_name, given_role_name, stack_path

# Of the stack ID's UUID: the part that changes with time and the part that differs between hosts.
_UUID = Split("-", Select(2, Split("/", Ref("AWS::StackId"))))
UNIQUE = If("MakesRoles", Join("-", [Select(0, _UUID), Select(4, _UUID)]), Ref(Parameter.GIVEN_ROLES))


class _Made(AWSHelperFn):  # type: ignore[misc]  # troposphere has no types
    """A part of a template without the choice whether the stack makes its roles."""

    def __init__(self, data: Any) -> None:
        self.data = data


def made(node: Any) -> AWSHelperFn:
    """Return a part of what a stack has only where it makes its roles, and so its own names.

    Args:
        node: as troposphere takes it.
    """
    return _Made(_made(encode_to_dict(node)))


def _made(node: Any) -> Any:
    match node:
        case {"Fn::If": ["MakesRoles", yes, _]}:
            return yes
        case dict():
            return {key: _made(value) for key, value in node.items()}
        case list():
            return [_made(value) for value in node]
    return node


def _own(kind: str) -> AWSHelperFn:
    return Join("-", ["annex-bootstrap", kind, UNIQUE])


def _own_role(kind: str) -> AWSHelperFn:
    """Return the name of a role and its profile: with the stack's name where the stack has a boundary of its own.

    No stack's name has an underscore, so that no other stack's roles begin alike. These are at most 28 + 1 + 14 + 1 + 8
    characters; IAM allows 64. A stack without such a boundary keeps the names that it has.
    """
    return If(
        "HasOwnBoundary", Join("", [Ref("AWS::StackName"), f"_{kind}-", Select(0, Split("-", UNIQUE))]), _own(kind)
    )


# 50 characters: 15 + 1 + 12 (account) + 1 + 8 + 1 + 12. S3 allows 63.
BUCKET = If("HasBucketName", Ref(Parameter.BUCKET_NAME), Join("-", ["annex-bootstrap", Ref("AWS::AccountId"), UNIQUE]))
INSTANCE_ROLE = _own_role("instance")
START_ROLE = _own_role("instance-start")
FLEET_ROLE = If("HasFleetRoleName", Ref(Parameter.FLEET_ROLE_NAME), _own_role("fleet"))
# Another VPC takes another group, and so another name.
SECURITY_GROUP = If("HasVpcId", Join("-", [_own("machines"), Ref(Parameter.VPC_ID)]), _own("machines"))

# With the digest of what is in it, its name: 56 characters. EC2 allows 128, the ID of a build 64.
IMAGE = _own("image")


def arn(service: str, resource: str, **values: object) -> AWSHelperFn:
    """Return an ARN in the stack's own partition, region and account.

    Args:
        service: such as ``lambda``. IAM's ARNs have no region.
        resource: the rest, with ``${Name}`` for each of the values.
        values: what to put in.
    """
    region = "" if service == "iam" else "${AWS::Region}"
    text = f"arn:${{AWS::Partition}}:{service}:{region}:${{AWS::AccountId}}:{resource}"
    return Sub(text, **values) if values else Sub(text)


def anywhere_arn(service: str, resource: str, **values: object) -> AWSHelperFn:
    """Return a shorter ARN, in any region and account, where that reaches no further.

    So it is for an ID of EC2's, for a Deny, and for parts of a machine, which starts only with a right to the instance
    itself. A managed policy has 6,144 characters.

    Args:
        service: such as ``ec2``.
        resource: the rest, with ``${Name}`` for each of the values.
        values: what to put in.
    """
    text = f"arn:${{AWS::Partition}}:{service}:*:*:{resource}"
    return Sub(text, **values) if values else Sub(text)


def public_arn(resource: str, **values: object) -> AWSHelperFn:
    """Return the ARN of something in EC2 that may be of any account or of none, such as an image.

    Args:
        resource: the rest, with ``${Name}`` for each of the values.
        values: what to put in.
    """
    text = f"arn:${{AWS::Partition}}:ec2:${{AWS::Region}}::{resource}"
    return Sub(text, **values) if values else Sub(text)


def bucket_arn(resource: str = "") -> AWSHelperFn:
    """Return the ARN of the bucket, or of objects in it. S3's ARNs have neither region nor account."""
    return Sub("arn:${AWS::Partition}:s3:::${Bucket}" + resource, Bucket=BUCKET)


def role_arn(name: AWSHelperFn, path: str = ROLE_PATH, kind: str = "role") -> AWSHelperFn:
    """Return the ARN of a role or an instance profile by its name."""
    return arn("iam", f"{kind}{path}${{Name}}", Name=name)


def given_role_arn(title: str) -> AWSHelperFn:
    """Return the ARN of a function's role that an administrator made.

    Args:
        title: the logical ID of the role that stands for it elsewhere.
    """
    name = given_role_name(title, f"${{{Parameter.GIVEN_ROLES}}}")
    return arn("iam", f"role{stack_path('${AWS::StackName}')}{name}")


def given_policy_arn(title: str) -> AWSHelperFn:
    """Return the ARN of a policy for people that an administrator made.

    Args:
        title: the logical ID of the policy that stands for it elsewhere.
    """
    name = given_policy_name("${AWS::StackName}", title, f"${{{Parameter.GIVEN_ROLES}}}")
    return arn("iam", f"policy{ROLE_PATH}{name}")
