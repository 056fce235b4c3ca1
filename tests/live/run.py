"""One live test: steps as the people who would take them, then everything deleted, whatever happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from annex_bootstrap.aws import Account, retry
from annex_bootstrap.errors import UserError
from annex_bootstrap.policies.boundary import Holder, boundary_arn
from annex_bootstrap.policies.users import AnnexUser as OurUser
from annex_bootstrap.policies.users import KeyFiles, default_user_name
from annex_bootstrap.stack.read import events, find
from annex_contract import __version__
from annex_contract.lease import SWEEP_EVENT
from annex_contract.stack import Output
from local_aws.demo.annexes import Annex, AnnexUser
from tests.live.census import take_census
from tests.live.options import ENDING, INSTANCE_TYPE, STACK, Options
from tests.live.report import Step, render
from tests.local_aws.lease.fleets import request_fleet

DEMAND, SPOT = "live-demand", "live-spot"
"""The annexes: on-demand and spot."""

NOT_YET = (
    *("AccessDenied", "AccessDeniedException", "UnauthorizedOperation"),
    *("AuthFailure", "InvalidClientTokenId", "InvalidAccessKeyId", "UnrecognizedClientException"),
)
"""What AWS answers while it does not know everywhere a user, a key or a policy that was just made."""

NEW_USER_PATIENCE = 120.0
"""Seconds until such an answer is final."""

CLEANING = 1800
"""Seconds that cleaning up may take: a security group waits fifteen minutes for machines."""

LOCAL_SUBJECTS = {"pool password", "collector from AWS", "spot fleet file", "HTCondor"}
"""What the doctor checks on this machine and not in AWS."""


class LiveError(Exception):
    """Something did not happen as it must."""


class LiveTest:
    """A run, step after step."""

    def __init__(self, options: Options, deployer: Account, operator: Account, auditor: Account, home: Path) -> None:
        """Prepare a run.

        Args:
            options: of the run.
            deployer: with the deployer's policy.
            operator: with the operator's policy.
            auditor: who may read everything.
            home: an empty directory for configuration and keys.
        """
        self.options, self.deployer, self.operator, self.auditor = options, deployer, operator, auditor
        self.config, self.keys = home / "user_config", KeyFiles.below(home, deployer.region)
        self.steps: list[Step] = []
        self.facts: dict[str, str] = {"Version": __version__, "Region": deployer.region}
        self.creation: dict[str, float] = {}
        self.began = datetime.now(UTC)
        self.until = time.monotonic() + options.minutes * 60

    def run(self) -> int:
        """Take every step, then delete everything and report.

        Returns:
            The exit code: 0 where everything went well and nothing is left, 130 after Ctrl-C, else 1.
        """
        code = 1
        try:
            if not self.options.clean_up:
                self._live()
            code = 0
        except KeyboardInterrupt:
            code = 130
        except Exception as error:
            # Whatever it was, the report has it, and what costs money must go.
            self.facts["Failed with"] = f"{type(error).__name__}: {error}"
        self.until = time.monotonic() + CLEANING
        cleaned, leftovers = False, None
        try:
            cleaned = self._clean_up()
            leftovers = self._census()
        except KeyboardInterrupt:
            code = 130
        self.options.report.write_text(
            render(self.steps, leftovers, self.creation, self.facts, self.deployer.account_id, self.began)
        )
        _say(f"\n{self.options.report.read_text()}\nThe report is in {self.options.report}.")
        if cleaned and leftovers == []:
            return code
        _say("Something may be left, and cost money: run the same command with --clean-up.")
        return code or 1

    def _live(self) -> None:
        with self._step("nothing of an earlier run is there"):
            left = take_census(self.auditor.session, self.auditor.region, (DEMAND, SPOT))
            # The staging bucket may serve another stack of the account.
            if any("staging" not in name for name in left):
                raise LiveError(f"an earlier run left {', '.join(left)}: run with --clean-up first")
        self._deploy()
        user = self._credentials()
        image = self._image()
        annex = self._start(user, image)
        # At the latest: it was set before the machine was requested.
        spot_ends = time.time() + self.options.lease_seconds
        self._pass_role(user, image)
        self._end(user, annex, spot_ends)
        self._sweep(user)
        self._doctor()
        with self._step("credentials --remove"):
            self._command(self.options.operator, "credentials", "--remove", "--yes", *self._key_options())
        with self._step("delete") as step:
            self._command(self.options.deployer, "delete", "--yes", "--config", str(self.config))
            step.notes.append("the stack and the staging bucket")

    def _deploy(self) -> None:
        asked = {"EndOrphans": "yes", "SshCidrs": "", "CondorCidrs": "192.0.2.0/24"}
        asked["Image"] = "yes" if self.options.image else "no"
        asked["PermissionsBoundaryArn"] = self._boundary(Holder.ROLES)
        parameters = [text for name, value in asked.items() for text in ("--param", f"{name}={value}")]
        with self._step("deploy") as step:
            self._command(self.options.deployer, "deploy", "--yes", "--config", str(self.config), *parameters)
            step.notes.append(self._status())
            self.creation = self._creation()
        with self._step("update") as step:
            update = ("--param", "CondorPort=9619")
            self._command(self.options.deployer, "deploy", "--yes", "--config", str(self.config), *update)
            step.notes.append(self._status())

    def _credentials(self) -> AnnexUser:
        with self._step("credentials") as step:
            bounded = ("--boundary", self._boundary(Holder.USERS))
            self._command(self.options.operator, "credentials", "--yes", *bounded, *self._key_options())
            session = boto3.Session(
                self.keys.access.read_text().strip(),
                self.keys.secret.read_text().strip(),
                region_name=self.deployer.region,
            )
            user = AnnexUser(session, self._outputs())
            # As condor_annex does first: it wants a hash of the lease function's code, and an answer about its pool.
            client = session.client("lambda")
            began = time.monotonic()
            found = retry(
                lambda: client.get_function(FunctionName=user.outputs[Output.LEASE_FUNCTION_ARN]),
                NOT_YET,
                NEW_USER_PATIENCE,
                self._sleep,
            )
            step.notes.append(f"the new key worked after {time.monotonic() - began:.0f} s")
            if not found["Configuration"]["CodeSha256"]:
                raise LiveError("the lease function has no code hash")
            event = {"timeout": 5, "condor_host": "192.0.2.1", "condor_port": 9618}
            answer = _invoke(session, user.outputs[Output.CONNECTIVITY_FUNCTION_ARN], event)
            if answer.get("success") != "0":
                raise LiveError(f"nobody is at 192.0.2.1, but the connectivity function says {answer}")
        return user

    def _image(self) -> str:
        with self._step("find an image") as step:
            image = self._outputs().get(Output.IMAGE_ID, "")
            if not self.options.image:
                found = self.operator.ec2.describe_images(
                    Owners=["amazon"],
                    Filters=[
                        {"Name": "name", "Values": ["al2023-ami-2023.*-x86_64"]},
                        {"Name": "state", "Values": ["available"]},
                    ],
                )["Images"]
                image = max(found, key=lambda each: each["CreationDate"])["ImageId"]
            step.notes.append(image)
        return image

    def _start(self, user: AnnexUser, image: str) -> Annex:
        def patiently(call: Callable[[], Any]) -> Any:
            # All that comes before the machines can be repeated, and the machines are the last call.
            return retry(call, NOT_YET, NEW_USER_PATIENCE, self._sleep)

        seconds = self.options.lease_seconds
        with self._step("start an on-demand machine"):
            annex: Annex = patiently(lambda: user.start(DEMAND, 1, seconds, image, INSTANCE_TYPE))
            self._wait(lambda: user.running(annex) == 1, "the machine", 60)
        with self._step("extend its lease"):
            # As condor_annex does: with no bucket.
            user.set_lease(DEMAND, self.options.minutes * 60)
        with self._step("start a spot machine") as step:
            user.set_lease(SPOT, seconds)
            fleet = patiently(
                lambda: request_fleet(user, SPOT, image_id=image, instance_type=INSTANCE_TYPE, capacity=1)
            )
            step.notes.append(fleet)
            self._wait(lambda: not self._has_ended(user, SPOT), "the spot machine", ENDING)
        return annex

    def _pass_role(self, user: AnnexUser, image: str) -> None:
        """Record which service EC2 names where a fleet's role is passed.

        The user may pass the machines' role to EC2 alone, and the lease function's to no service. A dry run with each
        of them as the fleet's role shows which, unless AWS does not check passing in a dry run.
        """
        with self._step("which service PassRole sees") as step:
            function = self.operator.lambda_.get_function_configuration(
                FunctionName=user.outputs[Output.LEASE_FUNCTION_ARN]
            )
            machines, nobody = (
                _refusal(partial(request_fleet, user, SPOT, image_id=image, role=role, dry_run=True))
                for role in (user.outputs[Output.INSTANCE_ROLE_ARN], function["Role"])
            )
            if nobody != "UnauthorizedOperation":
                seen = f"unknown: a dry run with a role that may not be passed answers {nobody}"
            elif machines == "UnauthorizedOperation":
                seen = "not ec2.amazonaws.com, and so spotfleet.amazonaws.com"
            else:
                seen = f"ec2.amazonaws.com (the dry run with a role for EC2 alone answers {machines})"
            step.notes.append(seen)
            self.facts["iam:PassedToService of the fleet's role"] = seen

    def _end(self, user: AnnexUser, annex: Annex, spot_ends: float) -> None:
        self._see_end(user, SPOT, spot_ends)
        with self._step("the extended annex is still there"):
            # Its first lease was over before that of the spot annex, whose end has been seen.
            if user.running(annex) != 1:
                raise LiveError("the machine ended with its first lease, although that was extended")
            user.set_lease(DEMAND, 0)
        self._see_end(user, DEMAND, time.time())
        with self._step("the tarball is deleted"):
            listed = self.auditor.s3.list_objects_v2(Bucket=user.outputs[Output.S3_BUCKET_NAME])
            if listed.get("Contents"):
                raise LiveError(f"the bucket still has {[entry['Key'] for entry in listed['Contents']]}")

    def _see_end(self, user: AnnexUser, annex_id: str, ends: float) -> None:
        with self._step(f"the lease of {annex_id} ends") as step:
            limit = max(ends - time.time(), 0) + ENDING
            self._wait(lambda: self._has_ended(user, annex_id), f"the end of {annex_id}", limit)
            step.notes.append(f"no machine {max(time.time() - ends, 0):.0f} s after its lease")
            self._wait(lambda: self._has_no_rule(annex_id), f"the end of the rule {annex_id}", ENDING)

    def _sweep(self, user: AnnexUser) -> None:
        with self._step("sweep"):
            said = _invoke(self.operator.session, user.outputs[Output.LEASE_FUNCTION_ARN], SWEEP_EVENT)
            if said.get("decision") != "sweep" or said.get("orphan_machines"):
                raise LiveError(f"the orphan check says {said}")
        with self._step("alarms and metrics") as step:
            alarms = self.auditor.cloudwatch.describe_alarms(AlarmNamePrefix=f"{STACK}-")["MetricAlarms"]
            states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}
            step.notes += [f"{name}: {state}" for name, state in sorted(states.items())]
            for metric in ("SuccessfulInvocationAttempts", "Invocations", "FailedInvocations"):
                listed = self.auditor.cloudwatch.list_metrics(Namespace="AWS/Events", MetricName=metric)["Metrics"]
                names = {tuple(sorted(each["Name"] for each in found.get("Dimensions", []))) for found in listed}
                shown = ", ".join("+".join(name) or "none" for name in sorted(names))
                step.notes.append(f"AWS/Events {metric} by {shown or 'nothing yet'}")
            if "ALARM" in states.values():
                raise LiveError("an alarm went off")

    def _doctor(self) -> None:
        with self._step("doctor") as step:
            said = self._command(
                self.options.operator, "doctor", "--output", "json", "--config", str(self.config), check=False
            )
            findings = json.loads(said)["result"]["findings"]
            judged = [each for each in findings if each["subject"] not in LOCAL_SUBJECTS]
            problems = [f"{each['subject']}: {each['detail']}" for each in judged if each["level"] == "PROBLEM"]
            step.notes.append(f"{sum(each['level'] == 'OK' for each in judged)} checks of AWS are well")
            if problems:
                raise LiveError("; ".join(problems))

    def _clean_up(self) -> bool:
        """Delete what there is, and return whether that succeeded."""
        with self._patient_step("clean up: the user"):
            name = default_user_name(STACK, self.operator.region)
            OurUser(self.operator, STACK, name, self.keys).remove()
        with self._patient_step("clean up: annexes and stack"):
            arguments = ("delete", "--yes", "--end-annexes", "--config", str(self.config))
            self._command(self.options.deployer, *arguments)
        return not any(step.error for step in self.steps if step.name.startswith("clean up"))

    def _census(self) -> list[str] | None:
        """Return what is left; None where nobody can tell."""
        left: list[str] | None = None
        with self._patient_step("census"):
            # Deletions show late.
            for _ in range(6):
                left = take_census(self.auditor.session, self.auditor.region, (DEMAND, SPOT))
                if not left:
                    break
                self._sleep(self.options.poll_seconds)
        return left

    def _outputs(self) -> dict[str, str]:
        stack = find(self.deployer.cloudformation, STACK)
        return dict(stack.outputs) if stack is not None else {}

    def _status(self) -> str:
        stack = find(self.deployer.cloudformation, STACK)
        return stack.status if stack is not None else "there is no stack"

    def _creation(self) -> dict[str, float]:
        """Return how long the slowest resource of each type took to be created."""
        began: dict[str, datetime] = {}
        slowest: dict[str, float] = {}
        for event in events(self.deployer.cloudformation, STACK):
            if event.status == "CREATE_IN_PROGRESS":
                began.setdefault(event.resource, event.at)
            elif event.status == "CREATE_COMPLETE" and event.resource in began:
                seconds = (event.at - began[event.resource]).total_seconds()
                slowest[event.resource_type] = max(seconds, slowest.get(event.resource_type, 0.0))
        return slowest

    def _has_ended(self, user: AnnexUser, annex_id: str) -> bool:
        return user.running(Annex(annex_id, annex_id, "", ())) == 0

    def _has_no_rule(self, annex_id: str) -> bool:
        rules = self.auditor.events.list_rules(NamePrefix=annex_id)["Rules"]
        return all(rule["Name"] != annex_id for rule in rules)

    def _boundary(self, holder: Holder) -> str:
        return boundary_arn(self.deployer.partition, self.deployer.account_id, holder)

    def _key_options(self) -> list[str]:
        return ["--config", str(self.config), "--directory", str(self.keys.access.parent)]

    def _sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, self.options.poll_seconds))

    def _wait(self, holds: Callable[[], bool], what: str, seconds: float) -> None:
        give_up = min(time.monotonic() + seconds, self.until)
        while not holds():
            if time.monotonic() > give_up:
                raise LiveError(f"{what} did not come within {seconds:.0f} s")
            time.sleep(self.options.poll_seconds)

    def _command(self, profile: str | None, *arguments: str, check: bool = True) -> str:
        """Run one of our commands with a profile, and return what it prints."""
        command = [sys.executable, "-m", "annex_bootstrap", *arguments, "--stack-name", STACK]
        command += ["--region", self.deployer.region, *(["--profile", profile] if profile else [])]
        # A session of its own: Ctrl-C is for this process, which then ends the command.
        process = subprocess.Popen(
            command, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
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
        return out

    @contextmanager
    def _step(self, name: str) -> Iterator[Step]:
        step = Step(name)
        self.steps.append(step)
        _say(f"- {name}")
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
            _say(f"  FAILED: {step.error}")
            raise
        finally:
            step.seconds = time.monotonic() - began

    @contextmanager
    def _patient_step(self, name: str) -> Iterator[Step]:
        """Take a step whose failure stops nothing."""
        try:
            with self._step(name) as step:
                yield step
        except (LiveError, UserError, ClientError, BotoCoreError):
            pass


def live(options: Options, deployer: Account, operator: Account, auditor: Account) -> int:
    """Make one run, and return its exit code."""
    with tempfile.TemporaryDirectory(prefix="annex-bootstrap-live-") as home:
        return LiveTest(options, deployer, operator, auditor, Path(home)).run()


def _invoke(session: boto3.Session, function: str, event: object) -> dict[str, Any]:
    answer = session.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
    said: dict[str, Any] = json.loads(answer["Payload"].read())
    return said


def _refusal(call: Callable[[], object]) -> str:
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "a fleet"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
