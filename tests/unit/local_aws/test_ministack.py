"""The MiniStack that the extensions were written for."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.unit.local_aws.ministack_parts import RECORD

CODE = "import json; from tests.unit.local_aws.ministack_parts import parts; print(json.dumps(parts()))"


def test_what_is_extended_is_as_it_was_when_it_was_extended() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], stdout=subprocess.PIPE, text=True, check=True)
    now, recorded = json.loads(done.stdout), json.loads(RECORD.read_text())
    different = sorted(name for name in {*now, *recorded} if now.get(name) != recorded.get(name))
    assert not different, f"look at {different} in MiniStack, then run python -m tests.unit.local_aws.ministack_parts"
