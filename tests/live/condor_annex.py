"""Part 10 of a live test: the stack as condor_annex uses it."""

from __future__ import annotations

import json
import time
from functools import partial

from annex_bootstrap.aws import Account
from annex_contract.boundaries import Holder
from annex_contract.lease import SWEEP_EVENT
from annex_contract.stack import Output
from local_aws.demo.annexes import Annex, AnnexUser
from tests.live.harness import LiveError, Run, invoke, refusal, session_of
from tests.live.options import ENDING, STACK
from tests.local_aws.lease.fleets import request_fleet

DEMAND, SPOT = "live-demand", "live-spot"
"""The annexes: on-demand and spot."""

LOCAL_SUBJECTS = {"pool password", "collector from AWS", "spot fleet file", "HTCondor"}
"""What the doctor checks on this machine and not in AWS."""


def use_as_condor_annex(run: Run) -> None:
    """Take all of the steps."""
    user = _credentials(run)
    image = _image(run)
    annex = _start(run, user, image)
    # At the latest: it was set before the machine was requested.
    spot_ends = time.time() + run.options.lease_seconds
    _pass_role(run, user, image)
    _end(run, user, annex, spot_ends)
    _sweep(run, user)
    _doctor(run)
    with run.step("credentials --remove"):
        run.command(run.options.operator, "credentials", "--remove", "--yes", *run.key_options())


def _credentials(run: Run) -> AnnexUser:
    with run.step("credentials") as step:
        bounded = ("--boundary", run.boundary(Holder.USERS))
        run.command(run.options.operator, "credentials", "--yes", *bounded, *run.key_options())
        session = session_of(run.keys, run.region)
        user = AnnexUser(session, run.outputs())
        # As condor_annex does first: it wants a hash of the lease function's code, and an answer about its pool.
        functions = Account(session, run.region).lambda_
        began = time.monotonic()
        found = run.patiently(
            "reading the lease function",
            lambda: functions.get_function(FunctionName=user.outputs[Output.LEASE_FUNCTION_ARN]),
        )
        step.notes.append(f"the new key worked after {time.monotonic() - began:.0f} s")
        if not found["Configuration"]["CodeSha256"]:
            raise LiveError("the lease function has no code hash")
        event = {"timeout": 5, "condor_host": "192.0.2.1", "condor_port": 9618}
        answer = invoke(session, user.outputs[Output.CONNECTIVITY_FUNCTION_ARN], event)
        if answer.get("success") != "0":
            raise LiveError(f"nobody is at 192.0.2.1, but the connectivity function says {answer}")
    return user


def _image(run: Run) -> str:
    with run.step("find an image") as step:
        image = run.outputs()[Output.IMAGE_ID]
        step.notes.append(image)
    return image


def _start(run: Run, user: AnnexUser, image: str) -> Annex:
    # All that comes before the machines can be repeated, and the machines are the last call.
    seconds = run.options.lease_seconds
    with run.step("start an on-demand machine"):
        annex = run.patiently(
            "starting a machine", lambda: user.start(DEMAND, 1, seconds, image, run.options.instance_type)
        )
        run.wait(lambda: user.running(annex) == 1, "the machine", 60)
    with run.step("extend its lease"):
        # As condor_annex does: with no bucket.
        user.set_lease(DEMAND, run.options.minutes * 60)
    with run.step("start a spot machine") as step:
        user.set_lease(SPOT, seconds)
        fleet = run.patiently(
            "requesting a spot fleet",
            lambda: request_fleet(user, SPOT, image_id=image, instance_type=run.options.instance_type, capacity=1),
        )
        step.notes.append(fleet)
        run.wait(lambda: not _has_ended(user, SPOT), "the spot machine", ENDING)
    return annex


def _pass_role(run: Run, user: AnnexUser, image: str) -> None:
    """Record which service EC2 names where a fleet's role is passed.

    The user may pass the machines' role to EC2 alone, and the lease function's to no service. A dry run with each
    of them as the fleet's role shows which, unless AWS does not check passing in a dry run.
    """
    with run.step("which service PassRole sees") as step:
        function = run.operator.lambda_.get_function_configuration(FunctionName=user.outputs[Output.LEASE_FUNCTION_ARN])
        machines, nobody = (
            refusal(partial(request_fleet, user, SPOT, image_id=image, role=role, dry_run=True))
            for role in (user.outputs[Output.INSTANCE_ROLE_ARN], function["Role"])
        )
        if nobody != "UnauthorizedOperation":
            seen = f"unknown: a dry run with a role that may not be passed answers {nobody or 'a fleet'}"
        elif machines == "UnauthorizedOperation":
            seen = "not ec2.amazonaws.com, and so spotfleet.amazonaws.com"
        else:
            seen = f"ec2.amazonaws.com (the dry run with a role for EC2 alone answers {machines or 'a fleet'})"
        step.notes.append(seen)
        run.facts["iam:PassedToService of the fleet's role"] = seen


def _end(run: Run, user: AnnexUser, annex: Annex, spot_ends: float) -> None:
    _see_end(run, user, "the spot annex ends", SPOT, spot_ends)
    with run.step("the extended annex is still there"):
        # Its first lease was over before that of the spot annex, whose end has been seen.
        if user.running(annex) != 1:
            raise LiveError("the machine ended with its first lease, although that was extended")
        user.set_lease(DEMAND, 0)
    _see_end(run, user, "the extended annex ends", DEMAND, time.time())
    with run.step("the tarball is deleted"):
        listed = run.auditor.s3.list_objects_v2(Bucket=user.outputs[Output.S3_BUCKET_NAME])
        if listed.get("Contents"):
            raise LiveError(f"the bucket still has {[entry['Key'] for entry in listed['Contents']]}")


def _see_end(run: Run, user: AnnexUser, name: str, annex_id: str, ends: float) -> None:
    with run.step(name) as step:
        limit = max(ends - time.time(), 0) + ENDING
        run.wait(lambda: _has_ended(user, annex_id), f"the end of {annex_id}", limit)
        step.notes.append(f"no machine {max(time.time() - ends, 0):.0f} s after its lease")
        run.wait(lambda: run.has_no_rule(annex_id), f"the end of the rule {annex_id}", ENDING)


def _has_ended(user: AnnexUser, annex_id: str) -> bool:
    return user.running(Annex(annex_id, annex_id, "", ())) == 0


def _sweep(run: Run, user: AnnexUser) -> None:
    with run.step("sweep"):
        said = invoke(run.operator.session, user.outputs[Output.LEASE_FUNCTION_ARN], SWEEP_EVENT)
        if said.get("decision") != "sweep" or said.get("orphan_machines"):
            raise LiveError(f"the orphan check says {said}")
    with run.step("alarms and metrics") as step:
        alarms = run.auditor.cloudwatch.describe_alarms(AlarmNamePrefix=f"{STACK}-")["MetricAlarms"]
        states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}
        step.notes += [f"{name}: {state}" for name, state in sorted(states.items())]
        for metric in ("SuccessfulInvocationAttempts", "Invocations", "FailedInvocations"):
            listed = run.auditor.cloudwatch.list_metrics(Namespace="AWS/Events", MetricName=metric)["Metrics"]
            names = {tuple(sorted(each["Name"] for each in found.get("Dimensions", []))) for found in listed}
            shown = ", ".join("+".join(name) or "none" for name in sorted(names))
            step.notes.append(f"AWS/Events {metric} by {shown or 'nothing yet'}")
        if "ALARM" in states.values():
            raise LiveError("an alarm went off")


def _doctor(run: Run) -> None:
    with run.step("doctor") as step:
        said = run.command(run.options.operator, "doctor", "--output", "json", "--config", str(run.config), check=False)
        findings = json.loads(said)["result"]["findings"]
        judged = [each for each in findings if each["subject"] not in LOCAL_SUBJECTS]
        problems = [f"{each['subject']}: {each['detail']}" for each in judged if each["level"] == "PROBLEM"]
        step.notes.append(f"{sum(each['level'] == 'OK' for each in judged)} checks of AWS are well")
        if problems:
            raise LiveError("; ".join(problems))
