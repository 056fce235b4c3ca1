"""``rehearse``: the whole life of a stack on a local AWS, under an institution's own documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import click

from annex_bootstrap.commands.local import local_extra
from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.launch.launch_links import REGIONS
from annex_bootstrap.machines.tags import tag_parameters
from annex_bootstrap.options import PARAMETERS, STACK_TAGS, complete_region
from annex_bootstrap.policies.rehearsed import Denial, Kind, Page, Rights, Step, read_document
from annex_bootstrap.stack.template import built_template, check_parameters, parse_template
from annex_contract.stack import Parameter

REGION = "us-east-1"


@dataclass(frozen=True)
class RehearsalResult(Result):
    """What an institution's documents deny in the life of a stack.

    Attributes:
        region: of the local AWS.
        documents: the files, by kind.
        steps: what was done, with the denials that were noted and set aside.
        summary: what the stack is, for the person who signs; None where it was not deployed.
        unseen_keys: condition keys of the documents that no call had a value for, with their files: what they decide,
            only AWS can show.
        left: what remained after the stack was deleted.
    """

    region: str
    documents: Mapping[str, tuple[str, ...]]
    steps: tuple[Step, ...]
    summary: Page | None
    unseen_keys: Mapping[str, tuple[str, ...]]
    left: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was denied, failed or remained."""
        return not self.left and not any(step.denials or step.error for step in self.steps)


def rehearse(
    screen: Screen,
    scps: tuple[Path, ...] = (),
    boundary: Path | None = None,
    policies: tuple[Path, ...] = (),
    tag_policies: tuple[Path, ...] = (),
    parameters: Mapping[str, str] | None = None,
    tags: tuple[str, ...] = (),
    region: str = REGION,
    *,
    given_roles: bool = False,
) -> RehearsalResult:
    """Run the life of a stack under documents, and print what they deny and what the stack is.

    Args:
        screen: where to print.
        scps: the files of service control policies, which hold for everybody in the account.
        boundary: the file of the boundary of every role that the stack makes.
        policies: the files of what the deployer may do; without one, what ``policy deployer`` prints.
        tag_policies: the files of tag policies.
        parameters: of the stack.
        tags: of all that is made, as ``deploy`` takes them.
        region: where.
        given_roles: whether an administrator makes the roles before the documents hold.

    Raises:
        click.UsageError: a boundary is given twice.
        DocumentError: a file is not such a document.
        UserError: the local AWS is not installed, or a parameter is wrong.
    """
    given = dict(parameters or {})
    if boundary and given.get(Parameter.PERMISSIONS_BOUNDARY_ARN):
        raise click.UsageError(f"give either --boundary or the parameter {Parameter.PERMISSIONS_BOUNDARY_ARN}")
    documents = [
        read_document(kind, file)
        for kind, files in (
            (Kind.SCP, scps),
            (Kind.BOUNDARY, (boundary,) if boundary else ()),
            (Kind.POLICY, policies),
            (Kind.TAG_POLICY, tag_policies),
        )
        for file in files
    ]
    if Parameter.GIVEN_ROLES in given:
        raise click.UsageError(f"give --given-roles instead of the parameter {Parameter.GIVEN_ROLES}")
    given |= tag_parameters(tags)
    check_parameters(parse_template(built_template()), given)
    with local_extra():
        from local_aws.rehearsal.life import rehearse as run
    named = ", ".join(str(each.file) for each in documents)
    screen.say(f"Rehearses on a local AWS in {region}, under {named or 'no documents'}. No account is touched.")
    screen.say("A denied call is noted and then made all the same, so that what comes after it is tried too.")
    done = run(documents, given, region, lambda step: _tell(screen, step), given_roles=given_roles)
    if done.page and all(step.name != "start" for step in done.steps):
        screen.say("Nothing was started: a stack with Image=no has no image, and no annex-bootstrap start.")
    for key, files in done.unseen.items():
        screen.say(f"Only AWS can show what {key} decides ({', '.join(files)}): no call here had a value for it.")
    for each in done.left:
        screen.fail(f"left over: {each}")
    if done.page:
        _show(screen, done.page)
    listed: dict[str, tuple[str, ...]] = {
        kind.value: tuple(str(each.file) for each in documents if each.kind is kind) for kind in Kind
    }
    return RehearsalResult(region, listed, done.steps, done.page, done.unseen, done.left)


def _tell(screen: Screen, step: Step) -> None:
    said = "failed" if step.error else "done"
    denied = f", {len(step.denials)} denied" if step.denials else ""
    screen.item(step.name, [f"{said}{denied}", *denial_lines(step.denials)], bold=True)
    if step.error:
        screen.fail(f"{step.name} failed: {step.error}")


def denial_lines(denials: Sequence[Denial]) -> list[str]:
    """Return a line for each statement that denies somebody something, with the calls and the types of resources."""
    lines: dict[str, dict[str, list[str]]] = {}
    for denial in denials:
        by = f"statement {denial.statement} denies" if denial.statement else "no statement allows"
        calls = lines.setdefault(f"{denial.file} ({denial.document_kind}), {by} {denial.who}", {})
        calls.setdefault(denial.call, []).append(denial.resource_type)
    return [
        f"{head}: {', '.join(f'{call} ({types})' for call, types in _joined(calls))}" for head, calls in lines.items()
    ]


def _joined(calls: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    return [(call, " and ".join(types)) for call, types in calls.items()]


def _show(screen: Screen, page: Page) -> None:
    screen.say()
    screen.say("For the person who signs", bold=True)
    screen.say("Created:")
    for what, count in page.resources.items():
        screen.say(f"  {count} {what}")
    screen.say("Rights, and who needs them for what (docs/permissions.md has the resources and conditions of each):")
    for rights in page.rights:
        screen.say(f"  {rights.name}: {rights.purpose}")
        screen.say(f"    {_by_service(rights)}")
    for heading, lines in (("Open ports:", page.ports), ("Data:", page.data), ("What ends what:", page.ends)):
        screen.say(heading)
        for line in lines:
            screen.say(f"  {line}")


def _by_service(rights: Rights) -> str:
    """Return the actions of a role, sorted, with each service named once."""
    actions = sorted({action for listed in rights.actions.values() for action in listed})
    services = groupby(actions, lambda action: action.partition(":")[0])
    return "; ".join(f"{name}: {' '.join(action.partition(':')[2] for action in each)}" for name, each in services)


def _check_region(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if value not in {region.name for region in REGIONS if not region.name.startswith(("cn-", "us-gov-"))}:
        raise click.BadParameter(f"{value!r} is not a region of the local AWS: type one such as us-west-2")
    return value


def _files(name: str, argument: str, text: str) -> click.Option:
    return click.Option(
        [name, argument], multiple=True, type=click.Path(path_type=Path), metavar="FILE", help=f"{text}; repeatable."
    )


command = Command(
    "rehearse",
    rehearse,
    _files("--scp", "scps", "A service control policy of the organisation"),
    click.Option(
        ["--boundary"],
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The permissions boundary of every role that the stack makes.",
    ),
    _files("--policy", "policies", "What the deployer may do, instead of what policy deployer prints"),
    _files("--tag-policy", "tag_policies", "A tag policy of the organisation"),
    PARAMETERS,
    STACK_TAGS,
    click.Option(
        ["--region"],
        default=REGION,
        show_default=True,
        metavar="REGION",
        callback=_check_region,
        shell_complete=complete_region,
        help="Region that the local AWS plays.",
    ),
    click.Option(
        ["--given-roles"],
        is_flag=True,
        help="An administrator first makes the roles of what policy roles prints.",
    ),
    *OUTPUT,
    help="""Rehearse the life of a stack on a local AWS, under an institution's own documents.

    Deploys, rebuilds the image, starts a machine, ends its lease, updates and deletes, and says which call which
    statement of which file denies. A denied call is noted and then made all the same, so one run finds all of them.
    At the end: one page for the person who signs. Needs no AWS account and touches none.

    Exits with 0 if nothing is denied, else with 1; with 2 if a file is not such a document.
    """,
)
