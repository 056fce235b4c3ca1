"""``delete``: check for annexes, ask, then delete the stack in every region and its part of the configuration."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import click

from annex_bootstrap.annexes import ending
from annex_bootstrap.annexes.leases import Lease
from annex_bootstrap.aws import Account, place
from annex_bootstrap.commands.credentials import DIRECTORY, Action, credentials
from annex_bootstrap.commands.fleet_config import default_file
from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.growth.record import Record, note_seen
from annex_bootstrap.local_user import expand_home
from annex_bootstrap.options import CONFIG, MANY_REGIONS, YES
from annex_bootstrap.policies.users import KeyFiles
from annex_bootstrap.pool import config_file
from annex_bootstrap.pool.blocks import Block, find_block
from annex_bootstrap.pool.pool_config import BLOCK, find_pool_file
from annex_bootstrap.pool.pull import Pulled
from annex_bootstrap.pool.shared import share
from annex_bootstrap.stack import budget, staging
from annex_bootstrap.stack.follow import Watcher, delete_stack, settle
from annex_bootstrap.stack.read import Holder, Stack, find_holders
from annex_bootstrap.target import Target, in_each_region
from annex_bootstrap.words import SPOT_ROLES
from annex_contract.image import IMAGE_YES
from annex_contract.outputs import profiles_of
from annex_contract.stack import Output, Parameter


@dataclass(frozen=True)
class Preview:
    """A stack that would be deleted.

    Attributes:
        stack: the stack.
        leases: of its annexes.
        holders: to whom its policies for people are attached.
    """

    stack: Stack
    leases: Sequence[Lease]
    holders: Sequence[Holder]

    @property
    def annexes(self) -> str:
        """The IDs of the annexes, for a sentence."""
        return ", ".join(lease.annex_id for lease in self.leases)


@dataclass(frozen=True)
class RegionDeletion:
    """What became of the stack in one region.

    Attributes:
        region: where.
        stack: the stack's name.
        deleted: whether there was one that is gone now.
        annexes: the IDs of those that had a lease.
        error: why it failed; None where it did not.
    """

    region: str
    stack: str
    deleted: bool = False
    annexes: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Deletion(Result):
    """What became of the stack in every region.

    Attributes:
        regions: in the order in which they were given.
        configuration: what became of the pool's configuration; None where it was left alone.
        declined: whether the answer was no, so that nothing was changed.
    """

    regions: tuple[RegionDeletion, ...]
    configuration: Pulled | None = None
    declined: bool = False

    @property
    def ok(self) -> bool:
        """Whether it succeeded in every region, also where the answer was no."""
        return self.declined or all(region.error is None for region in self.regions)


def delete(screen: Screen, target: Target, *, end_annexes: bool = False, yes: bool = False) -> Deletion:
    """Delete the stack in every region, the staging buckets, and the stack's part of the pool's configuration.

    Args:
        screen: where to print, and whom to ask.
        target: the stack.
        end_annexes: whether to end annexes that still run.
        yes: whether to go ahead without asking.

    Raises:
        UserError: the configuration file or the AWS account cannot be used; nothing was changed.
    """
    path = config_file.find_file(target.config)
    config_file.check(path)
    accounts = target.connect_all()
    regions = [account.region for account in accounts]
    with screen.progress(regions) as board:
        outcomes = in_each_region(
            accounts, lambda account: _preview(account, target.stack_name, board.watcher(account.region))
        )
    done: dict[str, RegionDeletion] = {}
    previews: dict[str, Preview | None] = {}
    for outcome in outcomes:
        region, preview, error = outcome.account.region, outcome.result, outcome.error
        annexes = tuple(lease.annex_id for lease in preview.leases) if preview is not None else ()
        done[region] = RegionDeletion(region, target.stack_name, annexes=annexes)
        if preview is not None and annexes and not end_annexes:
            error = UserError(
                f"these annexes still have a lease: {preview.annexes}; without the stack nothing would end them: "
                "wait for their leases to end, or add --end-annexes"
            )
        if error is None and preview is not None:
            error = _release_policies(screen, target.at(region), preview, yes=yes)
        if error is not None:
            done[region] = _failed(screen, done[region], error, regions)
            continue
        previews[region] = preview
        if preview is None:
            screen.say(f"There is no stack {target.stack_name} in {region}.")
        else:
            _show(screen, outcome.account, preview)
    where = [account for account in accounts if previews.get(account.region)]
    if where and not (yes or screen.confirm(f"Go ahead in {place(where)}?", default=False)):
        screen.say("Nothing was changed.")
        return Deletion(tuple(done.values()), declined=True)

    with screen.progress(regions) as board:
        ended = in_each_region(
            [account for account in accounts if account.region in previews],
            lambda account: _delete(
                screen, path, account, target.stack_name, previews[account.region], board.watcher(account.region)
            ),
        )
    gone = []
    for end in ended:
        region = end.account.region
        if end.error is not None:
            done[region] = _failed(screen, done[region], end.error, regions)
            continue
        gone.append(region)
        if previews[region] is not None:
            done[region] = replace(done[region], deleted=True)
            screen.say(f"DELETE_COMPLETE: {target.stack_name} in {region}", fg="green")
        if end.result is not None:
            done[region] = _failed(screen, done[region], end.result, regions)

    def forget(block: Block) -> Block:
        for region in gone:
            block = block.drop(region, target.stack_name)
        return block

    changed = config_file.update(path, forget)
    if changed:
        screen.say(f"{path} no longer names the stack.")
    if shared := share(target.config):
        screen.say(f"{shared} says so to all users of this machine.")
    leftovers = _find_leftovers([region for region in gone if previews[region] is not None])
    if leftovers:
        screen.next_steps(leftovers)
    return Deletion(tuple(done.values()), Pulled(path, changed))


def _find_leftovers(regions: Sequence[str]) -> dict[str, str]:
    """Return what is left on this machine of stacks that are gone: the line that removes it, and what it is."""
    lines = {}
    for region in regions:
        files = KeyFiles.below(DIRECTORY, region)
        for path, purpose in (
            (expand_home(default_file(region)), "the spot fleet file"),
            (files.access, "the ID of a key for running annexes"),
            (files.secret, "the secret of a key for running annexes"),
        ):
            if path.exists():
                lines[shlex.join(["rm", str(path)])] = purpose
    pool_file = find_pool_file(None, read_only=True)
    if find_block(config_file.preview_file(pool_file, lambda content: content).old, BLOCK) is not None:
        lines["annex-bootstrap pool-config --remove"] = "takes annexes out of the pool's configuration"
    return lines


def _preview(account: Account, stack_name: str, watcher: Watcher) -> Preview | None:
    stack, _ = settle(account, stack_name, watcher)
    if stack is None:
        return None
    if stack.protected:
        line = (
            "aws cloudformation update-termination-protection --no-enable-termination-protection "
            f"--region {account.region} --stack-name {stack.name}"
        )
        raise UserError(f"the stack {stack.name} is protected from deletion: {line}  # then try again")
    # An administrator's policies stay, and so may their holders.
    holders = [] if stack.parameters.get(Parameter.GIVEN_ROLES) else find_holders(account, stack)
    own = stack.outputs.get(Output.ANNEX_USER_ROLE_ARN, "").rpartition("/")[2]
    holders = [holder for holder in holders if holder.kind != "role" or holder.name != own]
    return Preview(stack, ending.find_leases(account, stack), holders)


def _release_policies(screen: Screen, target: Target, preview: Preview, *, yes: bool) -> UserError | None:
    """Offer to remove the users that ``credentials`` made; return what else keeps the stack's policies, or None."""
    users = sorted({user.name for user in preview.holders if _is_made_by_us(user, preview.stack)})
    offered = bool(users) and not yes and not screen.json
    if offered and screen.confirm(f"Remove the IAM user {' and '.join(users)} with its keys first?", default=True):
        for name in users:
            credentials(screen, target, Action.REMOVE, user_name=name, yes=True)
        users = []
    others = [holder for holder in preview.holders if not _is_made_by_us(holder, preview.stack)]
    lines = [
        *(target.command(shlex.join(["credentials", "--remove", "--user-name", name]), config=True) for name in users),
        *(
            f"aws iam detach-{holder.kind}-policy --{holder.kind}-name {holder.name} --policy-arn {holder.policy_arn}"
            for holder in others
        ),
    ]
    if not lines:
        return None
    names = sorted({*(f"user {name}" for name in users), *(f"{holder.kind} {holder.name}" for holder in others)})
    return UserError(
        f"policies of the stack are attached to the {', the '.join(names)}, so that AWS would not delete it; detach "
        "them first:" + "".join(f"\n  {line}" for line in lines)
    )


def _is_made_by_us(holder: Holder, stack: Stack) -> bool:
    """Tell whether ``credentials`` may have made a user; it looks at the user's tag before it deletes it."""
    return holder.kind == "user" and holder.name.startswith(f"{stack.name}-")


def _failed(screen: Screen, region: RegionDeletion, error: UserError, regions: Sequence[str]) -> RegionDeletion:
    screen.fail(f"{region.region}: {error}" if len(regions) > 1 else str(error))
    return replace(region, error=str(error))


def _show(screen: Screen, account: Account, preview: Preview) -> None:
    stack = preview.stack
    bucket, fleet_role = stack.outputs.get(Output.S3_BUCKET_NAME), stack.outputs.get(Output.IAM_FLEET_ROLE_ARN, "")
    screen.say(f"The stack {stack.name} in {account.region}, account {account.account_id}:")
    if preview.leases:
        screen.say(f"  ends these annexes and all their machines: {preview.annexes}", bold=True)
    given = bool(stack.parameters.get(Parameter.GIVEN_ROLES))
    roles, policies = ("", "") if given else ("roles, ", "policies, ")
    screen.say(f"  deletes its functions with their logs, {roles}security group, {policies}rule and alarms")
    if given:
        screen.say("  keeps the roles and policies that an administrator made")
    image = stack.outputs.get(Output.IMAGE_ID)
    if image and stack.parameters.get(Parameter.IMAGE) == IMAGE_YES:
        screen.say(f"  deletes the machine image {image} with its snapshots")
    if bucket and stack.parameters.get(Parameter.BUCKET_NAME):
        screen.say(f"  keeps the bucket {bucket}, unless the stack made it")
    elif bucket:
        screen.say(f"  deletes the bucket {bucket}, unless it holds other things")
    if stack.parameters.get(Parameter.FLEET_ROLE_NAME) and not given:
        screen.say(f"  keeps the role {fleet_role.rpartition('/')[2]}, unless the stack made it")
    screen.say("  deletes the staging bucket, unless another stack uses it")
    screen.say("  deletes the stack's part of the pool's configuration")
    screen.say(f"  keeps {SPOT_ROLES}")


def _delete(
    screen: Screen, path: Path, account: Account, stack_name: str, preview: Preview | None, watcher: Watcher
) -> UserError | None:
    """Delete the stack and what the client made beside it.

    Returns:
        Why something beside it is left; None where nothing is.

    Raises:
        UserError: the stack is left.
    """
    if preview is not None:
        for lease in preview.leases:
            machines = ending.end_annex(account, preview.stack, lease)
            screen.say(f"  ended the annex {lease.annex_id} in {account.region}: {machines} machines")
        if preview.leases:
            # Without its stack nobody finds a machine: what they cost is known from the record alone.
            with suppress(UserError):
                if (record := Record.beside(path)).events:
                    note_seen(record, account, profiles_of(preview.stack.outputs), "delete")
        delete_stack(account, preview.stack, watcher)
    left = None
    try:
        if preview is not None and budget.delete_budget(account, preview.stack):
            screen.say(f"  deleted the budget {budget.budget_name(account, preview.stack)}")
    except UserError as error:
        left = error
    try:
        if not staging.delete(account, stack_name):
            screen.say(f"  keeps the bucket {staging.bucket_name(account)}: other stacks have their templates in it")
    except UserError as error:
        left = error
    return left


command = Command(
    "delete",
    delete,
    *MANY_REGIONS,
    click.Option(["--end-annexes"], is_flag=True, help="End the annexes that still run, and all their machines."),
    CONFIG,
    YES,
    *OUTPUT,
    help="""Delete the stack, the staging bucket, and the block in the pool's configuration.

    Refuses while annexes have a lease, because without the stack nothing would end them.
    """,
)
