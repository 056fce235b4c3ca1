"""``demo``: everything, on a local AWS."""

from __future__ import annotations

from annex_bootstrap.commands.local import local_extra
from annex_bootstrap.console.command import Command
from annex_bootstrap.console.screen import Screen


def demo(screen: Screen) -> None:
    """Demonstrate everything; the walkthrough prints by itself.

    Raises:
        UserError: the extra is not installed, or a step failed.
    """
    del screen
    with local_extra():
        from local_aws.demo.walkthrough import run
    run()


command = Command(
    "demo",
    demo,
    help="""Demonstrate everything on a local AWS: setup, start, watch, the end of a lease, delete.

    Needs no AWS account and touches none. Every AWS call is a real one, over TLS and with IAM enforced, to a
    server that is started for the demo and ends with it.
    """,
)
