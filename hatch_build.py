"""Put the built template into wheel and sdist as data of ``annex_bootstrap``: an installed client needs no checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "annex-bootstrap.template.json"
PACKAGED = f"annex_bootstrap/data/{NAME}"


class CustomBuildHook(BuildHookInterface[Any]):
    """Run ``build.py`` where the sources carry no template. An editable install reads the checkout's ``dist/``."""

    def dependencies(self) -> list[str]:
        """Return what building needs besides hatchling; an sdist carries the template, and needs nothing.

        Exits with one sentence on a Python that is too old: an installer asks here before it reads
        ``requires-python``, and would complain about one of these packages instead.
        """
        if sys.version_info < (3, 11):  # noqa: UP036  # installers run this with a Python that the project does not support
            sys.exit(
                "annex-bootstrap needs Python 3.11 or later, and this is "
                f"{sys.version_info[0]}.{sys.version_info[1]}: install it with a newer one, for example "
                "pipx install --python python3.12 ..."
            )
        if Path(self.root, PACKAGED).is_file():
            return []
        # The versions that are embedded, and what generates the template.
        return ["crhelper==2.0.12", "aws-lambda-powertools==3.37.0", "troposphere==4.11.1", "jmespath>=1.0"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and name the built file for the archive.

        Args:
            version: ``standard`` or ``editable``.
            build_data: what hatchling puts into the archive; changed in place.
        """
        if version == "editable" or Path(self.root, PACKAGED).is_file():
            return
        subprocess.run([sys.executable, str(Path(self.root, "build.py"))], check=True)
        build_data["force_include"][str(Path(self.root, "dist", NAME))] = PACKAGED
