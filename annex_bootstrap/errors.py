"""The errors that a person sees: what is wrong, where, and what to do next, in one sentence."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can fix. The command line prints its text and exits with ``exit_code``."""

    exit_code = 1


class DeniedError(UserError):
    """The credentials in use may not make a call."""
