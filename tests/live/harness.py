"""What all steps of a live test share: the people, our commands as they run them, waiting, and the record of steps."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import ClientError

from annex_bootstrap.aws import Account, explained, retry
from annex_bootstrap.policies.boundary import boundary_arn
from annex_bootstrap.policies.users import AnnexUser, KeyFiles, default_user_name
from annex_bootstrap.stack.read import Stack, find
from annex_contract import __version__
from annex_contract.boundaries import Holder
from tests.live.options import STACK, STARTER, Options
from tests.live.report import Step

NOT_YET = (
    *("AccessDenied", "AccessDeniedException", "UnauthorizedOperation"),
    *("AuthFailure", "InvalidClientTokenId", "InvalidAccessKeyId", "UnrecognizedClientException"),
)
"""What AWS answers while it does not know everywhere a user, a key or a policy that was just made."""

NEW_USER_PATIENCE = 120.0
"""Seconds until such an answer is final."""

AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn")

Made = TypeVar("Made")


class LiveError(Exception):
    """Something did not happen as it must."""


@dataclass
class Run:
    """A run under way.

    Attributes:
        options: of the run.
        deployer: with the deployer's policy.
        operator: with the operator's policy.
        auditor: who may read everything.
        helper: who makes the user with StartPolicy, and images.
        home: an empty directory for configuration and keys.
        steps: those that were taken.
        facts: lines of the report, by what they say.
        creation: seconds that the slowest resource of a type took to be created, by type.
        spot_role: why the run does not show where the role for spot machines comes from; empty where it does.
        starter_path: the PATH of the user with StartPolicy; empty for that of this process.
    """

    options: Options
    deployer: Account
    operator: Account
    auditor: Account
    helper: Account
    home: Path
    steps: list[Step] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    creation: dict[str, float] = field(default_factory=dict)
    spot_role: str = ""
    starter_path: str = ""

    def __post_init__(self) -> None:
        """Note what the report begins with."""
        self.began, self.until = datetime.now(UTC), time.monotonic() + self.options.minutes * 60
        self.config = self.home / "user_config"
        self.keys = KeyFiles.below(self.home, self.region)
        self.starter_keys = KeyFiles.below(self.home / "starter", self.region)
        self.facts |= {"Version": __version__, "Region": self.region}
        host = urlsplit(self.deployer.ec2.meta.endpoint_url).hostname or ""
        self.is_aws = host.endswith(AWS_DOMAINS)
        if not self.is_aws:
            self.facts["Not AWS"] = f"{host} answered, and what only AWS can show is marked so"

    @property
    def region(self) -> str:
        """Where."""
        return self.deployer.region

    @contextlib.contextmanager
    def step(self, name: str, unseen: str = "") -> Iterator[Step]:
        """Take a step; a failure is noted and raised.

        Args:
            name: of the step, a key of ``CHECKS``.
            unseen: why it shows nothing in this account; empty where it does.
        """
        step = Step(name, unseen=unseen)
        if not (self.is_aws or unseen) and step.check.only_aws:
            step.unseen = f"this is not AWS: {step.check.only_aws}"
        self.steps.append(step)
        say(f"- {name}")
        began = time.monotonic()
        try:
            yield step
            if time.monotonic() > self.until:
                raise LiveError(f"the run took longer than {self.options.minutes} minutes")
        except KeyboardInterrupt:
            step.error = "Ctrl-C"
            raise
        except Exception as error:
            step.error = str(error) or type(error).__name__
            say(f"  FAILED: {step.error}")
            raise
        finally:
            step.seconds = time.monotonic() - began
            if step.result == "not shown":
                say(f"  not shown: {step.unseen}")

    @contextlib.contextmanager
    def patient_step(self, name: str) -> Iterator[Step]:
        """Take a step whose failure stops nothing, whatever it is: the report has it."""
        with contextlib.suppress(Exception), self.step(name) as step:
            yield step

    def command(
        self,
        profile: str | None,
        *arguments: str,
        check: bool = True,
        environ: Mapping[str, str] | None = None,
        warnings: bool = False,
    ) -> str:
        """Run one of our commands, and return what it prints.

        Args:
            profile: the AWS profile; None for the environment's.
            arguments: after the program's name.
            check: whether it must succeed.
            environ: variables besides those of this process; what is empty is left out.
            warnings: whether to return what it warns of instead.

        Raises:
            LiveError: it failed, or took too long.
        """
        command = [sys.executable, "-m", "annex_bootstrap", *arguments, "--stack-name", STACK]
        command += ["--region", self.region, *(["--profile", profile] if profile else [])]
        variables = {**os.environ, **(environ or {})}
        variables = {name: value for name, value in variables.items() if value}
        # A session of its own: Ctrl-C is for this process, which then ends the command.
        process = subprocess.Popen(
            command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            out, err = process.communicate(timeout=max(self.until - time.monotonic(), 1))
        except subprocess.TimeoutExpired as error:
            raise LiveError(f"annex-bootstrap {arguments[0]} took too long") from error
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(timeout=30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        if check and process.returncode != 0:
            raise LiveError(f"annex-bootstrap {arguments[0]} exited with {process.returncode}: {err.strip()}")
        return err if warnings else out

    def by_starter(self, *arguments: str, warnings: bool = False) -> str:
        """Run one of our commands as the user with StartPolicy, and return what it prints, or what it warns of."""
        return self.command(None, *arguments, environ=self.starter_environ(), warnings=warnings)

    def starter_environ(self) -> dict[str, str]:
        """Return the variables that make a process the user with StartPolicy."""
        files = self.starter_keys
        keys = {"AWS_ACCESS_KEY_ID": files.access, "AWS_SECRET_ACCESS_KEY": files.secret}
        others = dict.fromkeys(("AWS_PROFILE", "AWS_SESSION_TOKEN"), "")
        path = {"PATH": self.starter_path} if self.starter_path else {}
        return {name: file.read_text().strip() for name, file in keys.items()} | others | path

    def starter_account(self) -> Account:
        """Return the account as the user with StartPolicy."""
        return Account(session_of(self.starter_keys, self.region), self.region)

    def starter_user(self) -> AnnexUser:
        """Return the user with StartPolicy, as the helper makes it."""
        return AnnexUser(self.helper, STACK, STARTER, self.starter_keys, self.boundary(Holder.USERS))

    def annex_user(self) -> AnnexUser:
        """Return the user of condor_annex, as the operator makes it."""
        return AnnexUser(self.operator, STACK, default_user_name(STACK, self.region), self.keys)

    def key_options(self) -> list[str]:
        """Return the options by which ``credentials`` keeps to this run's directory."""
        return ["--config", str(self.config), "--directory", str(self.keys.access.parent)]

    def boundary(self, holder: Holder) -> str:
        """Return the ARN of a boundary."""
        return boundary_arn(self.deployer.partition, self.deployer.account_id, holder, STACK)

    def stack(self) -> Stack | None:
        """Return the stack, or None."""
        return find(self.deployer.cloudformation, STACK)

    def outputs(self) -> dict[str, str]:
        """Return the stack's outputs; none without a stack."""
        stack = self.stack()
        return dict(stack.outputs) if stack is not None else {}

    def status(self) -> str:
        """Return the stack's status, in words where there is none."""
        stack = self.stack()
        return stack.status if stack is not None else "there is no stack"

    def has_no_rule(self, annex_id: str) -> bool:
        """Return whether an annex has no lease."""
        rules = self.auditor.events.list_rules(NamePrefix=annex_id)["Rules"]
        return all(rule["Name"] != annex_id for rule in rules)

    def patiently(self, doing: str, call: Callable[[], Made]) -> Made:
        """Make a call again while AWS does not know its caller everywhere.

        Args:
            doing: what it does.
            call: may be repeated.

        Raises:
            UserError: AWS refused for good.
        """

        def explain() -> Made:
            with explained(doing):
                return call()

        return retry(explain, NOT_YET, NEW_USER_PATIENCE, self.sleep)

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than between two looks."""
        time.sleep(min(seconds, self.options.poll_seconds))

    def wait(self, holds: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait until something holds.

        Args:
            holds: whether it does.
            what: is waited for, in words.
            seconds: that it may take.

        Raises:
            LiveError: it did not come.
        """
        give_up = min(time.monotonic() + seconds, self.until)
        while not holds():
            if time.monotonic() > give_up:
                raise LiveError(f"{what} did not come within {seconds:.0f} s")
            time.sleep(self.options.poll_seconds)


def session_of(files: KeyFiles, region: str) -> boto3.Session:
    """Return a session with the key in two files."""
    return boto3.Session(files.access.read_text().strip(), files.secret.read_text().strip(), region_name=region)


def invoke(session: boto3.Session, function: str, event: object) -> dict[str, Any]:
    """Send a function an event, and return its answer."""
    answer = session.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
    said: dict[str, Any] = json.loads(answer["Payload"].read())
    return said


def refusal(call: Callable[[], object]) -> str:
    """Make a call that is to be refused, and return AWS's error code; empty where it was not refused."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
