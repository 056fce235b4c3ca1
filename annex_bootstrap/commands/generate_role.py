"""``generate-role``: the role template of HTCondor's 8.7.0 guide."""

from __future__ import annotations

import json

import click

from annex_bootstrap.console.command import Command
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.policies.generate_role import role_template


def generate_role(screen: Screen, bucket: str, key: str) -> None:
    """Print the template.

    Raises:
        UserError: the bucket's name or the key is invalid.
    """
    screen.warn("the lease function of annex-bootstrap's own stack ends no machine with this role")
    screen.result(json.dumps(role_template(bucket, key), indent=2) + "\n")


command = Command(
    "generate-role",
    generate_role,
    click.Argument(["bucket"]),
    click.Argument(["key"]),
    help="""Print a template whose role lets machines read the object KEY in BUCKET and nothing else.

    It is a step of HTCondor's 8.7.0 guide, for pools that still follow it. The stack of annex-bootstrap deploy
    already has such a role, and its lease function does not end machines with any other. Needs no AWS.
    """,
)
