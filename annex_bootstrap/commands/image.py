"""``image``: what the image of the stack's machines is, and making it anew."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from annex_bootstrap.aws import connect, connect_all
from annex_bootstrap.errors import UserError
from annex_bootstrap.screen import Screen
from annex_bootstrap.stack.image import read_image
from annex_bootstrap.stack.read import find_deployed
from annex_contract.image import IMAGE_YES
from annex_contract.operating_system import SYSTEM
from annex_contract.stack import Parameter


def show_image(stack_name: str, region: str | None, profile: str | None, screen: Screen) -> bool:
    """Show the image of the stack's machines.

    Returns:
        Whether there is one that machines can start from.

    Raises:
        UserError: there is no stack, or AWS refused.
    """
    account = connect(region, profile)
    image = read_image(account, find_deployed(account, stack_name))
    if image is None:
        screen.say(f"The stack {stack_name} has no image: machines start from HTCondor's own, which is years old.")
        screen.say("Next: annex-bootstrap deploy --param Image=yes")
        screen.document({"image": None})
        return False
    days = image.days(datetime.now(UTC))
    screen.say(f"Image     {image.image_id}, {image.state or 'which is gone'}")
    screen.say(f"Made      {f'by the stack, {days} days ago' if image.made else 'by you; the stack never touches it'}")
    if image.made:
        screen.say(f"HTCondor  {image.condor or 'unknown'}")
        screen.say(f"Base      {image.base or 'unknown'}")
    if image.newer_base:
        screen.say(f"{SYSTEM.name} has a newer image, {image.newer_base}.")
        screen.say("Next: annex-bootstrap image rebuild")
    screen.document(
        {
            "image": {
                "image_id": image.image_id,
                "made_by_stack": image.made,
                "state": image.state or None,
                "days": days,
                "htcondor": image.condor or None,
                "base": image.base or None,
                "newer_base": image.newer_base or None,
            }
        }
    )
    return image.state == "available"


def rebuild_parameters(stack_name: str, regions: Sequence[str], profile: str | None) -> dict[str, str]:
    """Return the parameters with which a deployment makes the image anew.

    Args:
        stack_name: the stack's name.
        regions: where; empty for the one that the environment or the profile names.
        profile: the AWS profile, or None for the environment's.

    Raises:
        UserError: a stack does not make its image, or AWS refused.
    """
    for account in connect_all(regions, profile):
        stack = find_deployed(account, stack_name)
        if stack.parameters.get(Parameter.IMAGE) != IMAGE_YES:
            raise UserError(
                f"the stack {stack_name} in {account.region} does not make its image: "
                "run annex-bootstrap deploy --param Image=yes"
            )
    return {Parameter.IMAGE_REVISION: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
