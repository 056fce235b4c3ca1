"""What Parameter Store checks before a call: the ARN of a public parameter has no account.

Source: https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-public-parameters.html
"""

from __future__ import annotations

from ministack.core.responses import get_region

from local_aws.server.iam.rules import Context, Rules, value_of
from local_aws.server.wire import Params

PUBLIC = "/aws/service/"


def resources(params: Params) -> list[str]:
    """Return the ARN of a public parameter; of others MiniStack knows it."""
    name = value_of(params, "Name")
    return [f"arn:aws:ssm:{get_region()}::parameter{name}"] if name.startswith(PUBLIC) else []


def request_context(params: Params, _: str) -> Context:
    """Return whether PutParameter overwrites what exists; without the member it does not."""
    return {"ssm:Overwrite": str(params["Overwrite"]).lower()} if "Overwrite" in params else {}


RULES = Rules(resources, request_context)
