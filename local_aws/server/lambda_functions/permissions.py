"""What AddPermission is authorized with: whom it lets in, which MiniStack does not look at.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
"""

from __future__ import annotations

from local_aws.server.iam.rules import Context, Rules, value_of
from local_aws.server.wire import Params

KEYS = {"lambda:FunctionUrlAuthType": "FunctionUrlAuthType", "lambda:Principal": "Principal"}


def request_context(params: Params, _: str) -> Context:
    """Return the principal of a statement that is added to a function's policy."""
    if "StatementId" not in params:
        return {}
    return {key: value_of(params, member) for key, member in KEYS.items() if member in params}


RULES = Rules(lambda _: [], request_context)
