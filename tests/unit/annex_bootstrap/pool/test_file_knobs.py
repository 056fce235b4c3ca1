from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.blocks import find_block, render, replace_block
from annex_bootstrap.pool.file_knobs import BLOCK, needs_htcondor, read_knob, set_knobs, write_knobs
from annex_contract.stack import Output

LINES = st.lists(st.sampled_from([b"A = 1", b"# a comment", b"", b"B = x \\", b"  y", b"\xff\xfe", b"c\r"]))
REGIONS = st.sampled_from(["us-east-1", "eu-west-1", "us-gov-west-1"])
STACK_BLOCK = render("annex-bootstrap", "eu-west-1", {str(output): f"made-up-{output}" for output in Output})


def outside(content: bytes) -> bytes:
    span = find_block(content, BLOCK)
    return content if span is None else content[: span[0]] + content[span[1] :]


def test_the_default_regions_knob_stands_with_and_without_its_name() -> None:
    assert b"\nus_east_1.KNOB = v\n" in set_knobs(b"", "us-east-1", {"KNOB": "v"})
    assert b"\nKNOB = v\n" in set_knobs(b"", "us-east-1", {"KNOB": "v"})


def test_another_regions_knob_stands_with_its_name_only() -> None:
    written = set_knobs(STACK_BLOCK.encode(), "us-east-1", {"KNOB": "v"})
    assert b"\nus_east_1.KNOB = v\n" in written
    assert b"\nKNOB = " not in written


def test_a_region_reads_its_own_knob_before_the_common_one() -> None:
    written = set_knobs(set_knobs(STACK_BLOCK.encode(), "eu-west-1", {"KNOB": "eu"}), "us-east-1", {"KNOB": "us"})
    assert [read_knob(written, region, "KNOB") for region in ("us-east-1", "eu-west-1", "x-y-1")] == ["us", "eu", "eu"]


def test_the_last_definition_counts_whatever_its_case() -> None:
    assert read_knob(b"knob=a\n  KNOB =  b c \n", "us-east-1", "KNOB") == "b c"
    assert read_knob(b"OTHER = a\n", "us-east-1", "KNOB") == ""


@given(LINES, st.lists(st.tuples(REGIONS, st.sampled_from("XYZ"), st.sampled_from([None, "v", "/a b"]))))
def test_whatever_is_set_all_other_bytes_stay(lines: list[bytes], changes: list[tuple[str, str, str | None]]) -> None:
    content = b"".join(line + b"\n" for line in lines) + STACK_BLOCK.encode()
    changed = content
    for region, knob, value in changes:
        changed = set_knobs(changed, region, {knob: value})
        assert outside(changed) == content
        assert read_knob(changed, region, knob) == (value or read_knob(content, region, knob)) or value is None


@given(st.permutations([("us-east-1", "X"), ("eu-west-1", "Y"), ("us-east-1", "Z")]))
def test_the_order_of_the_commands_does_not_matter(order: list[tuple[str, str]]) -> None:
    content = STACK_BLOCK.encode()
    for region, knob in order:
        content = set_knobs(content, region, {knob: f"{region}-{knob}"})
    assert content == set_knobs(
        set_knobs(STACK_BLOCK.encode(), "us-east-1", {"X": "us-east-1-X", "Z": "us-east-1-Z"}),
        "eu-west-1",
        {"Y": "eu-west-1-Y"},
    )


def test_taking_out_the_last_knob_takes_out_the_block() -> None:
    content = STACK_BLOCK.encode()
    assert set_knobs(set_knobs(content, "eu-west-1", {"X": "v"}), "eu-west-1", {"X": None}) == content


def test_the_two_blocks_do_not_disturb_each_other() -> None:
    both = set_knobs(STACK_BLOCK.encode(), "eu-west-1", {"X": "v"})
    assert replace_block(replace_block(both, ""), STACK_BLOCK).count(b"X = v") == 2
    assert set_knobs(replace_block(both, ""), "eu-west-1", {"X": None}) == b""


def test_writing_twice_changes_nothing_the_second_time(tmp_path: Path) -> None:
    path = tmp_path / ".condor" / "user_config"
    assert write_knobs(path, "us-east-1", {"X": "v"})
    assert not write_knobs(path, "us-east-1", {"X": "v"})
    assert not write_knobs(tmp_path / "none", "us-east-1", {"X": None})
    assert not (tmp_path / "none").exists()


def test_a_damaged_block_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "user_config"
    path.write_text(f"# BEGIN {BLOCK}\nX = v\n")
    with pytest.raises(UserError, match="damaged"):
        write_knobs(path, "us-east-1", {"X": "w"})
    assert path.read_text() == f"# BEGIN {BLOCK}\nX = v\n"


@pytest.mark.parametrize(
    "content",
    [
        b"KNOB = /a b\r\nOTHER = x\r\n",
        b"\xef\xbb\xbfKNOB = /a b\n",
        b"KNOB = /a \\\nb\n",
        b"# Caf\xe9\nCAF\xc9 = \xe9\nKNOB = /a b\n",
    ],
)
def test_files_are_read_as_htcondor_reads_them(content: bytes) -> None:
    assert read_knob(content, "us-east-1", "KNOB") == "/a b"
    assert not needs_htcondor(content)


def test_a_name_that_is_not_utf_8_names_its_file_and_is_kept(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9"
    Path(os.fsdecode(path)).write_text("made up")
    content = set_knobs(b"", "us-east-1", {"KNOB": os.fsdecode(path)})
    assert Path(read_knob(content, "us-east-1", "KNOB")).read_text() == "made up"
    assert b"KNOB = " + path + b"\n" in set_knobs(content, "us-east-1", {"OTHER": "x"})


@pytest.mark.parametrize("text", ["A = $(HOME)/x", "A = $ENV(HOME)/x", "if false\nA = 1\nendif", "A @=end\nx\n@end"])
def test_what_only_htcondor_can_tell_is_known_as_such(text: str) -> None:
    assert needs_htcondor(text.encode())
