"""The builder of the stack's own image: a machine that installs HTCondor, says so on its console, and shuts down.

Making an image takes longer than a function may run, so two resources share the work: this one ends when the machine
has installed everything and stopped, the next one (``custom_resources.image``) makes the image of it. Each has its own
15 minutes, and each answers CloudFormation itself. The alternatives leave more behind when something dies. A wait
condition cannot be updated and needs a signed URL on the machine. crhelper's polling keeps the signed response URL in
a rule that would go on calling a killed function every two minutes, and the function would have to be able to grant
EventBridge permission to call it.

The name is a digest of every property that affects the image's content: other inputs make another builder and
another image, and a repeated request finds the machine, or the image, that an interrupted one left. Where the image
exists there is nothing to build.

Whatever dies, CloudFormation's own Delete finds what is left by its tags. The machine also shuts itself down after
half an hour, and the hourly sweep terminates builders that are older than an hour.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from annex_contract.image import (
    BASE_TAG,
    BUILDER_TYPES,
    CONDOR_TAG,
    FREE_PLAN_TYPES,
    IMAGE_TAG,
    is_free_plan,
)
from annex_contract.lease import MACHINE_ENDED, MACHINE_RUNNING
from annex_contract.operating_system import SYSTEM
from annex_contract.resources import Attribute, Property
from custom_resources import security_group
from custom_resources.image_parts import (
    check_terminated,
    find_image,
    find_machines,
    name_of,
    tags_of,
    terminate,
)
from custom_resources.lifecycle import Request, ResourceError, client, error_code, looks, serve
from machine_image.user_data import ImageInputError, ImageInputs, Outcome, read_outcome, render_user_data

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, ImageTypeDef, InstanceTypeDef

logger = logging.getLogger(__name__)

ROOT_GIB = 16
"""GiB of the image's root volume: room for the system, what is installed, and small jobs."""

SILENCE = 90.0
"""Seconds that a stopped machine's console may lag behind; AWS says "shortly after"."""

CLEAN_UP = 30.0
"""Seconds kept back for ending a builder that is too slow."""

ELSEWHERE = frozenset({"InsufficientInstanceCapacity", "InsufficientFreeAddressesInSubnet", "Unsupported"})
"""Refusals of a launch that another subnet, in another availability zone, or another type may not meet."""


def put(request: Request) -> Mapping[str, str]:
    """Run a builder until it has installed everything and shut down, unless the image exists.

    Raises:
        ResourceError: the script failed, or the machine did not get that far.
        ClientError: AWS refused a call.
    """
    ec2: EC2Client = client("ec2")
    image = find_image(ec2, request)
    if image is not None:
        tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
        return _attributes(tags[BASE_TAG], tags[CONDOR_TAG])
    machines = find_machines(ec2, request, *MACHINE_RUNNING)
    # Lambda may repeat a request. What another one left says nothing that this one could trust.
    repeated = [each for each in machines if each.get("ClientToken", "").startswith(f"{request.request_id}-")]
    if machines and len(repeated) != 1:
        terminate(ec2, request)
    machine = repeated[0] if len(repeated) == 1 else _start(ec2, request)
    outcome = _wait(ec2, request, machine)
    if outcome.reason:
        terminate(ec2, request)
        raise ResourceError(outcome.reason)
    return _attributes(machine["ImageId"], outcome.versions.get("condor", "unknown"))


def delete(request: Request) -> str:
    """Terminate the builder and delete its security group.

    Raises:
        NotYetError: the machine has not ended yet.
        ClientError: AWS refused a call.
    """
    ec2: EC2Client = client("ec2")
    terminate(ec2, request)
    check_terminated(ec2, request)
    return security_group.delete(request)


def _attributes(base: str, version: str) -> Mapping[str, str]:
    return {Attribute.BASE_IMAGE: base, Attribute.CONDOR_VERSION: version}


def _start(ec2: EC2Client, request: Request) -> InstanceTypeDef:
    user_data = _user_data(request)
    base = _base(ec2, request)
    subnets, vpc_id = _subnets(ec2, request)
    closed: Mapping[str, Any] = {
        Property.VPC_ID: vpc_id,
        Property.CONDOR_PORT: "1",
        Property.CONDOR_CIDRS: [],
        Property.SSH_CIDRS: [],
    }
    group = security_group.put(replace(request, properties=closed, marks={IMAGE_TAG: request.name}))
    number, refusal = 0, None
    for machine_type in _types(request):
        for subnet in subnets:
            token = f"{request.request_id}-{number}"
            try:
                return _run(ec2, request, token, machine_type, base, subnet, group, user_data)
            except ClientError as error:
                number, refusal = number + 1, error
                logger.info("no %s in %s: %s", machine_type, subnet, error)
                if _is_free_plan(error):
                    break
                if error_code(error) not in ELSEWHERE:
                    raise
    assert refusal is not None
    if _is_free_plan(refusal):
        given, types = (
            request.properties[Property.BUILDER_TYPE],
            FREE_PLAN_TYPES[request.properties[Property.ARCHITECTURE]],
        )
        raise ResourceError(
            f"the account's free plan has no {given}: set BuilderType to {', '.join(types)}, or to nothing"
        ) from refusal
    raise refusal


def _types(request: Request) -> tuple[str, ...]:
    """Return the types that the builder may have: a chosen one, or the usual one and what the free plan has."""
    given, architecture = request.properties[Property.BUILDER_TYPE], request.properties[Property.ARCHITECTURE]
    return (given, *(FREE_PLAN_TYPES[architecture] if given == BUILDER_TYPES[architecture] else ()))


def _is_free_plan(error: ClientError) -> bool:
    return is_free_plan(error.response["Error"].get("Message", ""))


def _run(
    ec2: EC2Client,
    request: Request,
    token: str,
    machine_type: str,
    base: ImageTypeDef,
    subnet: str,
    group: Mapping[str, str],
    user_data: bytes,
) -> InstanceTypeDef:
    root = base["RootDeviceName"]
    size = max(
        ROOT_GIB,
        *(
            mapping["Ebs"].get("VolumeSize", 0)
            for mapping in base["BlockDeviceMappings"]
            if mapping.get("DeviceName") == root and "Ebs" in mapping
        ),
    )
    (machine,) = ec2.run_instances(
        ImageId=base["ImageId"],
        InstanceType=machine_type,  # type: ignore[arg-type]  # any type
        MinCount=1,
        MaxCount=1,
        ClientToken=token,
        SubnetId=subnet,
        SecurityGroupIds=[group[Attribute.GROUP_ID]],
        UserData=user_data,  # type: ignore[arg-type]  # boto3 encodes bytes as well, and gzip is no text
        # Stopped, not terminated: the image is made of the stopped machine.
        InstanceInitiatedShutdownBehavior="stop",
        MetadataOptions={"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
        # The image's snapshot gets the volume's key, and so do the volumes of machines that are started without one.
        BlockDeviceMappings=[
            {
                "DeviceName": root,
                "Ebs": {
                    "VolumeSize": size,
                    "DeleteOnTermination": True,
                    "Encrypted": True,
                    "KmsKeyId": request.properties[Property.KMS_KEY],
                },
            }
        ],
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [*tags_of(request), {"Key": "Name", "Value": "annex-bootstrap: builds the image"}],
            },
            {"ResourceType": "volume", "Tags": tags_of(request)},
            {"ResourceType": "network-interface", "Tags": tags_of(request)},
        ],
    )["Instances"]
    return machine


def _user_data(request: Request) -> bytes:
    given = request.properties
    try:
        return render_user_data(
            ImageInputs(
                # Whose console says it is the machine that got this user data.
                build_id=request.secret,
                packages=tuple(filter(None, map(str.strip, given[Property.PACKAGES]))),
                commands=given[Property.COMMANDS],
                boot_commands=given[Property.BOOT_COMMANDS],
                apt_source=given[Property.APT_SOURCE],
                gpu=given[Property.GPU] == "yes",
                http_proxy=given[Property.HTTP_PROXY],
                no_proxy=given[Property.NO_PROXY],
            )
        )
    except ImageInputError as error:
        raise ResourceError(str(error)) from error


def _base(ec2: EC2Client, request: Request) -> ImageTypeDef:
    architecture = request.properties[Property.ARCHITECTURE]
    image_id = request.properties[Property.BASE_IMAGE] or _newest(architecture)
    found = ec2.describe_images(Filters=[{"Name": "image-id", "Values": [image_id]}])["Images"]
    if not found:
        raise ResourceError(f"there is no image {image_id} in this region; correct BaseImage or leave it empty")
    if any(tag["Key"] == IMAGE_TAG for tag in found[0].get("Tags", [])):
        raise ResourceError(
            f"a stack made the image {image_id}, so nothing is left to install; give an image of {SYSTEM.release} as "
            "BaseImage"
        )
    if found[0]["Architecture"] != SYSTEM.architectures[architecture]:
        raise ResourceError(
            f"the image {image_id} is for {found[0]['Architecture']}; correct BaseImage or ImageArchitecture"
        )
    return found[0]


def _newest(architecture: str) -> str:
    try:
        return str(client("ssm").get_parameter(Name=f"{SYSTEM.base_parameters}{architecture}")["Parameter"]["Value"])
    except ClientError as error:
        if error_code(error) != "ParameterNotFound":
            raise
        raise ResourceError(
            f"{SYSTEM.name} publishes no image in this region's partition; give an image of {SYSTEM.release} as "
            "BaseImage, or Image=no"
        ) from error


def _subnets(ec2: EC2Client, request: Request) -> tuple[list[str], str]:
    """Return where the builder may run, and the VPC of that."""
    given = [subnet for subnet in map(str.strip, request.properties[Property.SUBNET_IDS]) if subnet]
    vpc_id = request.properties[Property.VPC_ID]
    filters: list[FilterTypeDef] = [{"Name": "default-for-az", "Values": ["true"]}]
    if given:
        filters = [{"Name": "subnet-id", "Values": given}]
    elif vpc_id:
        filters.append({"Name": "vpc-id", "Values": [vpc_id]})
    found = {subnet["SubnetId"]: subnet["VpcId"] for subnet in ec2.describe_subnets(Filters=filters)["Subnets"]}
    for subnet in given:
        if subnet not in found:
            raise ResourceError(f"there is no subnet {subnet} in this region; correct SubnetIds")
    if not found:
        where = f"the VPC {vpc_id}" if vpc_id else "this region"
        raise ResourceError(f"{where} has no default subnet; give in SubnetIds where to build the image, or Image=no")
    return given or sorted(found), found[(given or sorted(found))[0]]


def _wait(ec2: EC2Client, request: Request, machine: InstanceTypeDef) -> Outcome:
    """Wait until the machine has stopped, and return how the build ended; a reason means that it failed."""
    machine_id, console, outcome, stopped_at = machine["InstanceId"], "", None, None
    for now in looks(request.deadline - CLEAN_UP):
        described = ec2.describe_instances(InstanceIds=[machine_id])["Reservations"][0]["Instances"][0]
        state = described["State"]["Name"]
        console = _console(ec2, machine_id, state) or console
        # Seen once, it counts: what is kept of a stopped machine's console may be older.
        outcome = read_outcome(console, request.secret) or outcome
        if outcome is not None and not outcome.succeeded:
            logger.error("the console of %s:\n%s", machine_id, console)
            return replace(outcome, reason=f"building the image failed: {outcome.reason}")
        if state in MACHINE_ENDED:
            reason = described.get("StateReason", {}).get("Message", "AWS gives no reason")
            return Outcome(succeeded=False, reason=f"the builder {machine_id} was terminated: {reason}")
        if state == "stopped":
            if outcome is not None:
                return outcome
            stopped_at = now if stopped_at is None else stopped_at
            if now - stopped_at > SILENCE:
                return Outcome(succeeded=False, reason=_unfinished("shut down half-way", machine_id, console))
    return Outcome(succeeded=False, reason=_unfinished("did not finish in time", machine_id, console))


def _console(ec2: EC2Client, machine_id: str, state: str) -> str:
    if state == "pending":
        return ""
    # What a running machine says now; a stopped one's is what was kept when it stopped.
    return ec2.get_console_output(InstanceId=machine_id, Latest=state == "running").get("Output", "")


def _unfinished(what: str, machine_id: str, console: str) -> str:
    logger.error("the console of %s:\n%s", machine_id, console)
    lines = [line.strip() for line in console.splitlines() if line.strip()]
    return f"the builder {machine_id} {what}; its console ends: {' | '.join(lines[-3:]) or 'empty'}"


handler = serve(name_of, put, delete)
