"""``credentials``: the IAM user that runs annexes, its key files, and the knobs that name them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from annex_bootstrap.aws import Account, connect
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.policies import users
from annex_bootstrap.policies.users import AnnexUser, KeyFiles
from annex_bootstrap.pool import config_file
from annex_bootstrap.pool.file_knobs import write_knobs
from annex_bootstrap.stack.read import find_deployed
from annex_bootstrap.target import our_command
from annex_contract.knobs import ACCESS_KEY_KNOB, SECRET_KEY_KNOB
from annex_contract.stack import Output


class Action(StrEnum):
    """What to do about the credentials."""

    SET_UP = "set-up"
    ROTATE = "rotate"
    REMOVE = "remove"
    FROM_INSTANCE = "from-instance"


@dataclass(frozen=True)
class CredentialsOptions:
    """The options of ``credentials``.

    Attributes:
        stack_name: the stack's name.
        region: where; None for the one that the environment or the profile names.
        profile: the AWS profile, or None for the environment's.
        config: the user's configuration file, or None for the one that HTCondor names.
        action: what to do.
        user_name: the IAM user; None for the name made of the stack's and the region's.
        directory: where the key files go.
        boundary: the ARN of the user's permissions boundary; empty for none, or to leave the one that it has.
        yes: whether to go ahead without asking.
    """

    stack_name: str
    region: str | None
    profile: str | None
    config: Path | None
    action: Action
    user_name: str | None
    directory: Path
    boundary: str = ""
    yes: bool = False


@dataclass(frozen=True)
class _Place:
    account: Account
    user: AnnexUser
    config: Path

    def write(self, access: str | None, secret: str | None) -> None:
        """Name both files in the configuration, or neither."""
        write_knobs(self.config, self.account.region, {ACCESS_KEY_KNOB: access, SECRET_KEY_KNOB: secret})


def credentials(options: CredentialsOptions, screen: Screen) -> None:
    """Set up, replace or remove the credentials of condor_annex.

    Args:
        options: what was asked for.
        screen: where to print, and whom to ask.

    Raises:
        UserError: there is no stack, AWS refused, or a file cannot be written.
    """
    config = config_file.find_file(options.config)
    config_file.check(config)
    account = connect(options.region, options.profile)
    name = options.user_name or users.default_user_name(options.stack_name, account.region)
    user = AnnexUser(account, name, KeyFiles.below(options.directory, account.region), options.boundary)
    place = _Place(account, user, config)
    if options.action is Action.FROM_INSTANCE:
        _use_instance(place, screen)
    elif options.action is Action.REMOVE:
        _remove(place, screen, yes=options.yes)
    else:
        _make(place, screen, options)


def _use_instance(place: _Place, screen: Screen) -> None:
    place.write(users.FROM_INSTANCE, users.FROM_INSTANCE)
    screen.say(f"{place.config}: condor_annex takes the role of the EC2 machine that it runs on.")
    screen.document({"user": None, "config": str(place.config)})


def _remove(place: _Place, screen: Screen, *, yes: bool) -> None:
    name = place.user.name
    screen.say(f"Deletes the IAM user {name} with its keys, and the files that hold them.")
    if not (yes or screen.confirm("Go ahead?", default=False)):
        screen.say("Nothing was changed.")
        screen.document({"user": name, "removed": False})
        return
    existed = place.user.remove()
    place.write(None, None)
    screen.say(f"The IAM user {name} {'is deleted' if existed else 'did not exist'}.")
    screen.document({"user": name, "removed": existed})


def _make(place: _Place, screen: Screen, options: CredentialsOptions) -> None:
    user, files = place.user, place.user.files
    stack = find_deployed(place.account, options.stack_name)
    policy_arn = stack.outputs[Output.ANNEX_USER_POLICY_ARN]
    users.check_policy(place.account, policy_arn)
    if options.action is Action.ROTATE:
        deleted = user.rotate(stack.stack_id, policy_arn)
        screen.say(f"The IAM user {user.name} has a new key; deleted: {', '.join(deleted) or 'none'}.")
    elif user.set_up(stack.stack_id, policy_arn):
        screen.say(f"The IAM user {user.name} has a new key and one policy: {policy_arn.rpartition('/')[2]}.")
        screen.say("It may take a few seconds until the key works everywhere in AWS.")
    else:
        screen.say(f"The IAM user {user.name} already has its key here.")
    place.write(str(files.access), str(files.secret))
    screen.say(f"  key ID  {files.access}")
    screen.say(f"  secret  {files.secret}")
    screen.say(f"  knobs   {place.config}")
    line = our_command("doctor", options.stack_name, options.region, options.profile, options.config)
    screen.next_steps({line: "checks that all is ready"})
    screen.document(
        {
            "user": user.name,
            "access_key_id": files.key_id(),
            "access_key_file": str(files.access),
            "secret_key_file": str(files.secret),
            "config": str(place.config),
        }
    )
