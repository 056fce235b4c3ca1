"""The command line: what each command takes, and what its action gets of it. No action runs here."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from annex_bootstrap import options
from annex_bootstrap.commands.credentials import Action
from annex_bootstrap.console.command import Command, Group
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.main import commands
from annex_bootstrap.policies.starters import Starter
from annex_bootstrap.target import Target


def walk(group: click.Group, *words: str) -> Iterator[tuple[str, Command]]:
    """Give the words of each command, and the command."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        assert (command.name, bool(command.help)) == (name, True)
        if isinstance(command, Command):
            yield " ".join([*words, name]), command
            continue
        assert isinstance(command, click.Group)
        if isinstance(command, Group):
            assert command.own.name == name
            yield " ".join([*words, name]), command.own
        yield from walk(command, *words, name)


COMMANDS = dict(walk(commands))


def synopsis(command: Command) -> str:
    """Return what a command takes, as the first lines of a manual page have it; the options of printing as OUTPUT."""
    parts = []
    for parameter in command.params:
        names = "|".join([*parameter.opts, *parameter.secondary_opts])
        value = parameter.make_metavar(click.Context(command))
        if isinstance(parameter, click.Argument):
            part = value
        elif isinstance(parameter, click.Option) and parameter.is_flag:
            part = f"[{names}]" if parameter.is_bool_flag else f"[{names}={parameter.flag_value}]"
        else:
            default = parameter.default
            shown = "" if not isinstance(default, (str, int, tuple, Path)) or default in ("", ()) else f"={default}"
            limits = parameter.type
            if isinstance(limits, (click.IntRange, click.FloatRange)):
                value = f"{'' if limits.min is None else limits.min}..{'' if limits.max is None else limits.max}"
            elif isinstance(limits, click.Path):
                value += ":existing" * limits.exists + ":no-file" * (not limits.file_okay)
                value += ":no-directory" * (not limits.dir_okay)
            part = f"{names} {value}{shown}"
            part = part if parameter.required else f"[{part}]"
        parts.append(part + ("..." if parameter.multiple else ""))
    text = " ".join(parts)
    for name, shared in SHARED.items():
        text = text.replace(shared, name)
    return text


STACK = "[--profile NAME] [--stack-name NAME=annex-bootstrap]"
SHARED = {
    "STACK": f"[--region REGION] {STACK}",
    "STACKS": f"[--region REGION]... {STACK}",
    "OUTPUT": "[--output [text|json]=text] [--quiet] [--plain]",
    "KEYS": "[--directory DIRECTORY:no-file=~/.condor]",
    "BUDGET": "[--monthly-budget DOLLARS] [--mail ADDRESS]",
}

SYNOPSES = {
    "completion": "{bash|zsh|fish}",
    "costs": "[--by [owner|annex|day]=owner] [--since DURATION=30d] STACKS [--config FILE] OUTPUT",
    "credentials": (
        "STACK [--config FILE] [--rotate=rotate] [--remove=remove] [--from-instance=from-instance] [--role=role] "
        "[--user-name NAME] KEYS [--boundary ARN] [--yes|-y] OUTPUT"
    ),
    "delete": "STACKS [--end-annexes] [--config FILE] [--yes|-y] OUTPUT",
    "demo": "",
    "deploy": (
        "STACKS [--param NAME=VALUE]... [--tag KEY=VALUE]... BUDGET [--dry-run] [--verbose] [--allow-downgrade] "
        "[--no-pull] [--config FILE] [--yes|-y] OUTPUT"
    ),
    "doctor": "STACK [--config FILE] [--collector HOST[:PORT]] OUTPUT",
    "explain": "JOB STACKS [--config FILE] OUTPUT",
    "fleet-config": (
        "STACK [--config FILE] [--image AMI] [--image-name PATTERN] [--image-owner ACCOUNT=('self', 'amazon')]... "
        "[--cpus 1..=1] [--memory SIZE=2G] [--arch [x86_64|arm64]=x86_64] [--types PATTERN]... "
        "[--exclude PATTERN]... [--subnet ID]... [--max-price DOLLARS] [--file FILE:no-directory] [--print] OUTPUT"
    ),
    "forecast": (
        "--max-cores 0.. [--only EXPRESSION] [--runtime DURATION] [--owner USER]... STACKS [--config FILE] OUTPUT"
    ),
    "generate-role": "BUCKET KEY",
    "grow": (
        "--max-cores 0.. [--max-dollars DOLLARS[/day]] [--spot] [--spot-first] [--only EXPRESSION] "
        "[--wait TEXT=20m] [--duration TEXT=4h] [--tag KEY=VALUE]... [--idle TEXT=5m] [--owner USER]... [--open] "
        "[--collector HOST[:PORT]] [--skip-pool-check] [--explain] [--once] [--dry-run] [--install] [--uninstall] "
        "[--yes|-y] STACKS [--config FILE] OUTPUT"
    ),
    "image rebuild": "STACKS [--config FILE] [--yes|-y] OUTPUT",
    "image status": "STACK OUTPUT",
    "launch-url": "STACK --template-url URL [--param NAME=VALUE]... OUTPUT",
    "leases": "STACK OUTPUT",
    "leases end": "[NAME] [--all] STACK [--yes|-y] OUTPUT",
    "leases extend": "NAME DURATION [--yes|-y] STACK OUTPUT",
    "local": "[--schedule-speed 1..=1] [--machines]",
    "policy boundary": "STACK --for [roles|users] [--key ARN] [--bucket NAME] [--condor-annex]",
    "policy deployer": "STACK [--boundary ARN] [--part 1..]",
    "policy key": "STACK",
    "policy operator": "STACK [--boundary ARN] [--key ARN] [--part 1..]",
    "policy roles": "STACK [--param NAME=VALUE]...",
    "policy start": "STACK",
    "policy user": "STACK",
    "pool-config": (
        "[--config FILE:no-directory] [--password-file FILE:existing:no-directory] "
        "[--stored-password FILE:no-directory] [--port 1..65535] [--collector HOST[:PORT]] "
        "[--longest-lease DURATION=24h] [--user NAME[@DOMAIN]]... [--print] [--remove] OUTPUT"
    ),
    "publish": "STACK --bucket NAME [--prefix TEXT=annex-bootstrap] [--create-bucket] [--public] [--yes|-y] OUTPUT",
    "pull-config": "STACKS [--default-region REGION] [--config FILE] [--check] [--print] OUTPUT",
    "rehearse": (
        "[--scp FILE]... [--boundary FILE] [--policy FILE]... [--tag-policy FILE]... [--param NAME=VALUE]... "
        "[--tag KEY=VALUE]... [--region REGION=us-east-1] [--given-roles] OUTPUT"
    ),
    "setup": (
        "STACK [--param NAME=VALUE]... [--tag KEY=VALUE]... BUDGET [--config FILE] [--roles-boundary ARN] "
        "[--users-boundary ARN] [--collector HOST[:PORT]] [--user NAME[@DOMAIN]]... KEYS [--without-user] "
        "[--starter WHO]... [--open-ports] [--yes|-y] OUTPUT"
    ),
    "start": (
        "NAME [--count 1..] [--cores 1..] [--memory-per-core SIZE=2G] [--type TYPE]... [--subnet ID]... [--spot] "
        "[--duration TEXT=8h] [--max-dollars DOLLARS] [--tag KEY=VALUE]... "
        "[--idle TEXT=15m] [--owner USER] [--open] [--collector HOST[:PORT]] "
        "[--skip-pool-check] [--dry-run] [--yes|-y] STACKS OUTPUT"
    ),
    "status": "STACKS [--config FILE] [--verbose] OUTPUT",
    "template verify": "FILE_OR_URL OUTPUT",
    "watch": "[NAME] [--interval 1..=10] STACK [--output [text|json]=text] [--plain]",
}


def test_every_command_has_a_synopsis_here() -> None:
    assert sorted(COMMANDS) == sorted(SYNOPSES)


@pytest.mark.parametrize("words", SYNOPSES)
def test_a_command_takes_what_its_synopsis_says(words: str) -> None:
    assert synopsis(COMMANDS[words]) == SYNOPSES[words]


@pytest.mark.parametrize("words", SYNOPSES)
def test_a_command_and_its_options_have_a_help_with_each_default(words: str) -> None:
    command = COMMANDS[words]
    assert command.help
    for option in command.params:
        if isinstance(option, click.Option):
            shown = option.get_help_record(click.Context(command))
            assert shown is not None, option.name
            assert shown[1] or option.name == "arch", option.name
            has_default = option.default not in (None, "", ()) and not option.is_flag and option.name != "output"
            if has_default and isinstance(option.default, (str, int, tuple, Path)):
                assert "default: " in shown[1], option.name


def taken(monkeypatch: pytest.MonkeyPatch, line: str) -> tuple[Result, dict[str, Any]]:
    """Return how a command line ends, and what the action got of it."""
    found = max((words for words in COMMANDS if f"{line} ".startswith(f"{words} ")), key=len)
    got: dict[str, Any] = {}

    def keep(screen: Screen, **values: Any) -> None:
        assert screen.command == found
        got.update(values)

    monkeypatch.setattr(COMMANDS[found], "action", keep)
    return CliRunner().invoke(commands, line.split()), got


ARN = "arn:aws:iam::123456789012:policy/limit"
KEY = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
ONE = "--region eu-west-1 --profile me --stack-name mine"
TWO = "--region eu-west-1 --region us-east-1 --profile me --stack-name mine --config /f"
AT_ONE = Target("mine", ("eu-west-1",), "me")
AT_ONE_WITH_FILE = Target("mine", ("eu-west-1",), "me", Path("/f"))
AT_TWO = Target("mine", ("eu-west-1", "us-east-1"), "me", Path("/f"))
ANYWHERE = Target("annex-bootstrap", (), None, None)
HERE = Path("~/.condor")

FLEET = {
    "image": "",
    "image_name": "",
    "owners": ("self", "amazon"),
    "cpus": 1,
    "memory": 2048,
    "arch": "x86_64",
    "types": (),
    "exclude": (),
    "subnet_ids": (),
    "max_price": None,
    "path": None,
    "print_only": False,
}
GROW = {
    "max_dollars": None,
    "spot": False,
    "spot_first": False,
    "only": "",
    "wait": "20m",
    "duration": "4h",
    "tags": (),
    "idle": "5m",
    "owners": (),
    "everybody": False,
    "collector": "",
    "skip_pool_check": False,
    "explain": False,
    "once": False,
    "dry_run": False,
    "install": False,
    "uninstall": False,
    "yes": False,
}
START = {
    "count": None,
    "cores": None,
    "memory_per_core": 2048,
    "types": (),
    "subnet_ids": (),
    "spot": False,
    "duration": "8h",
    "max_dollars": None,
    "tags": (),
    "idle": "15m",
    "owner": "",
    "everybody": False,
    "collector": "",
    "skip_pool_check": False,
    "dry_run": False,
    "yes": False,
}
DEPLOY: dict[str, Any] = {
    "parameters": {},
    "tags": (),
    "monthly_budget": None,
    "mail": None,
    "dry_run": False,
    "verbose": False,
    "allow_downgrade": False,
    "no_pull": False,
    "yes": False,
}
SETUP: dict[str, Any] = {
    "parameters": {},
    "tags": (),
    "monthly_budget": None,
    "mail": None,
    "roles_boundary": "",
    "users_boundary": "",
    "collector": "",
    "users": (),
    "directory": HERE,
    "without_user": False,
    "starters": [],
    "open_ports": False,
    "yes": False,
}
POOL = {
    "config": None,
    "password_file": None,
    "stored_password": None,
    "port": None,
    "collector": "",
    "longest_lease": "24h",
    "users": (),
    "print_only": False,
    "remove": False,
}
CREDENTIALS = {"action": None, "user_name": None, "directory": HERE, "boundary": "", "yes": False}

REHEARSAL: dict[str, Any] = {
    "scps": (),
    "boundary": None,
    "policies": (),
    "tag_policies": (),
    "parameters": {},
    "tags": (),
    "region": "us-east-1",
    "given_roles": False,
}

LINES: list[tuple[str, dict[str, Any]]] = [
    ("completion fish", {"shell": "fish"}),
    ("credentials", CREDENTIALS | {"target": ANYWHERE}),
    (
        f"credentials {ONE} --config /f --user-name u --directory /d --boundary {ARN} -y",
        {
            "target": AT_ONE_WITH_FILE,
            "action": None,
            "user_name": "u",
            "directory": Path("/d"),
            "boundary": ARN,
            "yes": True,
        },
    ),
    ("credentials --rotate", CREDENTIALS | {"target": ANYWHERE, "action": Action.ROTATE}),
    ("credentials --remove", CREDENTIALS | {"target": ANYWHERE, "action": Action.REMOVE}),
    ("credentials --from-instance", CREDENTIALS | {"target": ANYWHERE, "action": Action.FROM_INSTANCE}),
    ("delete", {"target": ANYWHERE, "end_annexes": False, "yes": False}),
    (f"delete {TWO} --end-annexes --yes", {"target": AT_TWO, "end_annexes": True, "yes": True}),
    ("demo", {}),
    ("deploy", DEPLOY | {"target": ANYWHERE}),
    (
        (
            f"deploy {TWO} --param A=1 --param B=x=y --tag a=b --tag c=d --monthly-budget 5 --mail a@b --dry-run "
            "--verbose --allow-downgrade --no-pull --yes"
        ),
        {
            "target": AT_TWO,
            "parameters": {"A": "1", "B": "x=y"},
            "tags": ("a=b", "c=d"),
            "monthly_budget": "5",
            "mail": "a@b",
            "dry_run": True,
            "verbose": True,
            "allow_downgrade": True,
            "no_pull": True,
            "yes": True,
        },
    ),
    ("doctor", {"target": ANYWHERE, "collector": ""}),
    (f"doctor {ONE} --config /f --collector c:9700", {"target": AT_ONE_WITH_FILE, "collector": "c:9700"}),
    ("costs", {"target": ANYWHERE, "by": "owner", "since": "30d"}),
    (f"costs {TWO} --by day --since 7d", {"target": AT_TWO, "by": "day", "since": "7d"}),
    ("explain 12.0", {"target": ANYWHERE, "job": "12.0"}),
    (f"explain {TWO} 12", {"target": AT_TWO, "job": "12"}),
    ("fleet-config", FLEET | {"target": ANYWHERE}),
    ("forecast --max-cores 0", {"target": ANYWHERE, "max_cores": 0, "only": "", "runtime": "", "owners": ()}),
    (
        f"forecast {TWO} --max-cores 8 --only true --runtime 20m --owner ann --owner bob",
        {"target": AT_TWO, "max_cores": 8, "only": "true", "runtime": "20m", "owners": ("ann", "bob")},
    ),
    (
        (
            f"fleet-config {ONE} --config /f --image ami-1 --image-name my-* --image-owner 1 --image-owner 2 --cpus 4 "
            "--memory 1500M --arch arm64 --types c7i.*,m7i.* --types r7i.* --exclude *.metal, --subnet subnet-a "
            "--subnet subnet-b --max-price 0.05 --file /fleet --print"
        ),
        {
            "target": AT_ONE_WITH_FILE,
            "image": "ami-1",
            "image_name": "my-*",
            "owners": ("1", "2"),
            "cpus": 4,
            "memory": 1500,
            "arch": "arm64",
            "types": ("c7i.*", "m7i.*", "r7i.*"),
            "exclude": ("*.metal",),
            "subnet_ids": ("subnet-a", "subnet-b"),
            "max_price": Decimal("0.05"),
            "path": Path("/fleet"),
            "print_only": True,
        },
    ),
    ("generate-role b k", {"bucket": "b", "key": "k"}),
    ("grow --max-cores 0", GROW | {"target": ANYWHERE, "max_cores": 0}),
    (
        (
            f"grow {TWO} --max-cores 64 --max-dollars 50/day --spot --spot-first --only x --wait 1m --duration 2h "
            "--tag a=b --idle 3m --owner a --owner b --open --collector c --skip-pool-check --explain --once --dry-run "
            "--install --uninstall -y"
        ),
        {
            "target": AT_TWO,
            "max_cores": 64,
            "max_dollars": "50/day",
            "only": "x",
            "wait": "1m",
            "duration": "2h",
            "tags": ("a=b",),
            "idle": "3m",
            "owners": ("a", "b"),
            "collector": "c",
        }
        | {name: True for name, value in GROW.items() if value is False},
    ),
    ("image rebuild", {"target": ANYWHERE, "yes": False}),
    (f"image rebuild {TWO} --yes", {"target": AT_TWO, "yes": True}),
    (f"image status {ONE}", {"target": AT_ONE}),
    ("launch-url --template-url https://t", {"target": ANYWHERE, "template_url": "https://t", "parameters": {}}),
    (
        f"launch-url {ONE} --template-url https://t --param A=1",
        {"target": AT_ONE, "template_url": "https://t", "parameters": {"A": "1"}},
    ),
    (f"leases {ONE}", {"target": AT_ONE}),
    ("leases end", {"target": ANYWHERE, "name": None, "everything": False, "yes": False}),
    (f"leases end {ONE} first --all -y", {"target": AT_ONE, "name": "first", "everything": True, "yes": True}),
    (f"leases extend {ONE} first 2h", {"target": AT_ONE, "name": "first", "duration": "2h", "yes": False}),
    (f"leases extend {ONE} first 9d --yes", {"target": AT_ONE, "name": "first", "duration": "9d", "yes": True}),
    ("local", {"schedule_speed": 1, "machines": False}),
    ("local --schedule-speed 60 --machines", {"schedule_speed": 60, "machines": True}),
    ("rehearse", REHEARSAL),
    (
        (
            "rehearse --scp a --scp b --boundary c --policy d --tag-policy e --param A=1 --tag f=g --region us-west-2 "
            "--given-roles"
        ),
        {
            "scps": (Path("a"), Path("b")),
            "boundary": Path("c"),
            "policies": (Path("d"),),
            "tag_policies": (Path("e"),),
            "parameters": {"A": "1"},
            "tags": ("f=g",),
            "region": "us-west-2",
            "given_roles": True,
        },
    ),
    (
        "policy boundary --for users",
        {"target": ANYWHERE, "holder": "users", "key": "", "bucket": "", "condor_annex": False},
    ),
    (
        f"policy boundary {ONE} --for roles --key {KEY} --bucket b --condor-annex",
        {"target": AT_ONE, "holder": "roles", "key": KEY, "bucket": "b", "condor_annex": True},
    ),
    ("policy deployer", {"target": ANYWHERE, "boundary": "", "part": None}),
    (f"policy deployer {ONE} --boundary {ARN} --part 2", {"target": AT_ONE, "boundary": ARN, "part": 2}),
    ("policy operator", {"target": ANYWHERE, "boundary": "", "key": "", "part": None}),
    (
        f"policy operator {ONE} --boundary {ARN} --key {KEY} --part 1",
        {"target": AT_ONE, "boundary": ARN, "key": KEY, "part": 1},
    ),
    (f"policy key {ONE}", {"target": AT_ONE}),
    ("policy roles", {"target": ANYWHERE, "parameters": {}}),
    (f"policy roles {ONE} --param A=1", {"target": AT_ONE, "parameters": {"A": "1"}}),
    (f"policy start {ONE}", {"target": AT_ONE}),
    (f"policy user {ONE}", {"target": AT_ONE}),
    ("pool-config", POOL),
    (
        (
            "pool-config --config /f --password-file /dev/null --stored-password /s --port 9700 --collector c "
            "--longest-lease 2d --user a --user b@c --print --remove"
        ),
        {
            "config": Path("/f"),
            "password_file": Path("/dev/null"),
            "stored_password": Path("/s"),
            "port": 9700,
            "collector": "c",
            "longest_lease": "2d",
            "users": ("a", "b@c"),
            "print_only": True,
            "remove": True,
        },
    ),
    (
        "publish --bucket our-bucket",
        {
            "target": ANYWHERE,
            "bucket": "our-bucket",
            "prefix": "annex-bootstrap",
            "create_bucket": False,
            "public": False,
            "yes": False,
        },
    ),
    (
        f"publish {ONE} --bucket our-bucket --prefix p --create-bucket --public --yes",
        {"target": AT_ONE, "bucket": "our-bucket", "prefix": "p", "create_bucket": True, "public": True, "yes": True},
    ),
    ("pull-config", {"target": ANYWHERE, "default_region": None, "check": False, "print_only": False}),
    (
        f"pull-config {TWO} --default-region us-east-1 --check --print",
        {"target": AT_TWO, "default_region": "us-east-1", "check": True, "print_only": True},
    ),
    ("setup", SETUP | {"target": ANYWHERE}),
    (
        (
            f"setup {ONE} --config /f --param A=1 --tag a=b --monthly-budget 5 --mail a@b --roles-boundary {ARN} "
            f"--users-boundary {ARN}2 --collector c --user a --user b --directory /d --without-user "
            "--starter user/bob --starter group/lab --open-ports --yes"
        ),
        {
            "target": AT_ONE_WITH_FILE,
            "parameters": {"A": "1"},
            "tags": ("a=b",),
            "monthly_budget": "5",
            "mail": "a@b",
            "roles_boundary": ARN,
            "users_boundary": f"{ARN}2",
            "collector": "c",
            "users": ("a", "b"),
            "directory": Path("/d"),
            "without_user": True,
            "starters": [Starter("user", "bob"), Starter("group", "lab")],
            "open_ports": True,
            "yes": True,
        },
    ),
    ("start first", START | {"target": ANYWHERE, "name": "first"}),
    (
        (
            f"start {TWO.removesuffix(' --config /f')} first --count 2 --cores 3 --memory-per-core 4G --type a "
            "--type b --subnet c --subnet d --spot --duration 1h --max-dollars 200.50 --tag e=1 "
            "--tag f=2 --idle 5m --owner bob --open --collector c "
            "--skip-pool-check --dry-run --yes"
        ),
        {
            "target": Target("mine", ("eu-west-1", "us-east-1"), "me"),
            "name": "first",
            "count": 2,
            "cores": 3,
            "memory_per_core": 4096,
            "types": ("a", "b"),
            "subnet_ids": ("c", "d"),
            "duration": "1h",
            "max_dollars": Decimal("200.50"),
            "tags": ("e=1", "f=2"),
            "idle": "5m",
            "owner": "bob",
            "collector": "c",
        }
        | {name: True for name, value in START.items() if value is False},
    ),
    ("status", {"target": ANYWHERE, "verbose": False}),
    (f"status {TWO} --verbose", {"target": AT_TWO, "verbose": True}),
    ("template verify t", {"source": "t"}),
    ("watch", {"target": ANYWHERE, "name": "", "interval": 10}),
    (f"watch {ONE} first --interval 1.5", {"target": AT_ONE, "name": "first", "interval": 1.5}),
]


@pytest.mark.parametrize(("line", "arguments"), LINES)
def test_every_word_of_a_command_line_reaches_the_action(
    monkeypatch: pytest.MonkeyPatch, line: str, arguments: dict[str, Any]
) -> None:
    ended, got = taken(monkeypatch, line)
    assert (ended.exit_code, ended.output, got) == (0, "", arguments)


def test_the_lines_above_run_every_command() -> None:
    run = {words for words in COMMANDS for line, _ in LINES if f"{line} ".startswith(f"{words} ")}
    assert run == set(COMMANDS)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("completion tcsh", "'tcsh' is not one of 'bash', 'zsh', 'fish'."),
        ("credentials --boundary me", "'me' is not the ARN of a managed policy"),
        ("deploy --param A", "'A' is not of the form NAME=VALUE"),
        ("fleet-config --max-price much", "'much' is not a price such as 0.05"),
        ("fleet-config --max-price 0", "'0' is not a price: type more than 0, such as 0.05"),
        ("fleet-config --max-price inf", "'inf' is not a price: type more than 0, such as 0.05"),
        ("fleet-config --memory 2", "'2' is not a memory size: type one such as 2G or 1500M"),
        ("fleet-config --cpus 0", "0 is not in the range x>=1."),
        ("grow", "Missing option '--max-cores'."),
        ("grow --max-cores -1", "-1 is not in the range x>=0."),
        ("launch-url", "Missing option '--template-url'"),
        ("launch-url --template-url t --param A", "'A' is not of the form NAME=VALUE"),
        ("policy boundary", "Missing option '--for'."),
        ("policy boundary --for roles --key me", "'me' is not the ARN of a key, such as arn:aws:kms:"),
        ("policy deployer --boundary me", "'me' is not the ARN of a managed policy"),
        ("policy deployer --part 0", "0 is not in the range x>=1."),
        ("policy operator --key me", "'me' is not the ARN of a key, such as arn:aws:kms:"),
        ("pool-config --password-file /nowhere", "File '/nowhere' does not exist."),
        ("pool-config --port 65536", "65536 is not in the range 1<=x<=65535."),
        ("pool-config --user a/b", "'a/b' is not a user name: give one such as "),
        ("publish", "Missing option '--bucket'."),
        ("rehearse --region mars", "'mars' is not a region of the local AWS: type one such as us-west-2"),
        ("rehearse --region cn-north-1", "'cn-north-1' is not a region of the local AWS"),
        ("rehearse --param A", "'A' is not of the form NAME=VALUE"),
        ("setup --roles-boundary me", "'me' is not the ARN of a managed policy"),
        ("setup --users-boundary me", "'me' is not the ARN of a managed policy"),
        ("setup --user a/b", "'a/b' is not a user name: give one such as "),
        ("setup --starter bob", "'bob' names nobody in IAM: type user/NAME, role/NAME or group/NAME"),
        ("start first --count 0", "0 is not in the range x>=1."),
        ("start first --memory-per-core x", "'x' is not a memory size: type one such as 2G or 1500M"),
        ("watch --interval 0.5", "0.5 is not in the range x>=1."),
    ],
)
def test_a_value_that_an_option_cannot_have_is_refused_before_the_action(
    monkeypatch: pytest.MonkeyPatch, line: str, said: str
) -> None:
    ended, got = taken(monkeypatch, line)
    assert (ended.exit_code, got) == (2, {})
    assert said in " ".join(ended.output.split())


@pytest.mark.parametrize("words", COMMANDS)
def test_what_a_shell_can_know_is_completed(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    known = [SimpleNamespace(stack_name="mine", region="us-east-1"), SimpleNamespace(stack_name="more", region="x")]
    overview = SimpleNamespace(leases=[SimpleNamespace(annex_id="first"), SimpleNamespace(annex_id="second")])
    monkeypatch.setattr(options, "known_sections", lambda: known)
    monkeypatch.setattr(options, "ask_overview", lambda _: overview)
    command = COMMANDS[words]
    for name, begun, expected in (
        ("region", "us-e", ["us-east-1", "us-east-2"]),
        ("regions", "us-e", ["us-east-1", "us-east-2"]),
        ("stack_name", "mi", ["mine"]),
        ("name", "fir", ["first"]),
        ("parameters", "ImagePack", ["ImagePackages="]),
    ):
        for parameter in command.params:
            if parameter.name == name:
                found = parameter.shell_complete(click.Context(command), begun)
                assert [item.value for item in found] == expected
