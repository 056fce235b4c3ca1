"""The errors that a person sees: what is wrong, where, and what to do next, in one sentence."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can fix. The command line prints its text and exits with ``exit_code``."""

    exit_code = 1


class CommandLineError(UserError):
    """What was typed cannot be right, whatever account, pool and files there are."""

    exit_code = 2


class UnavailableError(UserError):
    """A region cannot do what is asked; another one may."""


class AwsError(UnavailableError):
    """AWS refused a call, failed, or did not answer.

    Attributes:
        code: AWS's error code, such as ``ValidationError``; empty where there was no answer.
        reason: what AWS said.
        answered: whether the call certainly had no effect; False where the answer was lost or is a server's error.
    """

    def __init__(self, message: str, code: str, reason: str, *, answered: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.answered = answered


class DeniedError(AwsError):
    """The credentials in use may not make a call."""
