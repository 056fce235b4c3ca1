"""Conditions that split a parameter, which MiniStack leaves as they are.

AWS evaluates ``Fn::Split`` there; cfn-lint has it in the schema of ``Fn::Equals``:
https://github.com/aws-cloudformation/cfn-lint/blob/main/src/cfnlint/data/schemas/other/functions/equals.json
"""

from __future__ import annotations

from typing import Any

from ministack.services.cloudformation import changesets, engine, handlers, stacks


def install() -> None:
    """Split before MiniStack evaluates conditions, wherever it does."""
    evaluate = engine._evaluate_conditions

    def evaluate_conditions(template: dict[str, Any], params: dict[str, Any]) -> dict[str, bool]:
        conditions = _split(template.get("Conditions", {}), params)
        found: dict[str, bool] = evaluate({**template, "Conditions": conditions}, params)
        return found

    for module in (changesets, engine, handlers, stacks):
        module._evaluate_conditions = evaluate_conditions


def _split(node: Any, params: dict[str, Any]) -> Any:
    match node:
        case {"Fn::Split": [separator, {"Ref": name}]}:
            return str(params[name]["Value"]).split(separator)
        case dict():
            return {key: _split(inner, params) for key, inner in node.items()}
        case list():
            return [_split(inner, params) for inner in node]
    return node
