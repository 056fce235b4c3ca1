"""Images and their snapshots, as those who make, describe and delete images see them.

``settings()`` of `scripts` says how long an image is pending and what becomes of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_region
from ministack.services import ec2, ssm

from annex_contract.operating_system import SYSTEM
from local_aws.server import wire
from local_aws.server.ec2 import encryption, instances, machines, scripts
from local_aws.server.wire import Params, RefusalError, Response
from local_aws.server_settings import BASES

Image = dict[str, Any]
"""MiniStack's record of an image, with these more: KmsKeyId, SourceInstanceId, ReadyAt, ImdsSupport, Ended."""

NEWER_BASES = {"amd64": "ami-0deb13000000b0001", "arm64": "ami-0deb13000000b0002"}
"""A newer image of each, which a test can make the latest."""

_deregistered = AccountRegionScopedDict()
"""Images that were deregistered, by ID: each with its record and, as ListedUntil, the time until which it is listed."""

_ministack: dict[str, wire.Handler] = dict(ec2._ACTION_MAP)
_ministack_parameter = ssm._public_parameter


def install() -> None:
    """Extend MiniStack's EC2 and the public parameters of its Parameter Store."""
    for architecture, (image_id, _) in BASES.items():
        for date, base in (("20260801-2200", image_id), ("20261101-2300", NEWER_BASES[architecture])):
            stub = (
                base,
                f"debian-13-{architecture}-{date}",
                f"{SYSTEM.release} ({date})",
                "",
                "/dev/xvda",
                SYSTEM.owner,
                None,
            )
            ec2._STUB_AMIS.append(stub)
    ssm._public_parameter = public_parameter
    instances.STARTING.append(check_launchable)
    # MiniStack takes an image without a container for one that cannot start.
    ec2._registered_image = registered_image
    wire.install(
        {
            "CreateImage": create_image,
            "DeleteSnapshot": delete_snapshot,
            "DeregisterImage": deregister_image,
            "DescribeImages": describe_images,
            "ModifyImageAttribute": modify_image_attribute,
        }
    )


def public_parameter(name: str) -> dict[str, Any] | None:
    """Return a public parameter, or None."""
    architecture = name.removeprefix(SYSTEM.base_parameters)
    if architecture not in BASES:
        theirs: dict[str, Any] | None = _ministack_parameter(name)
        return theirs
    value = (scripts.settings().bases or {}).get(architecture, BASES[architecture][0])
    # GovCloud has none: https://wiki.debian.org/Cloud/AmazonEC2Image/Trixie
    if not value or get_region().startswith("us-gov-"):
        return None
    # Any of MiniStack's own has the right form.
    form = _ministack_parameter(next(iter(ssm._PUBLIC_AMI_PARAMETERS)))
    arn = form["ARN"].split(":parameter")[0] + f":parameter{name}"
    return {**form, "Name": name, "Value": value, "ARN": arn}


def registered_image(image_id: str) -> Image | None:
    """Return an image that MiniStack starts in a container; one made of an instance it only records."""
    image: Image | None = ec2._images.get(image_id)
    return None if image is None or "SourceInstanceId" in image else image


def create_image(params: Params) -> Response:
    """CreateImage of an instance, with a snapshot of its root volume."""
    request = wire.read("CreateImage", params)
    scripts.advance()
    instance = ec2._instances.get(request["InstanceId"])
    if instance is None or not instances.is_live(request["InstanceId"]):
        raise RefusalError("InvalidInstanceID.NotFound", f"The instance ID '{request['InstanceId']}' does not exist")
    if not ec2._AMI_NAME_RE.match(request["Name"]):
        raise RefusalError("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long")
    for image in ec2._images.values():
        if image["Name"] == request["Name"]:
            raise RefusalError(
                "InvalidAMIName.Duplicate",
                f"AMI name {request['Name']} is already in use by AMI {image['ImageId']}",
            )
    specifications = request.get("TagSpecifications", [])
    if any(specification["ResourceType"] not in ("image", "snapshot") for specification in specifications):
        raise RefusalError("InvalidParameterValue", "Tags can be set on the image and its snapshots only.")
    tags = {specification["ResourceType"]: specification.get("Tags", []) for specification in specifications}
    volume_id = instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    image_id = ec2._new_image_id()
    before = set(ec2._snapshots)
    ec2._create_snapshot({"VolumeId": volume_id, "Description": f"Created by CreateImage for {image_id}"})
    (snapshot_id,) = set(ec2._snapshots) - before
    ec2._tags[snapshot_id] = list(tags.get("snapshot", []))
    ec2._tags[image_id] = list(tags.get("image", []))
    current = scripts.settings()
    size = ec2._volumes[volume_id]["Size"]
    ec2._images[image_id] = {
        **_record(image_id, request["Name"], snapshot_id, instance["RootDeviceName"], request["InstanceId"], size),
        "Description": request.get("Description", ""),
        "Architecture": next(
            (view["Architecture"] for view in views() if view["ImageId"] == instance["ImageId"]), "x86_64"
        ),
        "KmsKeyId": _key_of(instance),
        "ReadyAt": time.monotonic() + current.image_seconds,
        "Ended": current.image,
    }
    if machines.has_disk(instance):
        machines.save(instance, image_id)
    return wire.answer("CreateImage", ImageId=image_id)


def _key_of(instance: dict[str, Any]) -> str:
    request = instance.get("LaunchRequest", {})
    return encryption.key_of(request, next(iter(request.get("BlockDeviceMappings", [])), {}))


def _record(image_id: str, name: str, snapshot_id: str, device: str, instance_id: str, size: int) -> Image:
    """Return MiniStack's record of an image of this account, of a root volume of so many GiB."""
    return {
        "ImageId": image_id,
        "Name": name,
        "ImageLocation": "",
        "Description": "",
        "Architecture": "x86_64",
        "RootDeviceType": "ebs",
        "RootDeviceName": device,
        "BlockDeviceMappings": [{"DeviceName": device, "Ebs": {"SnapshotId": snapshot_id, "VolumeSize": size}}],
        "VirtualizationType": "hvm",
        "CreationDate": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "OwnerId": ec2.get_account_id(),
        "SourceInstanceId": instance_id,
    }


def describe_images(params: Params) -> Response:
    """DescribeImages with the states of images, and the members that MiniStack leaves out."""
    request = wire.read("DescribeImages", params)
    filters = {filter_["Name"]: filter_.get("Values", []) for filter_ in request.get("Filters", [])}
    states = filters.pop("state", None)
    found = []
    for view in views():
        image_id = view["ImageId"]
        if image_id not in request.get("ImageIds", [image_id]):
            continue
        if "Owners" in request and not ec2._image_owner_matches(view, request["Owners"]):
            continue
        users = request.get("ExecutableUsers")
        if users and not ec2._image_executable_by_matches(view, users):
            continue
        if not ec2._image_matches_filters(view, filters):
            continue
        described = _described(view)
        if states is None or described["State"] in states:
            found.append(described)
    # Of one that was deregistered AWS says nothing: https://github.com/boto/botocore/issues/2194
    missing = set(request.get("ImageIds", [])) - {view["ImageId"] for view in views()} - set(_deregistered)
    if missing:
        raise RefusalError("InvalidAMIID.NotFound", f"The image id '[{', '.join(sorted(missing))}]' does not exist")
    return wire.answer("DescribeImages", Images=found)


def state_of(image: Image) -> str:
    """Return the state of an image by now."""
    pending = time.monotonic() < image.get("ReadyAt", 0) or machines.is_saving(image.get("ImageId", ""))
    return "pending" if pending else str(image.get("Ended", "available"))


def check_launchable(image_id: str) -> None:
    """Raise why no machine can start from an image; one that nobody made here is taken for somebody else's.

    Raises:
        RefusalError: it was deregistered, is pending or has failed, or is none that the account allows.
    """
    if image_id in scripts.settings().hidden_images:
        raise RefusalError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
    if image_id in _deregistered or state_of(ec2._images.get(image_id, {})) != "available":
        raise _unavailable(image_id)


def architecture_of(image_id: str) -> str:
    """Return the architecture of an image.

    Raises:
        RefusalError: there is no such image.
    """
    check_launchable(image_id)
    for view in views():
        if view["ImageId"] == image_id:
            return str(view["Architecture"])
    raise RefusalError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")


def modify_image_attribute(params: Params) -> Response:
    """ModifyImageAttribute; MiniStack knows launch permissions and nothing else."""
    request = wire.read("ModifyImageAttribute", params)
    if "ImdsSupport" not in request:
        return _ministack["ModifyImageAttribute"](params)
    image = _own(request["ImageId"])
    if request["ImdsSupport"].get("Value") != "v2.0":
        raise RefusalError("InvalidParameterValue", "imdsSupport can only be set to v2.0.")
    if state_of(image) != "available":
        raise RefusalError("IncorrectState", f"The image {request['ImageId']} is {state_of(image)}.")
    image["ImdsSupport"] = "v2.0"
    return wire.answer("ModifyImageAttribute")


def deregister_image(params: Params) -> Response:
    """DeregisterImage; snapshots stay, as they do on AWS where nobody asks for more.

    An image that AWS still lists may have been deregistered already, and one that is pending cannot be yet: both are
    "no longer available, or not in a state", https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html,
    seen in https://github.com/ansible/ansible/issues/24945. `Settings` say whether a pending one can.
    """
    image_id = wire.read("DeregisterImage", params)["ImageId"]
    if image_id in _deregistered:
        raise _unavailable(image_id)
    image, current = _own(image_id), scripts.settings()
    if state_of(image) == "pending" and not current.pending_images_deregister:
        raise _unavailable(image_id)
    _deregistered[image_id] = {**image, "ListedUntil": time.monotonic() + current.deregistered_seconds}
    if current.deregistered_seconds:
        # MiniStack forgets the tags.
        _deregistered[image_id]["Tags"] = list(ec2._tags.get(image_id, []))
    return _ministack["DeregisterImage"](params)


def delete_snapshot(params: Params) -> Response:
    """DeleteSnapshot; not of one that an image uses.

    Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteSnapshot.html, and for code and text
    https://github.com/Answers4AWS/backup-monkey/issues/10
    """
    snapshot_id = wire.read("DeleteSnapshot", params)["SnapshotId"]
    for image in [*ec2._images.values(), *_still_listed()]:
        if snapshot_id in _snapshot_ids(image):
            raise RefusalError(
                "InvalidSnapshot.InUse", f"The snapshot {snapshot_id} is currently in use by {image['ImageId']}"
            )
    answer = _ministack["DeleteSnapshot"](params)
    ec2._tags.pop(snapshot_id, None)
    return answer


def _unavailable(image_id: str) -> RefusalError:
    return RefusalError("InvalidAMIID.Unavailable", f"The image ID '{image_id}' is no longer available")


def _still_listed() -> list[Image]:
    return [image for image in _deregistered.values() if time.monotonic() < image["ListedUntil"]]


def _own(image_id: str) -> Image:
    image: Image | None = ec2._images.get(image_id)
    if image is None:
        raise RefusalError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
    return image


def _snapshot_ids(image: Image) -> Iterable[str]:
    return [mapping["Ebs"]["SnapshotId"] for mapping in image["BlockDeviceMappings"] if "SnapshotId" in mapping["Ebs"]]


def views() -> list[dict[str, Any]]:
    """Return MiniStack's view of every image: the account's own, and those of others that are public."""
    own = [ec2._image_view(image) for image in [*ec2._images.values(), *_still_listed()]]
    stubs = [ec2._stub_image_view(*stub) for stub in ec2._STUB_AMIS]
    for view in stubs:
        if view["OwnerId"] == SYSTEM.owner and view["Name"].startswith("debian-13-arm64"):
            view["Architecture"] = "arm64"
    hidden = scripts.settings().hidden_images
    return [view for view in [*own, *stubs] if view["ImageId"] not in hidden]


def _described(view: dict[str, Any]) -> dict[str, Any]:
    image = ec2._images.get(view["ImageId"]) or _deregistered.get(view["ImageId"], {})
    mappings = view["BlockDeviceMappings"] or [{"DeviceName": view["RootDeviceName"], "Ebs": {"VolumeSize": 8}}]
    state = state_of(image)
    return {
        "ImageId": view["ImageId"],
        "ImageLocation": view["Name"],
        "State": state,
        "StateReason": {"Code": "Client.InternalError", "Message": "Client error on launch (made up)"}
        if state == "failed"
        else None,
        "OwnerId": view["OwnerId"],
        "ImageOwnerAlias": view.get("ImageOwnerAlias"),
        "CreationDate": image.get("CreationDate", "2026-08-01T22:00:00.000Z"),
        "Public": view["IsPublic"] == "true",
        "Architecture": view["Architecture"],
        "ImageType": "machine",
        "Name": view["Name"],
        "Description": view["Description"],
        "Platform": view["Platform"] or None,
        "RootDeviceType": view["RootDeviceType"],
        "RootDeviceName": view["RootDeviceName"],
        "BlockDeviceMappings": mappings if view["RootDeviceType"] == "ebs" else [],
        "VirtualizationType": view["VirtualizationType"],
        "Hypervisor": "xen",
        "ImdsSupport": image.get("ImdsSupport"),
        "SourceInstanceId": image.get("SourceInstanceId"),
        "Tags": ec2._tags.get(view["ImageId"]) or image.get("Tags") or None,
    }
