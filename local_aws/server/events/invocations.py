"""What EventBridge may call: a function whose own policy lets it in; MiniStack calls every function that is a target.

Calls and refusals are counted as AWS counts them. Sources: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-troubleshooting.html
(a permission with a source account keeps EventBridge out, because it sends none) and
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html (``FailedInvocations``).

A rule's clock may run hundreds of times too fast here (see `schedule`), a function's does not. So scheduled calls wait
their turn, a few at a time, and a rule whose last call has not ended makes no other: on a busy machine each tick would
start one process more, until nothing else runs.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy
from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch, eventbridge, lambda_svc

logger = logging.getLogger(__name__)

SERVICE = "events.amazonaws.com"

SCHEDULED_AT_ONCE = 4

_turn = threading.local()
_waiting: set[tuple[str, str]] = set()


def install() -> None:
    """Ask a function's policy before a rule calls the function."""
    invoke, dispatch = eventbridge._invoke_target, eventbridge._dispatch_to_lambda
    scheduled = ThreadPoolExecutor(SCHEDULED_AT_ONCE, thread_name_prefix="scheduled")

    def invoke_if_allowed(target: Mapping[str, Any], event: Any, rule: Mapping[str, Any], view: Any = None) -> None:
        if _is_refused(target["Arn"], rule["Arn"]):
            logger.warning("the policy of %s does not let the rule %s in", target["Arn"], rule["Name"])
            cloudwatch.record_metric("AWS/Events", "FailedInvocations", 1, "Count", {"RuleName": rule["Name"]})
            return
        invoke(target, event, rule, view)
        if ":lambda:" in target["Arn"]:
            # MiniStack counts only what the Invoke API calls.
            dimensions = {"FunctionName": target["Arn"].rpartition(":")[2]}
            cloudwatch.record_metric("AWS/Lambda", "Invocations", 1, "Count", dimensions)

    def invoke_in_turn(target: Mapping[str, Any], event: Any, rule: Mapping[str, Any], view: Any = None) -> None:
        if event["DetailType"] != "Scheduled Event" or ":lambda:" not in target["Arn"]:
            invoke_if_allowed(target, event, rule, view)
            return
        key = (rule["Arn"], target["Id"])
        if key not in _waiting:
            _waiting.add(key)
            scheduled.submit(copy_context().run, take_turn, key, target, event, rule, view)

    def take_turn(key: tuple[str, str], target: Any, event: Any, rule: Mapping[str, Any], view: Any) -> None:
        _turn.taken = True
        try:
            if eventbridge._rule_key(rule["Name"], rule["EventBusName"]) in eventbridge._rules:
                invoke_if_allowed(target, event, rule, view)
        except Exception:
            logger.exception("the rule %s could not call its target", key[0])
        finally:
            _waiting.discard(key)

    def dispatch_to_lambda(arn: str, payload: str) -> None:
        if not getattr(_turn, "taken", False):
            dispatch(arn, payload)
            return
        function, config, name = lambda_svc._get_func_record_for_ref(arn)
        if function is None or config is None:
            logger.warning("there is no function %s", name)
            return
        record = lambda_svc._execution_record_for_config(function, config)
        lambda_svc._execute_function_with_config_scope(record, json.loads(payload))

    eventbridge._invoke_target = invoke_in_turn
    eventbridge._dispatch_to_lambda = dispatch_to_lambda


def _is_refused(target_arn: str, rule_arn: str) -> bool:
    if ":lambda:" not in target_arn:
        return False
    found = lambda_svc.function_policy_for_arn(target_arn)
    context = EvalContext(
        principal_arn=SERVICE,
        principal_type="Service",
        principal_account=get_account_id(),
        action="lambda:InvokeFunction",
        resource_arn=target_arn,
        region=get_region(),
        service_context={"aws:sourcearn": rule_arn},
    )
    return bool(evaluate_resource_policy(found[0] if found else None, context, SERVICE).decision != "Allow")
