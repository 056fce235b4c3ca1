"""What a process loads before commands are forked from it: our modules, besides AWS's models."""

from __future__ import annotations

import importlib
import pkgutil

import annex_bootstrap
import local_aws.preloaded  # noqa: F401 (for who is forked)

for _module in pkgutil.walk_packages(annex_bootstrap.__path__, "annex_bootstrap."):
    if not _module.name.endswith("__main__"):
        importlib.import_module(_module.name)
