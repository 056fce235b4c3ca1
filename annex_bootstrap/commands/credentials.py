"""``credentials``: the IAM user that runs annexes, its key files, and the knobs that name them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import click

from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import AwsError, UserError
from annex_bootstrap.options import CONFIG, ONE_REGION, YES, boundary_option
from annex_bootstrap.policies import users
from annex_bootstrap.policies.boundary import users_boundary
from annex_bootstrap.policies.limits import check_boundary
from annex_bootstrap.policies.profile import profile_file, role_values, write_profile
from annex_bootstrap.policies.users import AnnexUser, KeyFiles
from annex_bootstrap.pool import config_file
from annex_bootstrap.pool.file_knobs import read_knob, write_knobs
from annex_bootstrap.pool.files import read_private
from annex_bootstrap.stack.read import find_deployed
from annex_bootstrap.target import Target
from annex_contract.knobs import ACCESS_KEY_KNOB, SECRET_KEY_KNOB
from annex_contract.stack import Output, Parameter

DIRECTORY = Path("~/.condor")
"""Where the key files go by default."""


class Action(StrEnum):
    """What to do about the credentials, other than to make what is missing."""

    ROTATE = "rotate"
    REMOVE = "remove"
    FROM_INSTANCE = "from-instance"
    ROLE = "role"


@dataclass(frozen=True)
class Credentials(Result):
    """The credentials of condor_annex.

    Attributes:
        config: the file that names them.
        user: the IAM user; None where condor_annex uses its machine's role.
        changed: whether a key was made or the user was deleted.
        access_key_id: of the user's key; None where there is none.
        access_key_file: holds the key's ID; None where there is no key.
        secret_key_file: holds its secret; None where there is no key.
        deleted_keys: the IDs of the keys that were deleted.
        profile: the AWS profile that takes the stack's role; None where there is none.
    """

    config: Path
    user: str | None
    changed: bool
    access_key_id: str | None = None
    access_key_file: Path | None = None
    secret_key_file: Path | None = None
    deleted_keys: tuple[str, ...] = ()
    profile: str | None = None


def credentials(
    screen: Screen,
    target: Target,
    action: Action | None = None,
    user_name: str | None = None,
    directory: Path = DIRECTORY,
    boundary: str = "",
    *,
    yes: bool = False,
) -> Credentials:
    """Set up, replace or remove the credentials of condor_annex.

    Args:
        screen: where to print, and whom to ask.
        target: the stack, and the user's configuration.
        action: None to set them up.
        user_name: the IAM user; None for the name made of the stack's and the region's.
        directory: where the key files go.
        boundary: the ARN of the user's permissions boundary; empty to leave the one that it has, else for the users'
            boundary that goes with the roles', where the stack's roles have a boundary, and none where they have none.
        yes: whether to go ahead without asking.

    Raises:
        UserError: there is no stack, AWS refused, or a file cannot be written.
    """
    if action is Action.ROLE:
        return _take_role(screen, target)
    config = config_file.find_file(target.config)
    config_file.check(config)
    account = target.connect()
    check_boundary(account, boundary)
    name = user_name or users.default_user_name(target.stack_name, account.region)
    files = KeyFiles.below(directory, account.region)
    user = AnnexUser(account, target.stack_name, name, files, boundary)

    def write(access: str | None, secret: str | None) -> None:
        write_knobs(config, account.region, {ACCESS_KEY_KNOB: access, SECRET_KEY_KNOB: secret})

    if action is Action.FROM_INSTANCE:
        write(users.FROM_INSTANCE, users.FROM_INSTANCE)
        screen.say(f"{config}: condor_annex uses the role of the EC2 machine that it runs on.")
        return Credentials(config, None, changed=False)
    if action is Action.REMOVE:
        screen.say(f"Deletes the IAM user {name} with its keys, and the files that hold them.")
        if not (yes or screen.confirm("Go ahead?", default=False)):
            screen.say("Nothing was changed.")
            return Credentials(config, name, changed=False)
        deleted = user.remove()
        # The knobs of another user stay.
        named = read_knob(read_private(config) or b"", account.region, ACCESS_KEY_KNOB)
        if named in ("", users.FROM_INSTANCE, str(files.access)) and not files.holder(account):
            write(None, None)
        screen.say(f"The IAM user {name} {'did not exist' if deleted is None else 'is deleted'}.")
        return Credentials(config, name, changed=deleted is not None, deleted_keys=deleted or ())
    made = _make(screen, target, user, rotate=action is Action.ROTATE)
    write(str(files.access), str(files.secret))
    screen.say(f"  key ID  {files.access}")
    screen.say(f"  secret  {files.secret}")
    screen.say(f"  knobs   {config}")
    screen.next_steps({target.command("doctor", config=True): "checks that all is ready"})
    changed = made is not None
    return Credentials(config, name, changed, files.key_id(), files.access, files.secret, deleted_keys=made or ())


def _take_role(screen: Screen, target: Target) -> Credentials:
    """Write a profile that takes the stack's role for people."""
    account = target.connect()
    stack = find_deployed(account, target.stack_name)
    arn = stack.outputs.get(Output.ANNEX_USER_ROLE_ARN)
    if arn is None:
        raise UserError(
            f"the stack {stack.name} has no role for people: the deployer names them with --param "
            f"{Parameter.USER_PRINCIPALS}=ARN; only a stack with Image=yes has one"
        )
    path, name = profile_file(), users.default_user_name(target.stack_name, account.region)
    found = account.session.get_credentials()
    values = role_values(arn, account.region, found.method if found else "", account.session.profile_name)
    if values.get("source_profile") == name:
        raise UserError(f"the profile {name} takes the role already: give the one that may take it with --profile")
    changed = write_profile(path, name, values)
    screen.say(f"{path}: the profile {name} {'takes' if changed else 'already takes'} the role {arn}.")
    by = values.get("source_profile") or values["credential_source"]
    screen.say(f"It does so with the credentials of {by}, each time for an hour, as long as those hold.")
    if stack.parameters.get(Parameter.USER_MFA) == "yes":
        screen.say("The role wants an MFA code: add mfa_serial = ARN of your device to the profile.")
    screen.say("condor_annex cannot use it, because it reads keys without a session token; start can.")
    screen.next_steps({replace(target, profile=name).command("leases"): "works with the role"})
    return Credentials(config_file.find_file(target.config), None, changed, profile=name)


def _make(screen: Screen, target: Target, user: AnnexUser, *, rotate: bool) -> tuple[str, ...] | None:
    """Make the user and its key; return the keys that were deleted for it, None where there was a key already."""
    stack = find_deployed(user.account, target.stack_name)
    policy_arn = stack.outputs[Output.ANNEX_USER_POLICY_ARN]
    users.check_policy(user.account, policy_arn)
    # The deployer of such a stack is not trusted with everything, but can rewrite the policy.
    limit = stack.parameters.get(Parameter.PERMISSIONS_BOUNDARY_ARN, "")
    if limit and not user.boundary and not user.is_bounded():
        user = replace(user, boundary=users_boundary(limit, stack.name))
        screen.say(f"Its permissions boundary is {user.boundary}, because the stack's roles have one.")
    try:
        return _set_up(screen, user, stack.stack_id, policy_arn, rotate=rotate)
    except AwsError as error:
        if user.boundary and error.code == "NoSuchEntity" and user.boundary in error.reason:
            raise UserError(
                f"there is no policy {user.boundary} to limit the IAM user: let an administrator make it of what "
                "annex-bootstrap policy boundary --for users prints, or give --boundary another one"
            ) from error
        raise


def _set_up(screen: Screen, user: AnnexUser, stack_id: str, policy_arn: str, *, rotate: bool) -> tuple[str, ...] | None:
    if rotate:
        deleted = user.rotate(stack_id, policy_arn)
        screen.say(f"The IAM user {user.name} has a new key; deleted: {', '.join(deleted) or 'none'}.")
        return deleted
    if user.set_up(stack_id, policy_arn):
        screen.say(f"The IAM user {user.name} has a new key and one policy: {policy_arn.rpartition('/')[2]}.")
        screen.say("It may take a few seconds until the key works everywhere in AWS.")
        return ()
    screen.say(f"The IAM user {user.name} already has its key here.")
    return None


KEY_DIRECTORY = click.Option(
    ["--directory"],
    type=click.Path(file_okay=False, path_type=Path),
    default=DIRECTORY,
    show_default=True,
    help="Where to put the two key files.",
)

command = Command(
    "credentials",
    credentials,
    *ONE_REGION,
    CONFIG,
    click.Option(
        ["--rotate", "action"], type=Action, flag_value=Action.ROTATE, help="Replace the user's keys with a new one."
    ),
    click.Option(
        ["--remove", "action"],
        type=Action,
        flag_value=Action.REMOVE,
        help="Delete the user, its keys, the files and the knobs.",
    ),
    click.Option(
        ["--from-instance", "action"],
        type=Action,
        flag_value=Action.FROM_INSTANCE,
        help="Create no user: condor_annex runs on an EC2 instance and uses that instance's role.",
    ),
    click.Option(
        ["--role", "action"],
        type=Action,
        flag_value=Action.ROLE,
        help="Create no user: write an AWS profile that takes the stack's role for people, for start.",
    ),
    click.Option(
        ["--user-name"],
        metavar="NAME",
        help="The IAM user; must begin with the stack's name. Default: STACK-REGION.",
    ),
    KEY_DIRECTORY,
    boundary_option(
        "--boundary",
        "The user's permissions boundary. Default: that of policy boundary --for users, if the stack has one.",
    ),
    YES,
    *OUTPUT,
    help="""Give condor_annex credentials that can run annexes and nothing else.

    Creates an IAM user with the stack's policy for users, writes its access key into two files that only you can
    read, and names them in the configuration. Running it again changes only what is wrong.
    """,
)
