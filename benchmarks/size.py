"""Measure the template, and what of it each part takes.

Run from a checkout: ``python -m benchmarks.size``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from template_gen.archive import BASE64, MAPPING
from template_gen.template import build_text
from template_gen.text import render

GOAL = 240_000
"""Bytes that the template is to stay below: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
allows it 1,000,000."""


WHOLE = "the whole template"


def sizes() -> Mapping[str, int]:
    """Return the bytes of each part, and of all."""
    text = build_text()
    template = json.loads(text)
    return {
        **{
            f"the archive {title}": len("".join(archive[BASE64]))
            for title, archive in sorted(template["Mappings"][MAPPING].items())
        },
        "policies": sum(
            len(render(resource)) for resource in template["Resources"].values() if "Policy" in resource["Type"]
        ),
        WHOLE: len(text.encode()),
    }


def table() -> str:
    """Return the sizes as Markdown."""
    lines = [f"| {name} | {size:,} | {size / GOAL:.2f} |" for name, size in sizes().items()]
    return "\n".join([f"| part | bytes | of {GOAL:,} |", "| --- | ---: | ---: |", *lines]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
