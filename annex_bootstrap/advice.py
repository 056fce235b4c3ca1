"""What AWS's errors mean: from code, message and clock to a cause and a next step. Pure.

Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html and
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta

from annex_contract.stack import SPOT_FLEET_SERVICE, SPOT_SERVICE

EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}

UNKNOWN_KEYS = {
    "AuthFailure",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
"""What services answer where the keys are wrong, where the account has not enabled the region, or where a clock is
wrong. Source: https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-regions.html"""

DENIED = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"}
"""What services answer where the credentials lack a right; AuthorizationError is SNS's code:
https://docs.aws.amazon.com/sns/latest/api/API_ListSubscriptionsByTopic.html"""

FORBIDDEN = "403"
"""What HeadBucket answers where access is denied: a HEAD has no body, and so no code but its status. Source:
https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html"""

NO_SPOT_ROLE = "AuthFailure.ServiceLinkedRoleCreationNotPermitted"
"""What EC2 answers where the account has no service-linked role for spot machines, and the caller may make none:
https://github.com/determined-ai/determined/issues/1830"""

THROTTLED = {"RequestLimitExceeded", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException"}

QUOTAS = re.compile(r".*(Limit|Quota|Count)Exceeded(Exception)?|TooManyBuckets")

TOO_SKEWED = "RequestTimeTooSkewed"

MOST_SKEW = timedelta(minutes=5)
"""A request whose time differs by more from AWS's is refused. Source:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html"""

_TIMES = re.compile(r"Signature (?:expired|not yet current): (\d{8}T\d{6}Z) .*\((\d{8}T\d{6}Z) [+-] \d+ min")
"""How most services name the time of a request that is refused, and their own; same source."""

_ENCODED = re.compile(r"\.?\s*Encoded authorization failure message: (\S+)")

POLICY = "the policy of this command (`annex-bootstrap policy --help` says which that is)"

_START = "the policy that the stack's output StartPolicyARN names (`annex-bootstrap policy start` prints the same)"
_DEPLOYER = "the policy that `annex-bootstrap policy deployer` prints"
_POLICIES = {
    "start": _START,
    "grow": _START,
    "watch": _START,
    "leases": _START,
    "leases extend": _START,
    "leases end": _START,
    "deploy": _DEPLOYER,
    "image rebuild": _DEPLOYER,
    "delete": _DEPLOYER,
}
"""What to ask for where a command is denied a call."""


def name_policy(advice: str, command: str) -> str:
    """Return an advice that names the policy of a command, where it is known.

    Args:
        advice: from ``advise``, or a sentence with it.
        command: its words, such as ``leases end``.
    """
    return advice.replace(POLICY, _POLICIES.get(command, POLICY))


def service_linked_role_command(service: str) -> str:
    """Return the line with which an administrator makes a service's own role."""
    return f"aws iam create-service-linked-role --aws-service-name {service}"


def find_encoded(reason: str) -> str:
    """Return the encoded message of EC2's that says why a call was denied; nothing where there is none."""
    found = _ENCODED.search(reason)
    return found[1] if found else ""


def read_reason(reason: str, decoded: str = "") -> str:
    """Return what AWS said without its encoded part.

    Args:
        reason: as AWS said it.
        decoded: what DecodeAuthorizationMessage made of the encoded part; empty where it may not be decoded. Source:
            https://docs.aws.amazon.com/STS/latest/APIReference/API_DecodeAuthorizationMessage.html
    """
    short = _ENCODED.sub("", reason).rstrip(".")
    if not decoded:
        return short
    denial = json.loads(decoded)
    context = denial.get("context", {})
    action, resource = context.get("action", ""), context.get("resource", "")
    if not action or action in short:
        return short
    how = "a policy denies it explicitly" if denial.get("explicitDeny") else "no policy allows it"
    return f"{short}: {action} on {resource}; {how}"


def advise(code: str, reason: str, skew: timedelta = timedelta()) -> str:
    """Return what an error probably comes from, and what to do.

    Args:
        code: AWS's.
        reason: what AWS said.
        skew: by how much this machine's clock is ahead of AWS's, where the reason does not say it.
    """
    if times := _TIMES.search(reason):
        signed, received = (datetime.strptime(time, "%Y%m%dT%H%M%S%z") for time in times.groups())
        skew = signed - received
    if code == TOO_SKEWED or (abs(skew) > MOST_SKEW and code in EXPIRED | UNKNOWN_KEYS):
        minutes = f" by {abs(skew).total_seconds() / 60:.0f} minutes" if abs(skew) > MOST_SKEW else ""
        return f"this machine's clock is wrong{minutes}: set it, such as with timedatectl set-ntp true, and try again"
    if code in EXPIRED:
        return "renew your credentials (with IAM Identity Center: aws sso login) and try again"
    if code in UNKNOWN_KEYS:
        return "check the access key and the secret key"
    if code in DENIED:
        return _advise_denied(reason)
    if code == FORBIDDEN:
        return (
            "a permission that you were just granted may take minutes to have effect, so try again; if that does not "
            f"help, ask your administrator for {POLICY}, and whose bucket it is"
        )
    if code == "OptInRequired" and "marketplace" in reason.lower():
        return "accept the image's terms at that address, or choose another image"
    if code == "OptInRequired":
        return "the account is not signed up yet: complete its sign-up and its payment method in the AWS console"
    if code == "PendingVerification":
        return "AWS is verifying the account, which takes minutes to 4 hours: wait for its mail, then try again"
    if code == "OperationNotPermitted" and "terminat" in reason:
        return (
            "lift its termination protection: aws ec2 modify-instance-attribute --no-disable-api-termination "
            "--instance-id with its ID"
        )
    if code == NO_SPOT_ROLE:
        line = service_linked_role_command(SPOT_FLEET_SERVICE if "Spot Fleet" in reason else SPOT_SERVICE)
        return f"start machines on demand, or ask an administrator to run {line}"
    if code in THROTTLED:
        return "too many calls were made in this account: try again in a minute"
    if code in ("VcpuLimitExceeded", "MaxSpotInstanceCountExceeded", "InstanceLimitExceeded"):
        return "end machines, ask for fewer, or ask AWS for a higher quota: annex-bootstrap doctor prints the command"
    if QUOTAS.fullmatch(code):
        return "the account's quota is reached: delete what nobody needs, or ask for more in AWS's Service Quotas"
    return "try again, or check the stack in the AWS console"


def _advise_denied(reason: str) -> str:
    if "MultiFactorAuthentication" in reason:
        return "type the next code of your MFA device: AWS takes each code once"
    by = re.search(r"(with an explicit deny in an?|because no) ([A-Za-z -]+?)(?: allows|:|\.|$)", reason)
    policy = by[2] if by else ""
    if policy in ("service control policy", "resource control policy"):
        return f"a {policy} of your organisation forbids it, whatever the account allows: ask its administrators"
    if policy == "permissions boundary":
        return "your permissions boundary does not allow it, whatever your policies allow: ask who set that boundary"
    if policy == "session policy":
        return "the policy of your session does not allow it: sign in again with another one"
    if policy == "VPC endpoint policy":
        return "the policy of the VPC endpoint on the way to AWS does not allow it: ask who manages your network"
    if by and by[1] != "because no":
        return f"a policy denies it explicitly, which {POLICY} cannot change: ask your administrator to lift that"
    return f"ask your administrator for {POLICY}"
