"""What can be wrong with the stack's functions, their schedule and their mail."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Self

from annex_bootstrap.aws import explained, physical_id
from annex_bootstrap.doctor.check import DEPLOY_AGAIN, Check, Finding, Setup, unless_gone
from annex_bootstrap.errors import DeniedError, UserError
from annex_bootstrap.stack import metrics
from annex_contract.stack import (
    LogicalId,
    Output,
    Parameter,
    sweep_rule_name,
)

PENDING = "PendingConfirmation"
"""What SNS lists in place of the ARN until somebody follows the link:
https://docs.aws.amazon.com/sns/latest/api/API_Subscription.html"""


DAY = 86400


FAILURES = "?ERROR ?timed"
"""The filter for log lines that report a failure: ERROR, as our functions and Python write it, or a timeout."""


LINE_LENGTH = 200


@dataclass(frozen=True)
class _Function(Check):
    """A function can run, and has not failed lately.

    Attributes:
        state: as Lambda says; empty where there is none.
        reason: why it has that state.
        errors: its last error lines, the newest last.
    """

    output: ClassVar[Output]

    state: str
    reason: str
    errors: Sequence[str]

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        if setup.deployed is None:
            return None
        functions, arn = setup.account.lambda_, setup.deployed.outputs[cls.output]
        with explained(f"checking the {cls.subject}"):
            found = unless_gone(lambda: functions.get_function_configuration(FunctionName=arn))
            if found is None:
                return cls("", "", [])
            group = found.get("LoggingConfig", {}).get("LogGroup", f"/aws/lambda/{found['FunctionName']}")
            pages = setup.account.logs.get_paginator("filter_log_events").paginate(
                logGroupName=group, startTime=int(time.time() - DAY) * 1000, filterPattern=FAILURES
            )
            errors = [log_message(event["message"]) for page in pages for event in page["events"]]
        return cls(found.get("State", "Active"), found.get("StateReason", ""), errors)

    def judge(self) -> Finding:
        if not self.state:
            return self.problem("it is gone", DEPLOY_AGAIN)
        if self.state not in ("Active", "Inactive"):
            advice = "run annex-bootstrap deploy, or check it in the console"
            return self.problem(f"it is {self.state}: {self.reason}", advice)
        if self.errors:
            detail = f"{len(self.errors)} error lines in the last day, the last: {self.errors[-1]}"
            return self.problem(detail, "read its log: annexes may keep running after their lease")
        return self.ok(f"{self.state}, no error in the last day")


@dataclass(frozen=True)
class LeaseFunction(_Function):
    """The function that ends leases can run, and has not failed lately."""

    id = "lease-function"
    subject = "lease function"
    output = Output.LEASE_FUNCTION_ARN


@dataclass(frozen=True)
class OrphanCheck(Check):
    """EventBridge calls the lease function, as the orphan check makes it do every hour.

    Attributes:
        age: seconds since the stack was created or last updated.
        calls: of the lease function in the last `metrics.HOURS` hours.
        refused: orphan checks that EventBridge could not deliver in that time.
    """

    id = "orphan-check"
    subject = "orphan check"

    age: float
    calls: float
    refused: float

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        stack = setup.deployed
        if stack is None:
            return None
        with explained("counting the calls of the lease function"):
            function = stack.outputs[Output.LEASE_FUNCTION_ARN].rpartition(":")[2]
            calls = metrics.sums(setup.account, "AWS/Lambda", "Invocations", FunctionName=function)
            rule = sweep_rule_name(stack.name)
            refused = metrics.sums(setup.account, "AWS/Events", "FailedInvocations", RuleName=rule)
        age = (datetime.now(UTC) - stack.changed).total_seconds()
        # What was refused before is over: a deployment mends it, and an older stack's rule had the same name.
        since = [point for point in refused if point["Timestamp"] >= stack.changed]
        return cls(age, sum(point["Sum"] for point in calls), sum(point["Sum"] for point in since))

    def judge(self) -> Finding:
        if self.refused:
            count = _times(self.refused)
            detail = f"EventBridge could not call the lease function {count} in the last {metrics.HOURS} hours"
            return self.problem(detail, "see the next check; until it can, leases do not end annexes")
        if self.calls:
            return self.ok(f"the lease function was called {_times(self.calls)} in the last {metrics.HOURS} hours")
        if self.age < metrics.HOURS * 3600:
            return self.skipped("the stack is new, and nothing has called the lease function yet", "try again later")
        detail = f"nothing has called the lease function in the last {metrics.HOURS} hours"
        advice = "enable the rule SweepRule in the EventBridge console; where it is gone, the next check says so"
        return self.problem(detail, advice)


@dataclass(frozen=True)
class AlarmMail(Check):
    """The mails of alarms reach somebody: who owns an address has to confirm it first.

    Attributes:
        address: that the stack has; empty for none.
        pending: addresses that are not confirmed.
        confirmed: how many addresses are.
        error: why it is not known; None where it is.
    """

    id = "alarm-mail"
    subject = "mails of alarms"

    address: str
    pending: Sequence[str] = ()
    confirmed: int = 0
    error: UserError | None = None

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        stack = setup.deployed
        address = stack.parameters.get(Parameter.NOTIFICATION_EMAIL, "") if stack else ""
        if not address or stack is None:
            return None
        try:
            topic = physical_id(setup.account, stack.stack_id, LogicalId.ALARM_TOPIC)
            with explained("checking who gets the mails of alarms"):
                pages = setup.account.sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
                found = [subscription for page in pages for subscription in page["Subscriptions"]]
        except DeniedError as error:
            return cls(address, error=error)
        pending = [each["Endpoint"] for each in found if each["SubscriptionArn"] == PENDING]
        confirmed = sum(each["SubscriptionArn"].startswith("arn:") for each in found)
        return cls(address, pending, confirmed)

    def judge(self) -> Finding:
        if self.error is not None:
            return self.skipped(
                "it cannot be read", "ask your administrator for what `annex-bootstrap policy operator` prints"
            )
        if self.pending:
            detail = f"{', '.join(self.pending)} did not confirm, and so gets no mail when machines cannot be ended"
            return self.problem(
                detail, "follow the link in the mail of AWS Notifications; deploy with another address for a new mail"
            )
        if not self.confirmed:
            detail = f"{self.address} has unsubscribed, and so gets no mail when machines cannot be ended"
            return self.problem(detail, "deploy without NotificationEmail, then with it again, and confirm")
        return self.ok("the address has confirmed that it gets them")


@dataclass(frozen=True)
class ConnectivityFunction(_Function):
    """The function that asks for the collector can run, and has not failed lately."""

    id = "connectivity-function"
    subject = "connectivity function"
    output = Output.CONNECTIVITY_FUNCTION_ARN


def log_message(line: str) -> str:
    """Return what a line of a function's log says: the error in our functions' JSON, else the line, truncated."""
    try:
        text = str(json.loads(line)["error"])
    except (ValueError, TypeError, KeyError):
        text = line.strip()
    return text[:LINE_LENGTH]


def _times(count: float) -> str:
    return "once" if count == 1 else f"{count:.0f} times"
