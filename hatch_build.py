"""Put the built files into the wheel as data of ``annex_bootstrap``, so that an installed client needs no checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface[Any]):
    """Run ``build.py`` before a wheel is made. An editable install reads the checkout's ``dist/`` instead."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and name the built file for the wheel.

        Args:
            version: ``standard`` or ``editable``.
            build_data: what hatchling puts into the wheel; changed in place.
        """
        if version == "editable":
            return
        root = Path(self.root)
        subprocess.run([sys.executable, str(root / "build.py")], check=True)
        name = "annex-bootstrap.template.json"
        build_data["force_include"][str(root / "dist" / name)] = f"annex_bootstrap/data/{name}"
