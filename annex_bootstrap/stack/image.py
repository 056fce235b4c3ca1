"""The stack's own machine image: what it is, and which image of the operating system to make it from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import UserError
from annex_contract.image import BASE_TAG, CONDOR_TAG, IMAGE_NO, IMAGE_TAG, IMAGE_YES
from annex_contract.operating_system import SYSTEM
from annex_contract.stack import Output, Parameter

if TYPE_CHECKING:
    from annex_bootstrap.stack.artefact import Template
    from annex_bootstrap.stack.read import Stack


@dataclass(frozen=True)
class StackImage:
    """The image of a stack's machines, as AWS has it.

    Attributes:
        image_id: its ID.
        made: whether the stack made it; else it is the user's.
        state: such as ``available``; empty where it is gone.
        created: when; None where it is gone.
        base: the image that it was made from; empty where that is not known.
        condor: the version of HTCondor in it; empty where that is not known.
        newest: the system's image that one would be made from today; empty where AWS names none.
    """

    image_id: str
    made: bool
    state: str
    created: datetime | None
    base: str
    condor: str
    newest: str

    @property
    def newer_base(self) -> str:
        """The system's image that is newer than the one it was made from; empty where there is none."""
        return self.newest if self.made and self.base and self.newest != self.base else ""

    def days(self, now: datetime) -> int:
        """Return how many days old it is."""
        return (now - self.created).days if self.created is not None else 0


def newest_base(account: Account, architecture: str) -> str:
    """Return the ID of the operating system's newest image, or nothing where none is published in the partition.

    Args:
        account: where.
        architecture: ``amd64`` or ``arm64``.

    Raises:
        UserError: AWS refused.
    """
    with explained(f"looking up {SYSTEM.name}'s newest image"):
        try:
            found = account.ssm.get_parameter(Name=f"{SYSTEM.base_parameters}{architecture}")
        except ClientError as error:
            if error.response["Error"]["Code"] == "ParameterNotFound":
                return ""
            raise
    return str(found["Parameter"]["Value"])


def choose_base(account: Account, template: Template, stack: Stack | None, given: Mapping[str, str]) -> dict[str, str]:
    """Return the parameter BaseImage for a stack that makes its image, so that a change set shows a newer base.

    A base that is not one of the system's own was somebody's choice, and stays.

    Args:
        account: where.
        template: that will be deployed.
        stack: as it is, or None.
        given: the parameters that the change set gets, by name.

    Raises:
        UserError: AWS refused.
    """
    known, earlier = template["Parameters"], stack.parameters if stack is not None else {}

    def value(name: str) -> str:
        return given.get(name, earlier.get(name, str(known[name]["Default"])))

    if Parameter.IMAGE not in known or value(Parameter.IMAGE) != IMAGE_YES or Parameter.BASE_IMAGE in given:
        return {}
    chosen = earlier.get(Parameter.BASE_IMAGE, "")
    if chosen:
        with explained(f"looking up the image {chosen}"):
            by_id = account.ec2.describe_images(Filters=[{"Name": "image-id", "Values": [chosen]}])["Images"]
        if any(image["OwnerId"] != SYSTEM.owner for image in by_id):
            return {}
    newest = newest_base(account, value(Parameter.IMAGE_ARCHITECTURE))
    return {Parameter.BASE_IMAGE: newest} if newest else {}


def check_images(account: Account, given: Mapping[str, str], architecture: str) -> None:
    """Check the images that parameters name, before anything is made.

    Args:
        account: where.
        given: the parameters that were given, by name.
        architecture: that the machines will have: ``amd64`` or ``arm64``.

    Raises:
        UserError: one does not exist in the region, cannot be used, or AWS refused.
    """
    for name in (Parameter.IMAGE, Parameter.BASE_IMAGE):
        image_id = given.get(name, "")
        if image_id in ("", IMAGE_YES, IMAGE_NO):
            continue
        with explained(f"looking up the image {image_id}"):
            found = account.ec2.describe_images(Filters=[{"Name": "image-id", "Values": [image_id]}])["Images"]
        if not found:
            raise UserError(f"{name}: there is no image {image_id} in {account.region}, or it is not shared with you")
        (image,) = found
        if image["State"] != "available":
            raise UserError(f"{name}: the image {image_id} is {image['State']}: wait until it is available")
        if image["Architecture"] != SYSTEM.architectures[architecture]:
            raise UserError(
                f"{name}: the image {image_id} is for {image['Architecture']}, "
                f"and ImageArchitecture is {architecture}: give another image, or another --param ImageArchitecture"
            )
        if name == Parameter.BASE_IMAGE and any(tag["Key"] == IMAGE_TAG for tag in image.get("Tags", [])):
            raise UserError(
                f"{name}: a stack made the image {image_id}, so it holds all that would be installed: "
                f"give --param {Parameter.IMAGE}={image_id} to use it, or an image of {SYSTEM.release}"
            )


def read_image(account: Account, stack: Stack) -> StackImage | None:
    """Return the image of the stack's machines, or None where the stack has none.

    Raises:
        UserError: AWS refused.
    """
    image_id = stack.outputs.get(Output.IMAGE_ID, "")
    if not image_id:
        return None
    made = stack.parameters.get(Parameter.IMAGE) == IMAGE_YES
    newest = newest_base(account, stack.parameters[Parameter.IMAGE_ARCHITECTURE]) if made else ""
    with explained(f"looking up the image {image_id}"):
        # By a filter, since an unknown ID is an error.
        found = account.ec2.describe_images(Filters=[{"Name": "image-id", "Values": [image_id]}])["Images"]
    if not found:
        return StackImage(image_id, made, "", None, "", "", newest)
    tags = {tag["Key"]: tag["Value"] for tag in found[0].get("Tags", [])}
    created = datetime.fromisoformat(found[0]["CreationDate"]).astimezone(UTC)
    base, condor = tags.get(BASE_TAG, ""), tags.get(CONDOR_TAG, "")
    return StackImage(image_id, made, found[0]["State"], created, base, condor, newest)
