"""What the live test asks AWS about StartPolicy is what the local AWS answers too."""

from __future__ import annotations

import pytest
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document

from local_aws.launcher import ACCOUNT, REGION
from local_aws.server.iam.variables import filled
from tests.live.questions import POLICY, QUESTIONS, Question


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.what)
def test_the_answer_is_known(question: Question) -> None:
    tags = {
        key.partition("/")[2]: value for key, value in question.context.items() if key.startswith("aws:RequestTag/")
    }
    context = EvalContext(
        principal_arn=f"arn:aws:iam::{ACCOUNT}:user/alice",
        principal_type="User",
        principal_account=ACCOUNT,
        action=question.action,
        resource_arn=question.resource,
        region=REGION,
        request_tags=tags,
        service_context={key.lower(): value for key, value in question.context.items()},
        principal_keys={"aws:username": "alice"},
    )
    answer = evaluate(context, filled([parse_policy_document(POLICY)], context))
    assert (answer.decision == "Allow") == question.allowed
