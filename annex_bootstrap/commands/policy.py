"""``policy``: the IAM policies that an administrator grants."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from annex_bootstrap.aws import explained
from annex_bootstrap.console.command import Command, Family
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.options import ONE_REGION, PARAMETERS, boundary_option
from annex_bootstrap.policies.boundary import boundary
from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.key import key_policy
from annex_bootstrap.policies.limits import INLINE_POLICY_LIMIT, check_boundary, size, split
from annex_bootstrap.policies.operator import operator_policy
from annex_bootstrap.policies.people import people_policy
from annex_bootstrap.policies.roles import DEPLOY_POLICY, RolesTemplate
from annex_bootstrap.stack.read import find_deployed
from annex_bootstrap.stack.template import built_template, parse_template
from annex_bootstrap.target import Target
from annex_contract.boundaries import Holder, boundary_name
from annex_contract.image import IMAGE_YES
from annex_contract.keys import KEY_PATTERN
from annex_contract.stack import STACK_TAG, LogicalId, Output, Parameter

UNBOUNDED = (
    "holders of this policy can make themselves administrators of the account; "
    "with --boundary they cannot, if the holders of the stack's policies have a boundary too (see annex-bootstrap "
    "policy boundary)"
)

OWN = (
    "make a managed policy of this with a name of your own and without a path, and grant it in place of the stack's, "
    "which anyone who deploys the stack can rewrite; print it again after each deploy and image rebuild"
)


def print_boundary(
    screen: Screen, target: Target, holder: str, key: str, bucket: str, *, condor_annex: bool = False
) -> None:
    """Print the permissions boundary of a stack's ``roles`` or ``users``.

    Raises:
        UserError: there are no credentials, our stacks cannot have that name, or ``condor_annex`` is set for users.
    """
    account, chosen = target.connect(), Holder(holder)
    policy = boundary(
        account.partition, account.account_id, chosen, target.stack_name, key, bucket, condor_annex=condor_annex
    )
    screen.warn(f"name this managed policy {boundary_name(chosen, target.stack_name)}")
    screen.result(json.dumps(policy, indent=2) + "\n")


def print_key(screen: Screen, target: Target) -> None:
    """Print the policy that the key of the parameter KmsKeyArn needs."""
    account = target.connect()
    screen.warn("keep what the key's policy says besides, such as who administers it")
    policy = key_policy(account.partition, account.account_id, account.region, target.stack_name)
    screen.result(json.dumps(policy, indent=2) + "\n")


def print_deployer(screen: Screen, target: Target, boundary: str, part: int | None) -> None:
    """Print the policy for ``deploy`` and what goes with it.

    Raises:
        UserError: there are no credentials, our stacks cannot have that name, or there is no such part.
    """
    account = target.connect()
    check_boundary(account, boundary)
    _print(screen, deployer_policy(account.partition, account.account_id, target.stack_name, boundary), boundary, part)


def print_roles(screen: Screen, target: Target, parameters: Mapping[str, str]) -> None:
    """Print the template of the roles and policies of a stack, which an administrator makes for a guest.

    Raises:
        UserError: there are no credentials, our stacks cannot have that name, or a parameter is not allowed.
    """
    if Parameter.GIVEN_ROLES in parameters:
        raise UserError(f"{Parameter.GIVEN_ROLES} is what this prints: give the stack's other parameters")
    account = target.connect()
    check_boundary(account, parameters.get(Parameter.PERMISSIONS_BOUNDARY_ARN, ""))
    roles = RolesTemplate(
        parse_template(built_template()),
        account.partition,
        account.account_id,
        account.region,
        target.stack_name,
        parameters,
    )
    make = ["aws", "cloudformation", "deploy", "--region", account.region, "--stack-name", f"{target.stack_name}-roles"]
    screen.warn(
        "an administrator saves this as roles.json and runs: "
        f"{shlex.join([*make, '--template-file', 'roles.json', '--capabilities', 'CAPABILITY_NAMED_IAM'])}"
    )
    screen.warn(f"the deployer gets its policy {DEPLOY_POLICY}, and then runs: {roles.command()}")
    screen.result(roles.text())


def print_operator(screen: Screen, target: Target, boundary: str, key: str, part: int | None) -> None:
    """Print the policy for ``credentials`` and what goes with it.

    Raises:
        UserError: there are no credentials, our stacks cannot have that name, or there is no such part.
    """
    account = target.connect()
    check_boundary(account, boundary)
    policy = operator_policy(account.partition, account.account_id, target.stack_name, boundary, key)
    _print(screen, policy, boundary, part)


def print_people(screen: Screen, target: Target, policy: LogicalId) -> None:
    """Print one of the stack's policies for people, as this version has it, for an administrator to own.

    Raises:
        UserError: there is no such stack or policy, something of it is not the stack's own, or AWS refused.
    """
    account = target.connect()
    stack = find_deployed(account, target.stack_name)
    group = stack.outputs[Output.SECURITY_GROUP_ID]
    made = [group, *(stack.outputs[output] for output in (Output.LAUNCH_TEMPLATE_ID,) if output in stack.outputs)]
    if stack.parameters.get(Parameter.IMAGE) == IMAGE_YES:
        made.append(stack.outputs[Output.IMAGE_ID])
    with explained(f"reading whose {' and '.join(made)} are"):
        ec2 = account.ec2
        tags = ec2.describe_tags(
            Filters=[{"Name": "resource-id", "Values": made}, {"Name": "key", "Values": [STACK_TAG]}]
        )["Tags"]
        ours = {tag["ResourceId"] for tag in tags if tag["Value"] == stack.stack_id}
        if foreign := [each for each in made if each not in ours]:
            raise UserError(
                f"the stack {stack.name} names {foreign[0]}, which is not its own: nothing was printed; ask those who "
                "can change the stack, then run annex-bootstrap deploy"
            )
        vpc = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["VpcId"]
    document = people_policy(parse_template(built_template()), stack, vpc, policy)
    if stack.parameters.get(Parameter.FLEET_ROLE_NAME) and policy is LogicalId.ANNEX_USER_POLICY:
        screen.warn(f"its holders can pass {stack.outputs[Output.IAM_FLEET_ROLE_ARN]}: see what that role may do")
    screen.warn(OWN)
    screen.result(json.dumps(document, indent=2) + "\n")


def _print(screen: Screen, policy: dict[str, Any], boundary: str, part: int | None) -> None:
    parts = split(policy)
    if part is not None and part > len(parts):
        raise UserError(f"there is no part {part}: the policy has {len(parts)}")
    if not boundary:
        screen.warn(UNBOUNDED)
    if part is None and len(parts) > 1:
        screen.warn(f"too long for one managed policy: make {len(parts)} of --part 1 to --part {len(parts)}")
    shown = policy if part is None else parts[part - 1]
    if size(shown) > INLINE_POLICY_LIMIT:
        screen.warn(f"too long for a user's inline policy ({INLINE_POLICY_LIMIT:,} characters): make a managed policy")
    screen.result(json.dumps(shown, indent=2) + "\n")


BOUNDARY = boundary_option("--boundary", "The boundary of every role or user that this policy's holder makes.")


def _parse_key(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if value and not re.fullmatch(KEY_PATTERN, value):
        raise click.BadParameter(f"{value!r} is not the ARN of a key, such as arn:aws:kms:REGION:ACCOUNT:key/ID")
    return value


KEY = click.Option(
    ["--key"], default="", metavar="ARN", callback=_parse_key, help="The key that the stack has as KmsKeyArn."
)

BUCKET = click.Option(["--bucket"], default="", metavar="NAME", help="The bucket that the stack has as BucketName.")

CONDOR_ANNEX = click.Option(
    ["--condor-annex"],
    is_flag=True,
    help="With --for roles: condor_annex is used with this stack. It tags neither leases nor spot fleets, so the roles "
    "can then end those of others, too, that have no stack's tag.",
)

PART = click.Option(["--part"], type=click.IntRange(min=1), help="Print this part: each fits into a managed policy.")

command = Family(
    "policy",
    help="""Print IAM policies for an administrator to grant.

    setup needs both deployer and operator. start and watch need neither, but the managed policy that the stack's output
    StartPolicyARN names. Anyone who deploys the stack can rewrite that policy and AnnexUserPolicy: give each of their
    holders a permissions boundary, or grant what start or user prints in their place.
    """,
)
command.add_command(
    Command(
        "boundary",
        print_boundary,
        *ONE_REGION,
        click.Option(
            ["--for", "holder"],
            required=True,
            type=click.Choice(["roles", "users"]),
            help="roles: of the stack's roles, for deploy. users: of its annex users, for credentials.",
        ),
        KEY,
        BUCKET,
        CONDOR_ANNEX,
        help="""Print a permissions boundary, the most that a stack's roles or users can ever do, for an administrator.

        It is for the stack of that name, and lets nobody reach another one. It must have the name that is printed too:
        by that the stack knows its own boundary, and gives its roles names by which the boundary knows them.
        """,
    )
)
for name, logical_id, commands in (
    ("start", LogicalId.START_POLICY, "start, leases and watch"),
    ("user", LogicalId.ANNEX_USER_POLICY, "condor_annex"),
):
    command.add_command(
        Command(
            name,
            partial(print_people, policy=logical_id),
            *ONE_REGION,
            help=f"""Print what a stack's {logical_id} allows, for {commands}, for an administrator to own.

            The deployer of the stack can rewrite {logical_id}; this policy is out of their reach. It names the stack's
            image and launch template, so print it again after each deploy and image rebuild.
            """,
        )
    )
command.add_command(
    Command(
        "deployer",
        print_deployer,
        *ONE_REGION,
        BOUNDARY,
        PART,
        help="Print the minimal policy with which deploy, status, pull-config and delete work.",
    )
)
command.add_command(
    Command(
        "operator",
        print_operator,
        *ONE_REGION,
        BOUNDARY,
        KEY,
        PART,
        help="Print the minimal policy with which credentials, fleet-config, leases and doctor work.",
    )
)
command.add_command(
    Command(
        "roles",
        print_roles,
        *ONE_REGION,
        PARAMETERS,
        help="""Print a template with a stack's roles and policies, for an administrator to make once.

        Anyone who then deploys that stack with the parameter GivenRoles needs no right of IAM but PassRole. Give it the
        same parameters as the stack. It is for one region; the stack never changes or deletes what it makes.
        """,
    )
)
command.add_command(
    Command(
        "key",
        print_key,
        *ONE_REGION,
        help="Print the policy of a key of KMS with which deploy --param KmsKeyArn=ARN works.",
    )
)
