#!/usr/bin/env python3
"""Build ``dist/`` from the sources: the same bytes on every machine and from every directory.

Run as ``python build.py``. Prints what was built and how far it is from AWS's limits; fails above 70% of one.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from annex_bootstrap.launch import launch_page  # noqa: E402  # found through the path set above
from annex_bootstrap.launch.verify import read_code  # noqa: E402  # found through the path set above
from annex_contract.stack import TEMPLATE_NAME  # noqa: E402  # found through the path set above
from template_gen.template import build_text  # noqa: E402  # found through the path set above
from template_gen.third_party import AlteredError  # noqa: E402  # found through the path set above

TEMPLATE_LIMIT = 1_000_000
"""Bytes of a template in S3: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""

INLINE_LIMIT = 4_000_000
"""Bytes of a function's inline code, zipped; ours is counted unzipped:
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-lambda-function-code.html"""

ALLOWED_SHARE = 0.7
"""The part of a limit that a build may use, so that no release meets one by surprise."""


@dataclass(frozen=True)
class Size:
    """The size of one thing that AWS limits, both in bytes."""

    what: str
    size: int
    limit: int

    @property
    def share(self) -> float:
        """Return the part of the limit that is used up: 1.0 is all of it."""
        return self.size / self.limit


def sizes(text: str) -> list[Size]:
    """Return the sizes of a template and of the code in each of its functions."""
    functions = read_code(text).items()
    code = [Size(title, len(body.encode()), INLINE_LIMIT) for title, body in functions]
    return [*code, Size(TEMPLATE_NAME, len(text.encode()), TEMPLATE_LIMIT)]


def main() -> int:
    """Build, report, and say whether everything is well within its limit."""
    try:
        text = build_text()
    except AlteredError as error:
        sys.stderr.write(f"build.py: {error}\n")
        return 1
    report = sizes(text)
    for size in report:
        sys.stdout.write(f"{size.what:32} {size.size:>9,} bytes  {size.share:6.1%} of {size.limit:,}\n")
    too_large = [size.what for size in report if size.share > ALLOWED_SHARE]
    if too_large:
        sys.stderr.write(f"build.py: above {ALLOWED_SHARE:.0%} of AWS's limit: {', '.join(too_large)}; embed less\n")
        return 1
    built = {TEMPLATE_NAME: text, launch_page.PAGE_NAME: launch_page.render(json.loads(text))}
    target = ROOT / "dist"
    try:
        target.mkdir(exist_ok=True)
        for name, content in built.items():
            body = content.encode()
            # Anyone who reads it meanwhile, such as a test beside this one, sees the old file or the new one.
            fresh = target / f".{name}.{os.getpid()}"
            fresh.write_bytes(body)
            fresh.replace(target / name)
            sys.stdout.write(f"dist/{name}  {len(body):,} bytes  sha256 {hashlib.sha256(body).hexdigest()}\n")
    except OSError as error:
        place = f"{error.filename} cannot be written: {error.strerror}"
        sys.stderr.write(f"build.py: {place}; build in a copy of this directory that is yours\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
