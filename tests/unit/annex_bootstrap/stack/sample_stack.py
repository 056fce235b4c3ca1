"""The template as data, and a stack made up in any status."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from annex_bootstrap.stack.read import Stack
from annex_bootstrap.stack.template import parse_template
from annex_contract.stack import Output
from template_gen.template import build

TEMPLATE = parse_template(build().to_json())

OURS = {"CondorCidrs": "0.0.0.0/0", "ConfigKeyPattern": "config-*.tar.gz"}


def a_stack(status: str, parameters: Mapping[str, str] = OURS, version: str = "") -> Stack:
    return Stack(
        stack_id="arn:aws:cloudformation:us-east-1:123456789012:stack/annex-bootstrap/1",
        name="annex-bootstrap",
        status=status,
        reason="",
        parameters=parameters,
        outputs={Output.VERSION: version} if version else {},
        changed=datetime(2026, 1, 1, tzinfo=UTC),
    )
