"""``image``: show the image of the stack's machines, and rebuild it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from annex_bootstrap.commands.deploy import Deployment, deploy
from annex_bootstrap.console.command import OUTPUT, Command, Family
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.options import CONFIG, MANY_REGIONS, ONE_REGION, YES
from annex_bootstrap.stack.image import StackImage, read_image
from annex_bootstrap.stack.read import find_deployed
from annex_bootstrap.target import Target
from annex_contract.image import IMAGE_YES
from annex_contract.operating_system import SYSTEM
from annex_contract.stack import Parameter


@dataclass(frozen=True)
class ImageStatus(Result):
    """The image of the stack's machines.

    Attributes:
        region: where.
        image: what AWS has of it; None where the stack has none.
    """

    region: str
    image: StackImage | None

    @property
    def ok(self) -> bool:
        """Whether machines can start from it."""
        return self.image is not None and self.image.state == "available"


def show_image(screen: Screen, target: Target) -> ImageStatus:
    """Show the image of the stack's machines.

    Raises:
        UserError: there is no stack, or AWS refused.
    """
    account = target.connect()
    image = read_image(account, find_deployed(account, target.stack_name))
    if image is None:
        screen.say(f"The stack {target.stack_name} has no image: machines start from HTCondor's own, which is old.")
        screen.next_steps({target.command("deploy --param Image=yes"): "let the stack make one"})
        return ImageStatus(account.region, None)
    days = image.days(datetime.now(UTC))
    screen.say(f"Image     {image.image_id}, {image.state or 'which is gone'}")
    screen.say(
        f"Made      {f'by the stack, {days} days ago' if image.made_by_stack else 'by you; the stack never touches it'}"
    )
    if image.made_by_stack:
        screen.say(f"HTCondor  {image.htcondor or 'unknown'}")
        screen.say(f"Base      {image.base or 'unknown'}")
    if image.newer_base:
        screen.say(f"{SYSTEM.name} has a newer image, {image.newer_base}.")
        screen.next_steps({target.command("image rebuild"): "rebuild it; takes about ten minutes"})
    return ImageStatus(account.region, image)


def rebuild_image(screen: Screen, target: Target, *, yes: bool = False) -> Deployment:
    """Rebuild the image in every region by an update of the stack.

    Args:
        screen: where to print and ask.
        target: the stack.
        yes: whether to go ahead without asking.

    Raises:
        UserError: a stack does not make its image, or AWS refused.
    """
    for account in target.connect_all():
        stack = find_deployed(account, target.stack_name)
        if stack.parameters.get(Parameter.IMAGE) != IMAGE_YES:
            raise UserError(
                f"the stack {target.stack_name} in {account.region} does not make its image: "
                "run annex-bootstrap deploy --param Image=yes"
            )
    revision = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return deploy(screen, target, parameters={Parameter.IMAGE_REVISION: revision}, yes=yes)


command = Family("image", help="Show the image that the machines start from, or rebuild it.")
command.add_command(
    Command(
        "status",
        show_image,
        *ONE_REGION,
        *OUTPUT,
        help="""Show the image, the version of HTCondor in it, its age, and whether Debian has a newer base.

        Exits with 0 if machines can start from it, else with 1.
        """,
    )
)
command.add_command(
    Command(
        "rebuild",
        rebuild_image,
        *MANY_REGIONS,
        CONFIG,
        YES,
        *OUTPUT,
        help="""Rebuild the image from Debian's newest one, then write its ID into the pool's configuration.

        The stack is updated: the new image is made first, and the old one deleted when everything has succeeded. It
        takes about ten minutes. Machines that are running go on.
        """,
    )
)
