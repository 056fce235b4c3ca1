"""What a value of each output looks like: whatever else a stack puts out must never reach a configuration.

The patterns are the same in Python and in JavaScript, and match a whole value. None of them lets through a character
that means something to HTCondor's configuration language: a newline, ``$(`` or a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from annex_contract.stack import Output

_ARN = "arn:aws[a-z-]*"
_FUNCTION = f"{_ARN}:lambda:[a-z0-9-]+:[0-9]{{12}}:function:[A-Za-z0-9_-]+"
_ROLE = f"{_ARN}:iam::[0-9]{{12}}:role/[A-Za-z0-9_+=,.@/-]+"
_POLICY = f"{_ARN}:iam::[0-9]{{12}}:policy/[A-Za-z0-9_+=,.@/-]+"

PATTERNS: Mapping[Output, str] = {
    Output.S3_BUCKET_NAME: "[a-z0-9][a-z0-9-]{1,61}[a-z0-9]",
    Output.LEASE_FUNCTION_ARN: _FUNCTION,
    Output.CONNECTIVITY_FUNCTION_ARN: _FUNCTION,
    Output.INSTANCE_CONFIGURATION_PROFILE: f"{_ARN}:iam::[0-9]{{12}}:instance-profile/[A-Za-z0-9_+=,.@/-]+",
    Output.INSTANCE_ROLE_ARN: _ROLE,
    Output.IAM_FLEET_ROLE_ARN: _ROLE,
    Output.SECURITY_GROUP_ID: "sg-[0-9a-f]+",
    Output.ANNEX_USER_POLICY_ARN: _POLICY,
    Output.VERSION: "[0-9]+[.][0-9]+[.][0-9]+[0-9A-Za-z.+-]*",
    Output.KEY_PAIR_NAME: "[A-Za-z0-9._-]+",
    Output.IMAGE_ID: "ami-[0-9a-f]+",
    Output.INSTANCE_TYPE: "[a-z0-9-]+[.][a-z0-9-]+",
    Output.LAUNCH_TEMPLATE_ID: "lt-[0-9a-f]+",
    Output.LAUNCH_TEMPLATE_VERSION: "[0-9]+",
    Output.START_POLICY_ARN: _POLICY,
}


def find_wrong_output(outputs: Mapping[str, str]) -> str:
    """Return the name of an output whose value is not of its kind, or an empty text.

    Args:
        outputs: values by name; names that are not ours are not looked at.
    """
    for output, pattern in PATTERNS.items():
        if output in outputs and not re.fullmatch(pattern, outputs[output]):
            return output
    return ""
