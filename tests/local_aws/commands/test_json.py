"""Every command that has ``--output json`` prints one document of the shape that ``docs/json.md`` describes."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs_gen.json_page import results
from local_aws.launcher import LocalAws
from tests.local_aws.cli_user import CliUser
from tests.local_aws.conftest import make_home

pytestmark = pytest.mark.slow

NO_STACK = ("--stack-name", "missing")

DONE = {
    "credentials": ("--remove", "--yes"),
    "delete": (*NO_STACK, "--yes"),
    "deploy": (*NO_STACK, "--dry-run", "--param", "Image=no"),
    "costs": (),
    "doctor": (),
    "fleet-config": ("--print", "--types", "m7i.large", "--image-name", "al2023-ami-*"),
    "image status": (),
    "launch-url": ("--template-url", "https://example.org/t.json"),
    "leases": (),
    "leases end": ("--all", "--yes"),
    "pool-config": ("--print",),
    "publish": ("--bucket", "json-documents", "--create-bucket"),
    "pull-config": ("--check",),
    "status": (),
    "template verify": ("dist/annex-bootstrap.template.json",),
}
"""What gives a command with these arguments a result, whether it is well or not."""

FAILED = {
    "costs": ("--since", "0"),
    "credentials": NO_STACK,
    "deploy": ("--param", "Colour=red"),
    "doctor": ("--region", "nowhere-1"),
    "explain": ("twelve",),
    "fleet-config": ("--types", "no.type"),
    "forecast": (),
    "grow": ("--once",),
    "image rebuild": ("--yes", *NO_STACK),
    "image status": NO_STACK,
    "launch-url": ("--template-url", "http://example.org"),
    "leases": NO_STACK,
    "leases end": (),
    "leases extend": ("missing", "2h"),
    "pool-config": ("--collector", "no host"),
    "publish": ("--bucket", "json-documents-missing"),
    "pull-config": NO_STACK,
    "rehearse": ("--region", "mars"),
    "setup": ("--param", "Colour=red", "--yes"),
    "start": ("first", "--count", "1", "--yes", *NO_STACK),
    "status": ("--nonsense",),
    "template verify": ("missing.json",),
    "watch": ("missing",),
}
"""What makes a command fail."""


@pytest.mark.usefixtures("shared_stack")
@pytest.mark.parametrize(
    ("words", "arguments", "has_result"),
    [(words, arguments, made is DONE) for made in (DONE, FAILED) for words, arguments in made.items()],
)
def test_stdout_is_the_document_and_stderr_only_what_is_wrong(
    words: str, arguments: tuple[str, ...], has_result: bool, local: LocalAws, tmp_path: Path
) -> None:
    # What the user runs is held to the page.
    ran = CliUser(local, local.root, make_home(tmp_path)).run(*words.split(), *arguments, "--output", "json")
    assert ran.document["command"] == words
    assert (ran.document["result"] is not None) == has_result, ran
    lines = ran.stderr.splitlines()
    assert not lines or not ran.document["ok"] or all(line.startswith("annex-bootstrap: ") for line in lines), ran
    assert ran.document["error"] is None or ran.document["error"].split("\n")[0] in ran.stderr


def test_every_command_with_a_document_is_run() -> None:
    assert DONE.keys() | FAILED.keys() == results().keys()
