"""The limits of a stack on all its machines together, as its parameters give them. Pure.

A machine counts by its instance profile, which is the stack's, and never by its tags, which people choose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from typing import Self

from annex_contract.stack import Parameter

PARAMETERS = (Parameter.MAX_CORES, Parameter.INSTANCE_TYPES, Parameter.MAX_DOLLARS_PER_HOUR)
"""The parameters; each is empty for no limit."""


class UnreadableLimitsError(ValueError):
    """A limit is not what the template lets somebody type."""


@dataclass(frozen=True)
class Limits:
    """What the machines of a stack may have.

    Attributes:
        cores: vCPUs of all; None for no limit.
        types: patterns of instance types, such as ``c7i.*``, with ``*`` and ``?`` as in IAM; none for no limit.
        dollars: an hour, of all, by the price of their types on demand; None for no limit.
    """

    cores: int | None = None
    types: tuple[str, ...] = ()
    dollars: Decimal | None = None

    @classmethod
    def read(cls, values: Mapping[str, str]) -> Self:
        """Read the limits.

        Args:
            values: of the parameters, by their names; a missing one is empty.

        Raises:
            UnreadableLimitsError: one cannot be read.
        """
        cores, types, dollars = (values.get(name, "") for name in PARAMETERS)
        try:
            read = cls(
                int(cores) if cores else None,
                tuple(filter(None, types.split(","))),
                Decimal(dollars) if dollars else None,
            )
        except (ValueError, InvalidOperation) as error:
            raise UnreadableLimitsError(f"{cores!r}, {dollars!r}: {error}") from error
        return read

    def allows(self, instance_type: str) -> bool:
        """Return whether a machine may be of a type."""
        return not self.types or any(fnmatchcase(instance_type, pattern) for pattern in self.types)


NO_LIMITS = Limits()
