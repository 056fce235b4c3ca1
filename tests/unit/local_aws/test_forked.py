import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from local_aws.forked import Forked, Origin

ECHO = """
import os, sys
print(sys.stdin.readline().strip(), os.environ.get("GIVEN"), os.environ.get("LEFT_OUT"), os.getcwd(), flush=True)
print("said", file=sys.stderr)
sys.stdin.readline()
sys.exit(3)
"""


def forked(directory: Path, script: str) -> Forked:
    path = directory / "script.py"
    path.write_text(script)
    return Forked(Origin(), [str(path)], cwd=str(directory), env={"GIVEN": "a value"})


def test_it_has_its_own_streams_environment_and_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEFT_OUT", "a secret")
    process = forked(tmp_path, ECHO)
    process.stdin.write("a line\n")
    assert process.stdout.readline() == f"a line a value None {tmp_path}\n"
    assert process.stderr.readline() == "said\n"
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.01)
    process.stdin.write("end\n")
    assert process.wait() == process.poll() == 3
    assert process.stdout.readline() == ""


@pytest.mark.parametrize(("end", "signal_number"), [(Forked.terminate, 15), (Forked.kill, 9)])
def test_it_can_be_ended(end: Callable[[Forked], None], signal_number: int, tmp_path: Path) -> None:
    process = forked(tmp_path, ECHO)
    end(process)
    assert process.wait() == -signal_number


def test_it_ends_when_nobody_can_write_to_it_any_more(tmp_path: Path) -> None:
    process = forked(tmp_path, "import sys; sys.exit(len(sys.stdin.read()))")
    process.stdin.close()
    assert process.wait() == 0
