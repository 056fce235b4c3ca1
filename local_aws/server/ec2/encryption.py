"""The account's default key for volumes, and whether a launch can use it. MiniStack has no such settings.

Source: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region
from ministack.services import ec2, kms

from local_aws.server import wire
from local_aws.server.iam.caller import CALLER
from local_aws.server.wire import Params, Response

AWS_MANAGED = "alias/aws/ebs"
"""The key of a region where nobody chose another. Anybody may use it through EC2."""

NEEDED = ("CreateGrant", "Decrypt", "DescribeKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo")
"""The actions that starting a machine needs on a customer-managed key; same source as above."""

DENIED = {"Code": "Client.InternalError", "Message": "Client.InternalError: Client error on launch"}
"""Why a machine ends whose key its starter may not use: https://github.com/aws/karpenter-provider-aws/issues/1407"""

_settings = AccountRegionScopedDict()


def install() -> None:
    """Extend MiniStack's EC2."""
    wire.install(
        {
            "DisableEbsEncryptionByDefault": lambda _: _set_default("DisableEbsEncryptionByDefault", on=False),
            "EnableEbsEncryptionByDefault": lambda _: _set_default("EnableEbsEncryptionByDefault", on=True),
            "GetEbsDefaultKmsKeyId": lambda _: wire.answer("GetEbsDefaultKmsKeyId", KmsKeyId=_default_key()),
            "GetEbsEncryptionByDefault": lambda _: wire.answer(
                "GetEbsEncryptionByDefault", EbsEncryptionByDefault=_settings.get("encrypt", False)
            ),
            "ModifyEbsDefaultKmsKeyId": modify_ebs_default_kms_key_id,
            "ResetEbsDefaultKmsKeyId": reset_ebs_default_kms_key_id,
        }
    )


def modify_ebs_default_kms_key_id(params: Params) -> Response:
    """ModifyEbsDefaultKmsKeyId; a key that does not exist is noticed when a machine starts, as on AWS."""
    _settings["key"] = wire.read("ModifyEbsDefaultKmsKeyId", params)["KmsKeyId"]
    return wire.answer("ModifyEbsDefaultKmsKeyId", KmsKeyId=_default_key())


def reset_ebs_default_kms_key_id(_: Params) -> Response:
    """ResetEbsDefaultKmsKeyId."""
    _settings.pop("key", None)
    return wire.answer("ResetEbsDefaultKmsKeyId", KmsKeyId=_default_key())


def failure(request: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the StateReason of a machine whose volumes the caller cannot encrypt; None where it can.

    Args:
        request: the launch, with its ImageId and its BlockDeviceMappings.
    """
    of_image = _key_of_image(request)
    keys = {key_of(request, mapping) for mapping in request.get("BlockDeviceMappings") or [{}]}
    # A volume with another key than its snapshot's is encrypted again, which takes both.
    used = {key for key in (of_image, *keys) if key} - {AWS_MANAGED}
    return DENIED if any(not _can_use(_arn(key)) for key in used) else None


def key_of(request: Mapping[str, Any], mapping: Mapping[str, Any]) -> str:
    """Return the key of a volume; empty where it is not encrypted.

    One that names no key has that of its snapshot; else, where it is to be encrypted, the account's.
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/AMIEncryption.html

    Args:
        request: the launch.
        mapping: a member of its BlockDeviceMappings; empty for the volume of the image.
    """
    volume = mapping.get("Ebs", {})
    if volume.get("KmsKeyId"):
        return str(volume["KmsKeyId"])
    if of_image := _key_of_image(request):
        return of_image
    return _default_key() if volume.get("Encrypted") or _settings.get("encrypt", False) else ""


def _key_of_image(request: Mapping[str, Any]) -> str:
    return str(ec2._images.get(request.get("ImageId", ""), {}).get("KmsKeyId", ""))


def _set_default(action: str, *, on: bool) -> Response:
    _settings["encrypt"] = on
    return wire.answer(action, EbsEncryptionByDefault=on)


def _default_key() -> str:
    return str(_settings.get("key", AWS_MANAGED))


def _arn(key: str) -> str:
    return key if key.startswith("arn:") else f"arn:aws:kms:{get_region()}:{get_account_id()}:key/{key}"


def _can_use(arn: str) -> bool:
    if arn.rpartition("/")[2] not in kms._keys:
        return False
    through = {"kms:ViaService": f"ec2.{get_region()}.amazonaws.com"}
    return all(
        iam_evaluator.enforce(
            CALLER.get(),
            f"kms:{action}",
            "kms",
            get_region(),
            resource_arn=arn,
            service_context=through | ({"kms:GrantIsForAWSResource": "true"} if action == "CreateGrant" else {}),
        )
        is None
        for action in NEEDED
    )
