"""The built template: where it is, and how to read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from annex_bootstrap.errors import UserError
from annex_contract.stack import TEMPLATE_NAME

Template = Mapping[str, Any]


def built_template() -> str:
    """Return the template that comes with this version: inside the installed package, or in a checkout's ``dist/``.

    Raises:
        UserError: this is a checkout in which nothing has been built yet.
    """
    try:
        return template_path().read_text()
    except FileNotFoundError as error:
        raise UserError(f"{TEMPLATE_NAME} is not built yet: run python build.py first") from error


def template_path() -> Path:
    """Return where the built template is, or will be."""
    # Both are files: a wheel is unpacked when it is installed.
    packaged = Path(str(resources.files("annex_bootstrap"))) / "data" / TEMPLATE_NAME
    return packaged if packaged.is_file() else Path(__file__).parents[2] / "dist" / TEMPLATE_NAME


def parse_template(text: str) -> Template:
    """Return the template as data."""
    template: Template = json.loads(text)
    return template
