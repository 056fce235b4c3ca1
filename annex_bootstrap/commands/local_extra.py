"""The extra ``local``, which holds the local AWS; only ``demo`` and ``local`` need it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from annex_bootstrap.errors import UserError

MODULES = {"local_aws", "ministack", "trustme"}


@contextmanager
def local_extra() -> Iterator[None]:
    """Guard the import of the local AWS.

    Raises:
        UserError: the extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in MODULES:
            raise
        raise UserError(
            "the local AWS is not installed: run pip install 'annex-bootstrap[local]', then try again"
        ) from error
