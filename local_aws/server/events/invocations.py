"""What EventBridge may call: a function whose own policy lets it in; MiniStack calls every function that is a target.

Calls and refusals are counted as AWS counts them. Sources: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-troubleshooting.html
(a permission with a source account keeps EventBridge out, because it sends none) and
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html (``FailedInvocations``).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy
from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch, eventbridge, lambda_svc

logger = logging.getLogger(__name__)

SERVICE = "events.amazonaws.com"


def install() -> None:
    """Ask a function's policy before a rule calls the function."""
    invoke = eventbridge._invoke_target

    def invoke_if_allowed(target: Mapping[str, Any], event: Any, rule: Mapping[str, Any], view: Any = None) -> None:
        if _is_refused(target["Arn"], rule["Arn"]):
            logger.warning("the policy of %s does not let the rule %s in", target["Arn"], rule["Name"])
            cloudwatch.record_metric("AWS/Events", "FailedInvocations", 1, "Count", {"RuleName": rule["Name"]})
        else:
            invoke(target, event, rule, view)
            if ":lambda:" in target["Arn"]:
                # MiniStack counts only what the Invoke API calls.
                dimensions = {"FunctionName": target["Arn"].rpartition(":")[2]}
                cloudwatch.record_metric("AWS/Lambda", "Invocations", 1, "Count", dimensions)

    eventbridge._invoke_target = invoke_if_allowed


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
