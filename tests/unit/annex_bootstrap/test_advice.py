"""What errors of AWS mean, by code, message and clock."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from annex_bootstrap.advice import advise, find_encoded, read_reason

WHO = "User: arn:aws:iam::123456789012:user/alice is not authorized to perform: ec2:RunInstances on resource: *"
SCP = f"{WHO} with an explicit deny in a service control policy"


@pytest.mark.parametrize(
    ("code", "reason", "advice"),
    [
        ("AccessDenied", SCP, "a service control policy of your organisation forbids it"),
        # As messages are since 2026, with the policy's ARN.
        ("AccessDenied", f"{SCP}: arn:aws:organizations::1:policy/o-1/p-1", "a service control policy of your organi"),
        ("UnauthorizedOperation", f"You may not. {SCP}. More.", "a service control policy of your organ"),
        ("AccessDenied", f"{WHO} because no service control policy allows the x action", "service control policy of"),
        ("AccessDenied", f"{WHO} with an explicit deny in a resource control policy", "resource control policy of"),
        ("AccessDenied", f"{WHO} because no permissions boundary allows the x action", "your permissions boundary"),
        ("AccessDenied", f"{WHO} with an explicit deny in a permissions boundary", "your permissions boundary"),
        ("AccessDenied", f"{WHO} because no session policy allows the x action", "the policy of your session"),
        ("AccessDenied", f"{WHO} because no VPC endpoint policy allows the x action", "the VPC endpoint"),
        ("AccessDenied", f"{WHO} with an explicit deny in an identity-based policy", "a policy denies it explicitly"),
        ("AccessDenied", f"{WHO} because no identity-based policy allows the x action", "ask your administrator for"),
        ("AccessDeniedException", "no", "ask your administrator for the policy of this command"),
        ("VcpuLimitExceeded", "You have requested more vCPU capacity", "annex-bootstrap doctor prints the command"),
        ("LimitExceededException", "The requested resource exceeds the maximum number allowed.", "quota is reached"),
        ("LimitExceeded", "Cannot exceed quota for RolesPerAccount: 1000", "quota is reached"),
        ("ServiceQuotaExceededException", "no", "quota is reached"),
        ("RequestLimitExceeded", "Request limit exceeded.", "try again in a minute"),
        (
            "OperationNotPermitted",
            "The instance 'i-1' may not be terminated. Modify its 'disableApiTermination' instance attribute.",
            "aws ec2 modify-instance-attribute --no-disable-api-termination",
        ),
        ("OperationNotPermitted", "It is managed by another service.", "check the stack in the AWS console"),
        ("PendingVerification", "Your request is being validated", "wait for its mail"),
        ("OptInRequired", "You are not subscribed to this service.", "complete its sign-up"),
        ("OptInRequired", "please visit https://aws.amazon.com/marketplace/pp?sku=1", "accept the image's terms"),
        ("RequestExpired", "Request has expired.", "renew your credentials"),
        ("RequestTimeTooSkewed", "The difference between the request time and the current time is too large.", "clock"),
        ("InvalidClientTokenId", "The security token included in the request is invalid.", "check the access key"),
        (
            "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
            "The provided credentials do not have permission to create the service-linked role for EC2 Spot Instances.",
            "run aws iam create-service-linked-role --aws-service-name spot.amazonaws.com",
        ),
        (
            "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
            "The provided credentials do not have permission to create the service-linked role for EC2 Spot Fleet.",
            "run aws iam create-service-linked-role --aws-service-name spotfleet.amazonaws.com",
        ),
        ("InternalFailure", "no", "try again, or check the stack"),
    ],
)
def test_each_cause_that_can_be_known_has_its_next_step(code: str, reason: str, advice: str) -> None:
    assert advice in advise(code, reason)


@pytest.mark.parametrize("code", ["RequestExpired", "AuthFailure", "SignatureDoesNotMatch", "InvalidClientTokenId"])
@pytest.mark.parametrize("minutes", [-61, 61])
def test_a_wrong_clock_is_named_where_keys_or_sessions_are_refused(code: str, minutes: int) -> None:
    assert "clock is wrong by 61 minutes: set it" in advise(code, "no", timedelta(minutes=minutes))
    assert "clock" not in advise(code, "no", timedelta(minutes=4))
    assert "clock" not in advise("AccessDenied", "no", timedelta(minutes=minutes))


@pytest.mark.parametrize(
    "reason",
    [
        "Signature expired: 20261127T101536Z is now earlier than 20261127T110036Z (20261127T111536Z - 15 min.)",
        "Signature not yet current: 20261127T121536Z is still later than 20261127T113036Z (20261127T111536Z + 15 min.)",
    ],
)
def test_a_wrong_clock_is_read_from_the_reason_whatever_the_answers_date_says(reason: str) -> None:
    assert "clock is wrong by 60 minutes: set it" in advise("SignatureDoesNotMatch", reason)
    assert "clock is wrong by 60 minutes: set it" in advise("InvalidSignatureException", reason, timedelta(minutes=1))


def test_an_encoded_message_is_cut_or_decoded_and_never_printed() -> None:
    encoded = "Z" * 900
    reason = f"You are not authorized to perform this operation. Encoded authorization failure message: {encoded}"
    assert find_encoded(reason) == encoded
    assert find_encoded(SCP) == ""
    assert read_reason(reason) == "You are not authorized to perform this operation"
    denial = {"explicitDeny": True, "context": {"action": "ec2:RunInstances", "resource": "arn:aws:ec2:::instance/*"}}
    assert read_reason(reason, json.dumps(denial)) == (
        "You are not authorized to perform this operation: ec2:RunInstances on arn:aws:ec2:::instance/*; "
        "a policy denies it explicitly"
    )
    # What AWS said already is not said again.
    assert read_reason(f"{SCP}. Encoded authorization failure message: {encoded}", json.dumps(denial)) == SCP
