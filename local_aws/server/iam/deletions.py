"""What IAM refuses to delete while something hangs on it, and MiniStack deletes.

Sources: https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteUser.html and
https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeletePolicy.html; for CloudFormation,
https://github.com/gchq/sleeper/issues/3956.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from ministack.core.responses import AccountScopedDict, now_iso
from ministack.services import iam
from ministack.services.cloudformation import provisioners

from local_aws.server.iam.rules import value_of
from local_aws.server.wire import Params, Response

_certificates = AccountScopedDict()
"""Signing certificates by ID; MiniStack has none."""

HELD: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("must delete login profile first", lambda user: user in iam._login_profiles),
    ("must delete MFA device first", lambda user: any(each["User"] == user for each in iam._mfa_devices.values())),
    (
        "must delete signing certificates first",
        lambda user: any(each["UserName"] == user for each in _certificates.values()),
    ),
    ("must delete policies first", lambda user: bool(iam._user_inline_policies.get(user))),
    (
        "must remove users from group first",
        lambda user: any(user in group.get("Users", []) for group in iam._groups.values()),
    ),
)
"""What keeps a user, beside policies and access keys, which MiniStack knows, and what IAM says then."""


def install() -> None:
    """Extend MiniStack's IAM and CloudFormation."""
    delete_user, delete_policy = iam._IAM_HANDLERS["DeleteUser"], iam._IAM_HANDLERS["DeletePolicy"]
    managed_policies = provisioners._RESOURCE_HANDLERS["AWS::IAM::ManagedPolicy"]
    delete_resource = managed_policies["delete"]

    def delete_free_user(params: Params) -> Response:
        user = value_of(params, "UserName")
        for what, is_held in HELD:
            if user in iam._users and is_held(user):
                return _conflict(f"Cannot delete entity, {what}.")
        answer: Response = delete_user(params)
        return answer

    def delete_single_policy(params: Params) -> Response:
        policy = iam._policies.get(value_of(params, "PolicyArn"), {})
        if len(policy.get("Versions", {})) > 1 and not policy.get("AttachmentCount"):
            return _conflict(
                "This policy has more than one version. Before you delete a policy, you must delete the policy's "
                "versions. The default version is deleted with the policy."
            )
        answer: Response = delete_policy(params)
        return answer

    def delete_managed_policy(arn: str, properties: Mapping[str, Any]) -> None:
        # It detaches the policy from those whom the template names.
        named = sum(len(properties.get(kind) or []) for kind in ("Groups", "Roles", "Users"))
        if iam._policies.get(arn, {}).get("AttachmentCount", 0) > named or iam._boundary_usage_counts().get(arn):
            raise ValueError(
                'Resource handler returned message: "Cannot delete a policy attached to entities. (Service: Iam, '
                f'Status Code: 409, Request ID: {uuid.uuid4()})" (RequestToken: {uuid.uuid4()}, HandlerErrorCode: '
                "GeneralServiceException)"
            )
        delete_resource(arn, properties)

    managed_policies["delete"] = delete_managed_policy
    iam._IAM_HANDLERS.update(
        {
            "DeleteUser": delete_free_user,
            "DeletePolicy": delete_single_policy,
            "DeleteSigningCertificate": delete_signing_certificate,
            "ListSigningCertificates": list_signing_certificates,
            "UploadSigningCertificate": upload_signing_certificate,
        }
    )


def upload_signing_certificate(params: Params) -> Response:
    """UploadSigningCertificate; its body is not looked into."""
    certificate = {
        "UserName": value_of(params, "UserName"),
        "CertificateId": uuid.uuid4().hex[:24].upper(),
        "CertificateBody": value_of(params, "CertificateBody"),
        "Status": "Active",
        "UploadDate": now_iso(),
    }
    _certificates[certificate["CertificateId"]] = certificate
    return _answer("UploadSigningCertificate", f"<Certificate>{_xml(certificate)}</Certificate>")


def list_signing_certificates(params: Params) -> Response:
    """ListSigningCertificates of a user, all at once."""
    user = value_of(params, "UserName")
    found = "".join(f"<member>{_xml(each)}</member>" for each in _certificates.values() if each["UserName"] == user)
    inner = f"<Certificates>{found}</Certificates><IsTruncated>false</IsTruncated>"
    return _answer("ListSigningCertificates", inner)


def delete_signing_certificate(params: Params) -> Response:
    """DeleteSigningCertificate."""
    if _certificates.pop(value_of(params, "CertificateId"), None) is None:
        missing: Response = iam._error(404, "NoSuchEntity", "The certificate cannot be found.", ns="iam")
        return missing
    return _answer("DeleteSigningCertificate", "")


def _xml(members: Mapping[str, str]) -> str:
    return "".join(f"<{name}>{value}</{name}>" for name, value in members.items())


def _answer(action: str, inner: str) -> Response:
    result = f"<{action}Result>{inner}</{action}Result>" if inner else ""
    answer: Response = iam._xml(200, f"{action}Response", result, ns="iam")
    return answer


def _conflict(message: str) -> Response:
    refused: Response = iam._error(409, "DeleteConflict", message, ns="iam")
    return refused
