"""Install what ``make packages`` built into empty environments, without a network, and use it.

Run as ``python -m tests.packages``. Only the download of the packages that ours depend on asks an index.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from annex_contract import __version__
from annex_contract.stack import TEMPLATE_NAME

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "dist" / "packages"
CLIENT = PACKAGES / f"annex_bootstrap-{__version__}-py3-none-any.whl"
LOCAL = PACKAGES / f"annex_bootstrap_local-{__version__}-py3-none-any.whl"
SOURCES = PACKAGES / f"annex_bootstrap-{__version__}.tar.gz"


def run(*command: str | Path, home: Path) -> str:
    """Run a command in an empty folder and home, and return what it prints; what it says of an error is shown.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    for name in ("PIP_CONFIG_FILE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "SSL_CERT_FILE"):
        environment |= {name: os.environ[name]} if name in os.environ else {}
    return subprocess.run(command, cwd=home, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def try_it(folder: Path, house: Path, *what: str | Path) -> Path:
    """Install packages into an empty environment, from a folder of files alone, and return the installed command.

    Args:
        folder: where the environment is made.
        house: the files that the packages are installed from.
        what: the packages, as pip is told.
    """
    python = folder / "venv" / "bin" / "python"
    run(sys.executable, "-m", "venv", folder / "venv", home=folder)
    install = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index", "--find-links", house)
    run(python, *install, *what, home=folder)
    command = python.with_name("annex-bootstrap")
    assert run(command, "--version", home=folder).strip() == f"annex-bootstrap, version {__version__}"
    # Fails where the installed package carries another template.
    run(command, "template", "verify", ROOT / "dist" / TEMPLATE_NAME, home=folder)
    return command


def main() -> int:
    """Try the sdist, and both wheels together with their demo."""
    with tempfile.TemporaryDirectory() as made:
        house, sources, wheels = (Path(made, name) for name in ("house", "sources", "wheels"))
        for folder in (house, sources, wheels):
            folder.mkdir()
        download = ("-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--dest", house)
        run(sys.executable, *download, CLIENT, LOCAL, "hatchling==1.27.0", home=house)
        try_it(sources, house, SOURCES)
        sys.stdout.write(f"{SOURCES.name}: installed, carries the template\n")
        command = try_it(wheels, house, CLIENT, LOCAL)
        demo = run(command, "demo", home=wheels)
        assert demo, "the demo printed nothing"
        sys.stdout.write(f"{CLIENT.name} and {LOCAL.name}: installed, the demo ran\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
