"""The two distributions: what each holds, and that they agree on one version."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from annex_contract import __version__
from hatch_build import CustomBuildHook

ROOT = Path(__file__).parent.parent.parent
PACKAGES = (
    *("annex_bootstrap", "annex_contract", "custom_resources", "lambda_connectivity", "lambda_lease", "local_aws"),
    *("machine_image", "template_gen"),
)
FILES = ("LICENSE", "README.md", "build.py", "hatch_build.py", "pyproject.toml")
CLIENT, LOCAL = "annex_bootstrap", "annex_bootstrap_local"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both wheels, by distribution, built without network from a copy of the sources."""
    directory = tmp_path_factory.mktemp("wheels")
    copy = directory / "copy"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, copy / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(directory)]
    subprocess.run([*pip, "wheel", *options, str(copy), str(copy / "local_aws")], check=True)
    return {wheel.name.split("-")[0]: wheel for wheel in directory.glob("*.whl")}


def project(path: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((path / "pyproject.toml").read_text())["project"]
    return table


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as file:
        return set(file.namelist())


def modules(*packages: str) -> set[str]:
    return {str(path.relative_to(ROOT)) for package in packages for path in (ROOT / package).rglob("*.py")}


def of_python(names: set[str]) -> set[str]:
    return {name for name in names if name.endswith(".py")}


def test_the_client_s_wheel_holds_the_client_the_contract_and_the_template(wheels: dict[str, Path]) -> None:
    names = contents(wheels[CLIENT])
    assert of_python(names) == modules("annex_bootstrap", "annex_contract")
    assert "annex_bootstrap/data/annex-bootstrap.template.json" in names


def test_the_local_aws_s_wheel_holds_the_local_aws_and_nothing_else(wheels: dict[str, Path]) -> None:
    names = contents(wheels[LOCAL])
    assert {name for name in names if ".dist-info/" not in name} == modules("local_aws")


def test_both_distributions_have_the_one_version_and_pin_each_other_to_it(wheels: dict[str, Path]) -> None:
    assert {wheel.name.split("-")[1] for wheel in wheels.values()} == {__version__}
    assert project(ROOT)["optional-dependencies"]["local"] == [f"annex-bootstrap-local=={__version__}"]
    assert f"annex-bootstrap=={__version__}" in project(ROOT / "local_aws")["dependencies"]


@pytest.mark.parametrize("command", ["demo", "local"])
def test_without_the_extra_a_command_says_in_one_line_what_to_install(
    command: str, wheels: dict[str, Path], tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheels[CLIENT]) as wheel:
        wheel.extractall(tmp_path)
    # The third-party packages are this environment's; its path files, which lead to the checkout, are not read.
    third_party = str(Path(pytest.__file__).parent.parent)
    code = (
        f"import sys; sys.path[1:1] = [{str(tmp_path)!r}]; sys.path.append({third_party!r});"
        f"from annex_bootstrap.main import main; sys.argv[1:] = [{command!r}]; sys.exit(main())"
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == (
        "annex-bootstrap: the local AWS is not installed: in the checkout, run pipx inject annex-bootstrap ./local_aws "
        "or pip install ./local_aws; without one, pip install 'annex-bootstrap[local]'; then try again\n"
    )


def hook(root: Path) -> CustomBuildHook:
    """Return the build hook for sources in a folder; it reads nothing else of what hatchling hands over."""
    unused: Any = None
    return CustomBuildHook(str(root), {}, unused, unused, str(root), "wheel")


def test_a_build_from_a_checkout_embeds_the_versions_that_are_tested(tmp_path: Path) -> None:
    needed = set(hook(tmp_path).dependencies())
    assert needed - set(project(ROOT)["optional-dependencies"]["dev"]) == {"jmespath>=1.0"}
    assert {name.partition("==")[0] for name in needed} > {"crhelper", "aws-lambda-powertools", "troposphere"}


def test_a_build_from_an_sdist_needs_nothing_more(tmp_path: Path) -> None:
    template = tmp_path / "annex_bootstrap" / "data" / "annex-bootstrap.template.json"
    template.parent.mkdir(parents=True)
    template.touch()
    assert hook(tmp_path).dependencies() == []


def test_an_installation_on_an_old_python_says_which_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    with pytest.raises(SystemExit, match=r"annex-bootstrap needs Python 3\.11 or later, and this is 3\.9"):
        hook(tmp_path).dependencies()
