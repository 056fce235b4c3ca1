"""The commands of the documentation, run in order against the local AWS, as a reader would."""

from __future__ import annotations

import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from local_aws.launcher import local_aws
from tests.local_aws.examples import ROOT, make_shell

pytestmark = pytest.mark.slow

AWS = f"""#!{sys.executable}
import json, os, pathlib, sys
import boto3, botocore
service, operation, *options = sys.argv[1:]
client = boto3.client(service, region_name=os.environ["AWS_REGION"])
(name,) = [name for name in client.meta.service_model.operation_names if botocore.xform_name(name, "-") == operation]
given = dict(zip(options[::2], options[1::2], strict=True))
parameters = {{
    member: pathlib.Path(value.removeprefix("file://")).read_text() if value.startswith("file://") else value
    for member in client.meta.service_model.operation_model(name).input_shape.members
    if (value := given.pop("--" + botocore.xform_name(member, "-"), None)) is not None
}}
assert not given, given
print(json.dumps(getattr(client, botocore.xform_name(name))(**parameters), indent=4, default=str))
"""
"""AWS's own command line, as far as the pages use it: it takes names of operations and parameters from AWS's models."""


def _steps(page: str) -> list[tuple[str, list[str]]]:
    """Return the commands of a page's ``console`` blocks, with the output shown after them."""
    steps: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line.removeprefix("$ "), []))
            else:
                steps[-1][1].append(line)
    return steps


def _shows(printed: str, expected: list[str]) -> bool:
    """Tell whether the lines appear in that order; ``...`` matches anything, and on a line of its own any lines."""
    lines = iter(printed.splitlines())
    wanted = [line.replace("[", "[[]").replace("...", "*") for line in expected if line != "..."]
    return all(any(fnmatchcase(line, pattern) for line in lines) for pattern in wanted)


@pytest.mark.parametrize(
    ("page", "before"), [("guide", ""), ("security", ""), ("troubleshooting", "annex-bootstrap deploy --yes")]
)
@pytest.mark.usefixtures("template")
def test_the_commands_of_a_page_print_what_it_shows(page: str, before: str, tmp_path: Path) -> None:
    steps = _steps((ROOT / "docs" / f"{page}.md").read_text())
    assert steps
    with local_aws() as local:
        shell = make_shell(local, tmp_path)
        aws = tmp_path / "bin" / "aws"
        aws.write_text(AWS)
        aws.chmod(0o755)
        for command, expected in [*([(before, [])] if before else []), *steps]:
            printed = shell("root", f"cd {ROOT} && {command} && echo done")
            assert printed.endswith("done\n"), printed
            assert _shows(printed, expected), f"{command} printed:\n{printed}"
