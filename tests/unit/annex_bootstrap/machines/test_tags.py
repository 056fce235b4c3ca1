"""Tags that people give their machines."""

from __future__ import annotations

import pytest

from annex_bootstrap.errors import UserError
from annex_bootstrap.machines.tags import parse_tags, tag_parameters


def test_a_tag_is_a_key_and_a_value_which_may_be_empty_or_have_an_equals_sign() -> None:
    assert parse_tags(["cost-center=42", "projekt=Öl & Gas".replace(" & ", "/"), "empty=", "sum=a=b"]) == {
        "cost-center": "42",
        "projekt": "Öl/Gas",
        "empty": "",
        "sum": "a=b",
    }
    assert parse_tags(["a=1", "a=1"]) == {"a": "1"}
    assert parse_tags([]) == {}
    longest = "k" * 128
    assert parse_tags([f"{longest}={'v' * 256}"]) == {longest: "v" * 256}
    assert len(parse_tags(f"k{number}=v" for number in range(40))) == 40


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("cost-center", "'cost-center' is not a tag: give KEY=VALUE"),
        ("", "'' is not a tag"),
        ("aws:cost=1", "the tag aws:cost is not free"),
        ("AWS:cost=1", "the tag AWS:cost is not free"),
        ("annex-bootstrap:stack=mine", "the tag annex-bootstrap:stack is not free"),
        ("htcondor:AnnexName=other", "the tag htcondor:AnnexName is not free"),
        ("Name=blast", "the tag Name is not free"),
        ("=1", "'' cannot be the key of a machine's tag"),
        ("cost center=1", "'cost center' cannot be the key"),
        ("a/b=1", "'a/b' cannot be the key"),
        ("..=1", "'..' cannot be the key"),
        ("_index=1", "'_index' cannot be the key"),
        ("a\n=1", r"'a\\n' cannot be the key"),
        ("k" * 129 + "=1", "cannot be the key"),
        ("a=b\nc", r"'b\\nc' cannot be the value of the tag a"),
        ("a=*", r"'\*' cannot be the value of the tag a"),
        ("a=" + "v" * 257, "cannot be the value of the tag a"),
    ],
)
def test_what_is_no_tag_or_belongs_to_others_is_refused(text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        parse_tags([text])


def test_a_key_with_two_values_and_too_many_tags_are_refused() -> None:
    with pytest.raises(UserError, match="the tag a is given twice: '1' and '2'"):
        parse_tags(["a=1", "a=2"])
    with pytest.raises(UserError, match="41 tags are too many: give at most 40"):
        parse_tags(f"k{number}=v" for number in range(41))


def test_tags_of_a_stack_are_its_parameters_and_take_the_place_of_all_before() -> None:
    assert tag_parameters([]) == {}
    assert tag_parameters(["cost-center=42", "empty="]) == {
        "Tag1": "cost-center=42",
        "Tag2": "empty=",
        **dict.fromkeys(("Tag3", "Tag4", "Tag5", "Tag6"), ""),
    }


@pytest.mark.parametrize("text", ["sum=a=b", "a,b=c"])
def test_a_tag_that_a_template_or_iam_cannot_take_is_no_tag_of_a_stack(text: str) -> None:
    with pytest.raises(UserError, match="of a stack has a comma or a second =: give another value"):
        tag_parameters([text])


def test_a_stack_has_no_more_tags_than_parameters_for_them() -> None:
    assert tag_parameters(f"k{number}=v" for number in range(1, 7)) == {
        f"Tag{number}": f"k{number}=v" for number in range(1, 7)
    }
    with pytest.raises(UserError, match="7 tags are too many for a stack: give at most 6"):
        tag_parameters(f"k{number}=v" for number in range(7))
