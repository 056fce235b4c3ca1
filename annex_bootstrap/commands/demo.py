"""``annex-bootstrap demo``."""

from __future__ import annotations

import click

from annex_bootstrap.commands.local_extra import local_extra


@click.command(name="demo")
def command() -> None:
    """Demonstrate everything on a local AWS: deploy, two annexes, a lease that expires, delete.

    Needs no AWS account and touches none. Every AWS call is a real one, over TLS and with IAM enforced, to a
    server that is started for the demo and ends with it.
    """
    with local_extra():
        from local_aws.demo.walkthrough import run
    run()
