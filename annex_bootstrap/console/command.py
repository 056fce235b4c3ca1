"""A command of the command line: a plain function, and the options that become its arguments."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import click
from click.core import ParameterSource

from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.target import Target

Action = Callable[..., Result | None]
"""What a command does: takes ``screen``, ``target`` if the command names a stack, and an argument for each option.

It raises `UserError` where it fails, and returns what it did, or None where it prints and has no JSON document.
"""


class Command(click.Command):
    """A command that calls its action with the options' values.

    The action is an ordinary function, so that tests and other commands call it without a command line.
    """

    def __init__(self, name: str, action: Action, *options: click.Parameter, help: str) -> None:  # noqa: A002 (as click names it)
        """Make the command.

        Args:
            name: what people type.
            action: does it.
            options: each declared here and nowhere else; its name is that of the action's argument.
            help: what ``--help`` prints.
        """
        super().__init__(name, callback=self.run, params=[*options], help=help)
        self.action = action

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Note which command it is and whether JSON is wanted, before anything can be wrong with the arguments."""
        _note_command(context, args)
        return super().parse_args(context, args)

    def run(self, **values: Any) -> None:
        """Call the action with the values of the options, print its JSON document and set the exit code."""
        context = click.get_current_context()
        screen = context.ensure_object(Screen)
        if "stack_name" in values:
            region = values.pop("region", None)
            values["target"] = Target(
                values.pop("stack_name"),
                values.pop("regions", (region,) if region else ()),
                values.pop("profile"),
                values.pop("config", None),
            )
        result = self.action(screen=screen, **values)
        if result is not None:
            screen.document(result)
            if not result.ok:
                sys.exit(1)


class Family(click.Group):
    """A group of commands that does nothing by itself; its errors name what it takes."""

    def __init__(self, name: str, **more: Any) -> None:
        """Make the group; the arguments are those of ``click.Group``."""
        super().__init__(name, **{"no_args_is_help": False} | more)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Note which command it is and whether JSON is wanted, before anything can be wrong with the arguments.

        Raises:
            click.UsageError: no command is named, and the group does nothing by itself.
        """
        _note_command(context, args)
        if not (args or self.invoke_without_command or context.resilient_parsing):
            raise click.UsageError(f"missing command. {context.command_path} takes {self._takes(context)}.", context)
        return super().parse_args(context, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments begin with; the error says that the group works without one."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            if error.possibilities:
                raise
            takes = f"{ctx.command_path} takes {self._takes(ctx)}."
            name = error.command_name
            raise click.exceptions.NoSuchCommand(name, f"No such command {name!r}. {takes}", ctx=ctx) from None

    def _takes(self, context: click.Context) -> str:
        return f"{', '.join(self.list_commands(context))}{', or nothing' if self.invoke_without_command else ''}"


class Group(Family):
    """A group of commands that does something by itself where no subcommand is named.

    Options may come before a subcommand's name or after it; those after it win.
    """

    def __init__(self, name: str, action: Action, *options: click.Parameter, help: str) -> None:  # noqa: A002 (as click names it)
        """Make the group; the arguments are those of `Command`."""
        super().__init__(name, callback=self._run, params=[*options], help=help, invoke_without_command=True)
        self.own = Command(name, action, *options, help=help)

    def _run(self, **values: Any) -> None:
        context = click.get_current_context()
        if context.invoked_subcommand is None:
            self.own.run(**values)
        else:
            context.default_map = {context.invoked_subcommand: values}


def _note_command(context: click.Context, args: list[str]) -> None:
    screen = context.ensure_object(Screen)
    screen.command = context.command_path.partition(" ")[2]
    screen.json |= "--output=json" in args or ("--output", "json") in pairwise(args)


def _choose(context: click.Context, option: click.Parameter, value: str) -> None:
    # A default must not undo what was given before a subcommand's name.
    if context.get_parameter_source(str(option.name)) is not ParameterSource.DEFAULT:
        context.ensure_object(Screen).json = value == "json"


def _be_quiet(context: click.Context, _option: click.Parameter, value: bool) -> None:
    context.ensure_object(Screen).quiet |= value


def _be_plain(context: click.Context, _option: click.Parameter, value: bool) -> None:
    context.ensure_object(Screen).plain |= value


PLAIN = click.Option(
    ["--plain"], is_flag=True, expose_value=False, callback=_be_plain, help="No live tables, for screen readers."
)

OUTPUT = (
    click.Option(
        ["--output"],
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        expose_value=False,
        callback=_choose,
        is_eager=True,
        help="json: print one document and nothing else.",
    ),
    click.Option(["--quiet"], is_flag=True, expose_value=False, callback=_be_quiet, help="Do not say what to do next."),
    PLAIN,
)
"""The options of what a command prints."""
