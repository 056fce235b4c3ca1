"""``annex-bootstrap credentials``, and the policy for whoever runs it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from annex_bootstrap.cli.options import aws_options, config_option, yes_option
from annex_bootstrap.cli.output import Screen, output_option
from annex_bootstrap.cli.policy import command as policy

DIRECTORY = Path("~/.condor")


@click.command(name="credentials", short_help="Give condor_annex keys that can run annexes only.")
@aws_options
@config_option
@click.option("--rotate", "action", flag_value="rotate", help="Replace the user's keys by a new one.")
@click.option("--remove", "action", flag_value="remove", help="Delete the user, its keys, the files and the knobs.")
@click.option(
    "--from-instance",
    "action",
    flag_value="from-instance",
    help="Make no user: condor_annex runs on an EC2 machine and takes that machine's role.",
)
@click.option("--user-name", metavar="NAME", help="The IAM user; begins with the stack's name. Default: STACK-REGION.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=DIRECTORY,
    show_default=True,
    help="Where the two key files go.",
)
@yes_option
@output_option
def command(
    region: str | None,
    profile: str | None,
    stack_name: str,
    config: Path | None,
    action: str | None,
    user_name: str | None,
    directory: Path,
    yes: bool,
    screen: Screen,
) -> None:
    """Give condor_annex credentials that can run annexes and nothing else.

    Makes an IAM user with the stack's policy for users, writes its access key into two files that only you can read,
    and names them in the configuration. Run it again at any time: what is right is left as it is.
    """
    from annex_bootstrap.annexes import users
    from annex_bootstrap.aws import connect
    from annex_bootstrap.pool import config_file
    from annex_bootstrap.pool.file_knobs import ACCESS_KEY_KNOB, SECRET_KEY_KNOB, write_knobs
    from annex_bootstrap.stack.read import find_deployed
    from annex_contract.stack import Output

    account = connect(region, profile)
    path = config_file.find_file(config)
    files = users.KeyFiles.below(directory, account.region)
    knobs: dict[str, str | None] = {ACCESS_KEY_KNOB: str(files.access), SECRET_KEY_KNOB: str(files.secret)}
    if action == "from-instance":
        write_knobs(path, account.region, dict.fromkeys(knobs, users.FROM_INSTANCE))
        screen.say(f"{path}: condor_annex takes the role of the EC2 machine that it runs on.")
        screen.document({"user": None, "config": str(path)})
        return
    user = users.AnnexUser(account, user_name or users.default_user_name(stack_name, account.region), files)
    if action == "remove":
        screen.say(f"Deletes the IAM user {user.name} with its keys, and the files that hold them.")
        if not (yes or screen.confirm("Go ahead?", default=False)):
            screen.say("Nothing was changed.")
            screen.document({"user": user.name, "removed": False})
            return
        existed = user.remove()
        write_knobs(path, account.region, dict.fromkeys(knobs))
        screen.say(f"The IAM user {user.name} {'is deleted' if existed else 'did not exist'}.")
        screen.document({"user": user.name, "removed": existed})
        return
    stack = find_deployed(account, stack_name)
    policy_arn = stack.outputs[Output.ANNEX_USER_POLICY_ARN]
    if action == "rotate":
        deleted = user.rotate(stack.stack_id, policy_arn)
        screen.say(f"The IAM user {user.name} has a new key; deleted: {', '.join(deleted) or 'none'}.")
    elif user.set_up(stack.stack_id, policy_arn):
        screen.say(f"The IAM user {user.name} has a new key and one policy: {policy_arn}.")
        screen.say("It may take AWS some seconds to know the key everywhere.")
    else:
        screen.say(f"The IAM user {user.name} already has its key here.")
    write_knobs(path, account.region, knobs)
    screen.say(f"  key ID  {files.access}")
    screen.say(f"  secret  {files.secret}")
    screen.say(f"  knobs   {path}")
    screen.document(
        {
            "user": user.name,
            "access_key_id": files.key_id(),
            "access_key_file": str(files.access),
            "secret_key_file": str(files.secret),
            "config": str(path),
        }
    )


@policy.command(name="operator")
@aws_options
def operator(region: str | None, profile: str | None, stack_name: str) -> None:
    """Print the least policy with which credentials, fleet-config, leases and doctor work."""
    from annex_bootstrap.aws import connect
    from annex_bootstrap.policies.operator import operator_policy

    account = connect(region, profile)
    click.echo(json.dumps(operator_policy(account.partition, account.account_id, stack_name), indent=2))
