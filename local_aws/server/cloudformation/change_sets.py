"""Change sets leave out resources whose condition does not hold; MiniStack lists them.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/conditions-section-structure.html
"""

from __future__ import annotations

from typing import Any

from ministack.services.cloudformation import changesets


def install() -> None:
    """Drop such resources from both sides before MiniStack compares them."""
    resolve = changesets._resolve_props_for_diff

    def without_excluded(template: dict[str, Any], params: Any, stack_name: str, stack_id: str) -> dict[str, Any]:
        resolved: dict[str, Any] = resolve(template, params, stack_name, stack_id)
        if not resolved:
            return resolved
        holds = changesets._evaluate_conditions(template, params)
        kept = {
            name: resource
            for name, resource in resolved["Resources"].items()
            if holds.get(resource.get("Condition"), True)
        }
        return {"Resources": kept}

    changesets._resolve_props_for_diff = without_excluded
