"""The stack's own machine image: what it is, and which image of the operating system to make it from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from annex_bootstrap.aws import Account, explained, find_image
from annex_bootstrap.errors import AwsError, UserError
from annex_contract.image import BASE_TAG, CONDOR_TAG, IMAGE_NO, IMAGE_TAG, IMAGE_YES
from annex_contract.operating_system import SYSTEM
from annex_contract.stack import Output, Parameter

if TYPE_CHECKING:
    from annex_bootstrap.stack.read import Stack


@dataclass(frozen=True)
class StackImage:
    """The image of a stack's machines, as AWS has it.

    Attributes:
        image_id: its ID.
        made_by_stack: whether the stack made it; else it is the user's.
        state: such as ``available``; empty where it is gone.
        created: when; None where it is gone.
        base: the image that it was made from; empty where that is not known.
        htcondor: the version of HTCondor in it; empty where that is not known.
        newest: the system's image that one would be made from today; empty where AWS names none.
    """

    image_id: str
    made_by_stack: bool
    state: str
    created: datetime | None
    base: str
    htcondor: str
    newest: str

    @property
    def newer_base(self) -> str:
        """The system's image that is newer than the one it was made from; empty where there is none."""
        return self.newest if self.made_by_stack and self.base and self.newest != self.base else ""

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
    try:
        with explained(f"looking up {SYSTEM.name}'s newest image"):
            found = account.ssm.get_parameter(Name=f"{SYSTEM.base_parameters}{architecture}")
    except AwsError as error:
        if error.code == "ParameterNotFound":
            return ""
        raise
    return str(found["Parameter"]["Value"])


@dataclass(frozen=True)
class Base:
    """The image that a stack's own image is made from.

    Attributes:
        image_id: its ID; empty where the stack makes no image, or keeps its base.
        note: what a person should know of it; empty for nothing.
    """

    image_id: str = ""
    note: str = ""


def choose_base(account: Account, parameters: Mapping[str, str]) -> Base:
    """Return the newest base for a stack that makes its image, so that a change set shows a newer one.

    A base that is not one of the system's own was somebody's choice, and stays.

    Args:
        account: where.
        parameters: the values of all parameters, the base as it is.

    Raises:
        UserError: there is no base, the account may not use it, or AWS refused.
    """
    if parameters.get(Parameter.IMAGE) != IMAGE_YES:
        return Base()
    chosen = parameters[Parameter.BASE_IMAGE]
    base = find_image(account, chosen) if chosen else None
    if base is not None and base["OwnerId"] != SYSTEM.owner:
        return Base()
    newest = newest_base(account, parameters[Parameter.IMAGE_ARCHITECTURE])
    other = f"add --param BaseImage=ami-... with an image of {SYSTEM.release}, or --param Image=no to use HTCondor's"
    if not newest:
        raise UserError(f"{SYSTEM.name} publishes no image in {account.region}: {other}")
    if (base if newest == chosen else find_image(account, newest)) is None:
        raise UserError(
            f"{SYSTEM.name}'s image {newest} cannot be seen in {account.region}, perhaps because the account's "
            f"Allowed AMIs leave out {SYSTEM.name}'s account {SYSTEM.owner}: allow it, or {other}"
        )
    gone = f"its base image {chosen} cannot be seen any more: uses {SYSTEM.name}'s newest, {newest}"
    return Base(newest, gone if chosen and base is None and newest != chosen else "")


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
        image = find_image(account, image_id)
        if image is None:
            raise UserError(f"{name}: there is no image {image_id} in {account.region}, or it is not shared with you")
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
    image = find_image(account, image_id)
    if image is None:
        return StackImage(image_id, made, "", None, "", "", newest)
    tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
    created = datetime.fromisoformat(image["CreationDate"]).astimezone(UTC)
    base, condor = tags.get(BASE_TAG, ""), tags.get(CONDOR_TAG, "")
    return StackImage(image_id, made, image["State"], created, base, condor, newest)
