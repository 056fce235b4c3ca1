"""The configuration block as text: whatever stands around it survives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.blocks import (
    BEGIN,
    END,
    Block,
    Section,
    local_name,
    read_block,
    render_block,
    replace_block,
    section,
)
from annex_contract.knobs import KNOBS
from annex_contract.stack import Output

REGIONS = ("us-east-1", "eu-west-1", "ap-south-1", "us-gov-west-1")


def outputs(region: str, key_pair: bool = False) -> dict[str, str]:
    made = {str(output): f"{output}-of-{region}" for output in Output if output is not Output.KEY_PAIR_NAME}
    return made | ({str(Output.KEY_PAIR_NAME): f"key-of-{region}"} if key_pair else {})


def a_section(region: str, key_pair: bool = False) -> Section:
    return section("annex-bootstrap", region, outputs(region, key_pair))


def knobs(text: str) -> dict[str, str]:
    """What HTCondor makes of a configuration of single lines."""
    lines = [line.partition("=") for line in text.splitlines() if line and not line.startswith("#")]
    return {name.strip(): value.strip() for name, _, value in lines}


def look_up(text: str, region: str, knob: str) -> str:
    """What a tool started for a region reads: the prefixed knob, also an empty one, before the other."""
    read = knobs(text)
    return read.get(f"{local_name(region)}.{knob}", read.get(knob, ""))


around = st.binary().filter(lambda raw: b"annex-bootstrap" not in raw)
blocks = st.lists(
    st.builds(a_section, st.sampled_from(REGIONS), st.booleans()), min_size=1, unique_by=lambda section: section.region
).map(lambda sections: Block(tuple(sections)))


@given(blocks)
def test_what_is_written_is_what_is_read(block: Block) -> None:
    assert read_block(render_block(block).encode()) == block


@given(around, around, blocks, blocks)
def test_every_byte_around_the_block_survives_any_change_and_removal(
    before: bytes, after: bytes, first: Block, second: Block
) -> None:
    start = before + b"\n"
    content = start + render_block(first).encode() + after
    for block in (second, Block(), first):
        changed = replace_block(content, render_block(block))
        assert changed == start + render_block(block).encode() + after
        assert read_block(changed) == block


@given(around, blocks)
def test_a_first_block_goes_to_the_end_and_begins_a_line_of_its_own(content: bytes, block: Block) -> None:
    changed = replace_block(content, render_block(block))
    assert changed.startswith(content)
    lines = changed[len(content) :].lstrip(b"\n").splitlines(keepends=True)
    own = [line for line in lines if not line.startswith(b"# Newlines before this block")]
    assert b"".join(own) == render_block(block).encode()
    assert read_block(changed) == block
    assert replace_block(changed, render_block(block)) == changed


@given(around, blocks, blocks, around)
def test_removing_a_block_leaves_the_file_as_it_was_to_the_byte(
    content: bytes, first: Block, second: Block, after: bytes
) -> None:
    written = replace_block(content, render_block(first))
    assert replace_block(written, "") == content
    changed = replace_block(written, render_block(second))
    assert replace_block(changed, "") == content
    if second.sections:
        assert replace_block(changed + after, "") == content + after


@pytest.mark.parametrize("ending", [b"A = 1 \\", b"A = 1 \\\n", b"A = 1 \\\r\n"])
def test_a_continued_last_line_does_not_swallow_the_block(ending: bytes) -> None:
    changed = replace_block(ending, render_block(Block((a_section("us-east-1"),))))
    assert changed.startswith(ending.rstrip(b"\n") + b"\n\n" + BEGIN.encode())


@given(st.permutations(REGIONS), st.permutations(REGIONS))
def test_every_region_is_read_as_its_own_in_any_order_of_pulls(first: list[str], second: list[str]) -> None:
    block = Block()
    for region in [*first, *second]:
        block = block.put(a_section(region))
    assert block.default_region == first[0]
    text = render_block(block)
    assert knobs(text)["ANNEX_DEFAULT_AWS_REGION"] == first[0]
    for region in REGIONS:
        for knob in KNOBS:
            if knob.output is not Output.KEY_PAIR_NAME:
                assert look_up(text, region, knob.name) == outputs(region)[knob.output]


@given(blocks)
def test_a_region_without_a_key_pair_does_not_inherit_the_default_regions(block: Block) -> None:
    text = render_block(block)
    for listed in block.sections:
        expected = listed.knobs.get("ANNEX_DEFAULT_ODI_KEY_NAME", "")
        assert look_up(text, listed.region, "ANNEX_DEFAULT_ODI_KEY_NAME") == expected


@given(blocks, st.sampled_from(REGIONS))
def test_dropping_a_region_leaves_the_others_and_the_first_of_them_is_the_default(block: Block, region: str) -> None:
    left = block.drop(region, "annex-bootstrap")
    assert [section for section in block.sections if section.region != region] == list(left.sections)
    assert block.drop(region, "another-stack") == block


def test_only_the_default_regions_knobs_have_no_prefix_but_those_that_htcondor_itself_sets_with_one() -> None:
    lines = render_block(Block((a_section("us-east-1"), a_section("eu-west-1")))).splitlines()
    assert "ANNEX_DEFAULT_S3_BUCKET = S3BucketName-of-us-east-1" in lines
    assert "eu_west_1.ANNEX_DEFAULT_S3_BUCKET = S3BucketName-of-eu-west-1" in lines
    assert [line for line in lines if line.startswith("us_east_1.")] == [
        "us_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID = ImageId-of-us-east-1",
        "us_east_1.ANNEX_DEFAULT_ODI_INSTANCE_TYPE = InstanceType-of-us-east-1",
    ]


def test_another_region_can_be_made_the_default() -> None:
    block = Block((a_section("us-east-1"), a_section("eu-west-1"))).prefer("eu-west-1")
    assert [section.region for section in block.sections] == ["eu-west-1", "us-east-1"]
    with pytest.raises(UserError, match="ap-south-1 cannot be the default region: the configuration has eu-west-1"):
        block.prefer("ap-south-1")
    with pytest.raises(UserError, match=r"the configuration has none$"):
        Block(()).prefer("ap-south-1")


@pytest.mark.parametrize(
    ("begins", "ends"), [(1, 0), (0, 1), (2, 1), (1, 2), (2, 2)]
)  # fmt: skip
def test_markers_that_do_not_pair_are_refused(begins: int, ends: int) -> None:
    content = ("A = 1\n" + f"{BEGIN}\n" * begins + f"{END}\n" * ends).encode()
    for act in (
        lambda: read_block(content),
        lambda: replace_block(content, render_block(Block((a_section("us-east-1"),)))),
    ):
        with pytest.raises(UserError, match=rf"block is damaged \({begins} BEGIN and {ends} END lines\)"):
            act()


def test_an_end_before_its_begin_is_refused() -> None:
    with pytest.raises(UserError, match="block is damaged"):
        read_block(f"{END}\n{BEGIN}\n".encode())


@pytest.mark.parametrize("line", ["MY_KNOB = 1", "eu_west_1.ANNEX_DEFAULT_S3_BUCKET = mine", "use ROLE : Execute"])
def test_a_line_that_somebody_put_into_the_block_is_kept_and_reported(line: str) -> None:
    edited = render_block(Block((a_section("us-east-1"),))).replace(END, f"{line}\n{END}")
    with pytest.raises(UserError, match=r"line 19 in its annex-bootstrap block is not ours"):
        read_block(b"A = 1\n\n" + edited.encode())


def test_a_stack_without_an_output_that_a_knob_needs_is_refused() -> None:
    lacking = {name: value for name, value in outputs("us-east-1").items() if name != Output.S3_BUCKET_NAME}
    with pytest.raises(UserError, match="has no output S3BucketName: run annex-bootstrap deploy"):
        section("annex-bootstrap", "us-east-1", lacking)


def test_the_local_name_of_a_region_is_what_htcondor_makes_of_it() -> None:
    assert local_name("us-gov-west-1") == "us_gov_west_1"
