"""``build.py``: the same bytes everywhere, within AWS's limits, and functions that start in Lambda's runtime."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import build
from annex_bootstrap.launch.verify import read_code
from annex_contract.stack import TEMPLATE_NAME
from template_gen.template import build_text

ROOT = Path(__file__).parent.parent.parent
SOURCES = [
    *("annex_bootstrap", "annex_contract", "custom_resources", "lambda_connectivity", "lambda_lease"),
    *("machine_image", "template_gen"),
    "build.py",
]

RUNTIME_PACKAGES = ["boto3", "botocore", "jmespath", "dateutil", "s3transfer", "six.py", "urllib3"]
"""What Lambda's Python runtimes bring along: https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html"""

START = """
import json, sys
sys.path[1:] = [path for path in sys.path[1:] if "site-packages" not in path]
sys.path.append({packages!r})
with open({code!r}) as file:
    code = file.read()
namespace = {{}}
exec(compile(code, "index.py", "exec"), namespace)
embedded = "crhelper", "aws_lambda_powertools", "typing_extensions", "lambda_lease", "machine_image"
print(json.dumps({{
    "module": namespace["handler"].__module__,
    "foreign": [
        name for name, module in sys.modules.items()
        if name.split(".")[0] in embedded and type(module.__loader__) is not namespace["Archive"]
    ],
}}))
"""


BUILD = """
import runpy, sys
# Not there when pip builds the wheel: None makes an import fail.
sys.modules.update(dict.fromkeys(("boto3", "botocore", "click", "rich", "ministack", "trustme")))
runpy.run_path({path!r}, run_name="__main__")
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the template, built in a copy of the sources, run from another directory."""
    copy = tmp_path_factory.mktemp("copy")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    subprocess.run(
        [sys.executable, "-c", BUILD.format(path=str(copy / "build.py"))],
        cwd="/",
        env=os.environ | {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C"},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return copy / "dist" / TEMPLATE_NAME


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the packages of Lambda's runtime and no others."""
    directory = tmp_path_factory.mktemp("runtime")
    site = Path(str(metadata.distribution("boto3").locate_file(".")))
    for name in RUNTIME_PACKAGES:
        (directory / name).symlink_to((site / name).resolve())
    return directory


def functions() -> list[str]:
    return list(read_code(build_text()))


def test_every_directory_gives_the_same_bytes(built: Path) -> None:
    assert built.read_text() == build_text()


@pytest.mark.parametrize("title", functions())
def test_a_function_starts_with_nothing_but_its_archive_and_lambdas_runtime(
    title: str, built: Path, runtime: Path, tmp_path: Path
) -> None:
    (tmp_path / "code").write_text(read_code(built.read_text())[title])
    code = START.format(packages=str(runtime), code=str(tmp_path / "code"))
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        env={"AWS_REGION": "us-east-1", "POWERTOOLS_METRICS_NAMESPACE": "Test"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["foreign"] == []
    # A custom resource whose archive does not load falls back to a handler of its own, in "index".
    assert said["module"].startswith(("custom_resources.", "lambda_"))


def test_a_build_above_70_percent_of_a_limit_fails_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "TEMPLATE_LIMIT", 200_000)
    assert build.main() == 1
    assert f"above 70% of AWS's limit: {TEMPLATE_NAME}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dist").touch()
    monkeypatch.setattr(build, "ROOT", tmp_path)
    assert build.main() == 1
    assert capsys.readouterr().err == (
        f"build.py: {tmp_path}/dist cannot be written: File exists; build in a copy of this directory that is yours\n"
    )


def test_the_report_names_every_function_with_its_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "ROOT", tmp_path)
    assert build.main() == 0
    report = capsys.readouterr().out
    for title in functions():
        assert title in report
    assert f"{(tmp_path / 'dist' / TEMPLATE_NAME).stat().st_size:,} bytes" in report


def test_an_altered_library_is_not_embedded(tmp_path: Path) -> None:
    for part in ("crhelper", f"crhelper-{metadata.version('crhelper')}.dist-info"):
        shutil.copytree(str(metadata.distribution("crhelper").locate_file(part)), tmp_path / part)
    with (tmp_path / "crhelper" / "utils.py").open("a") as file:
        file.write("STOLEN = True\n")
    before = {path.name: path.read_bytes() for path in (ROOT / "dist").iterdir() if path.is_file()}
    built = subprocess.run(
        [sys.executable, str(ROOT / "build.py")],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 1
    assert built.stderr.startswith("build.py: crhelper/utils.py of crhelper ")
    assert len(built.stderr.splitlines()) == 1
    assert {path.name: path.read_bytes() for path in (ROOT / "dist").iterdir() if path.is_file()} == before


def test_every_requirement_of_the_build_is_locked_with_hashes() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    local = tomllib.loads((ROOT / "local_aws" / "pyproject.toml").read_text())
    wanted = [
        *project["build-system"]["requires"],
        *project["project"]["optional-dependencies"]["dev"],
        *project["project"]["dependencies"],
        *local["project"]["dependencies"],
    ]
    locked = re.findall(r"^([a-z0-9-]+)==(\S+).*?\\\n    --hash=sha256:[0-9a-f]{64}", lock, flags=re.MULTILINE)
    versions = dict(locked)
    assert len(locked) == len(re.findall(r"^[a-z0-9]", lock, flags=re.MULTILINE))
    for requirement in wanted:
        name, _, version = re.fullmatch(r"([a-z0-9-]+)(?:\[.*\])?(==|>=)(\S+)", requirement).groups()  # type: ignore[union-attr]  # ours
        if name != "annex-bootstrap":
            assert name in versions, requirement
            assert "==" not in requirement or versions[name] == version, requirement
    assert "://" not in lock
