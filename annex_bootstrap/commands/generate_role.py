"""``annex-bootstrap generate-role``."""

from __future__ import annotations

import json

import click


@click.command(name="generate-role")
@click.argument("bucket")
@click.argument("key")
def command(bucket: str, key: str) -> None:
    """Print a template whose role lets machines read the object KEY in BUCKET and nothing else.

    It is a step of HTCondor's 8.7.0 guide, for pools that still follow it. The stack of annex-bootstrap deploy
    already has such a role. Needs no AWS.
    """
    from annex_bootstrap.policies.generate_role import role_template

    click.echo(json.dumps(role_template(bucket, key), indent=2))
