"""ValidateTemplate's answer, whose parameters have no type: MiniStack returns GetTemplateSummary's.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_TemplateParameter.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ministack.services.cloudformation import handlers

Answer = tuple[int, dict[str, str], bytes]


def install() -> None:
    """Leave the types out."""
    table: dict[str, Any] = handlers._ACTION_HANDLERS
    validate = table["ValidateTemplate"]

    def validate_template(params: Mapping[str, Any]) -> Answer:
        status, headers, body = validate(params)
        return status, headers, re.sub(rb"<ParameterType>[^<]*</ParameterType>", b"", body)

    table["ValidateTemplate"] = validate_template
