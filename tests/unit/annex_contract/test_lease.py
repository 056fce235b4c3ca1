"""The wire format of a lease, and what belongs to an annex."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_contract.lease import (
    LATEST,
    Lease,
    UnreadableLeaseError,
    annex_id_of,
    annex_of,
    annex_of_ec2_fleet,
    annex_of_fleet,
    annex_of_specifications,
    input_ending_at,
    parse_input,
    parse_lease,
)

NAMES = st.text(alphabet="ab_-.*?[\\", min_size=1, max_size=27)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)
GOOD = {"AnnexID": "test", "S3BucketName": "", "LeaseExpiration": 1000}


def test_a_lease_is_read_from_an_event() -> None:
    assert parse_lease(GOOD | {"S3BucketName": "b"}) == Lease("test", "b", 1000)


@pytest.mark.parametrize("event", [None, [], "test", 7, True, [GOOD]])
def test_an_event_that_is_not_an_object_is_refused(event: object) -> None:
    with pytest.raises(UnreadableLeaseError, match="JSON object"):
        parse_lease(event)


@pytest.mark.parametrize("field", sorted(GOOD))
def test_an_event_that_lacks_a_field_is_refused_and_the_field_is_named(field: str) -> None:
    with pytest.raises(UnreadableLeaseError, match=field):
        parse_lease({key: value for key, value in GOOD.items() if key != field})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("AnnexID", ""),
        ("AnnexID", 5),
        ("AnnexID", None),
        ("S3BucketName", None),
        ("S3BucketName", 0),
        ("LeaseExpiration", "1000"),
        ("LeaseExpiration", True),
        ("LeaseExpiration", False),
        ("LeaseExpiration", None),
        ("LeaseExpiration", 1000.0),
        ("LeaseExpiration", float("nan")),
        ("LeaseExpiration", float("-inf")),
        ("LeaseExpiration", [1000]),
    ],
)
def test_a_field_of_the_wrong_type_is_refused_and_the_field_is_named(field: str, value: object) -> None:
    with pytest.raises(UnreadableLeaseError, match=field):
        parse_lease(GOOD | {field: value})


@pytest.mark.parametrize("expiration", [LATEST + 1, 10**30, 10**400])
def test_an_end_after_the_year_2999_is_refused(expiration: int) -> None:
    with pytest.raises(UnreadableLeaseError, match="LeaseExpiration must be before the year 3000"):
        parse_lease(GOOD | {"LeaseExpiration": expiration})


@pytest.mark.parametrize("expiration", [-1, -(10**30)])
def test_an_end_before_the_epoch_is_over_all_the_same(expiration: int) -> None:
    assert parse_lease(GOOD | {"LeaseExpiration": expiration}).expiration == 0


@pytest.mark.parametrize(
    "text",
    [None, "", "{", "null", "[]", '{"AnnexID": "test"}', "[" * 100_000, "9" * 5_000]
    + [json.dumps(GOOD).replace("1000", value) for value in ("NaN", "-Infinity", "1e3", '"1000"', "true")],
)
def test_an_unreadable_input_is_refused(text: str | None) -> None:
    with pytest.raises(UnreadableLeaseError):
        parse_input(text, "test")


@given(JSON_VALUES, JSON_VALUES, JSON_VALUES)
def test_whatever_stands_in_an_event_it_is_a_lease_or_refused_with_one_error(
    annex_id: object, bucket: object, expiration: object
) -> None:
    event = {"AnnexID": annex_id, "S3BucketName": bucket, "LeaseExpiration": expiration}
    try:
        lease = parse_lease(event)
    except UnreadableLeaseError:
        return
    assert [type(value) for value in (lease.annex_id, lease.bucket, lease.expiration)] == [str, str, int]


def test_a_target_that_holds_the_lease_of_another_annex_is_refused() -> None:
    with pytest.raises(UnreadableLeaseError, match="other"):
        parse_input(json.dumps(GOOD | {"AnnexID": "other"}), "test")


@given(NAMES, st.uuids())
def test_a_client_token_names_its_annex_whatever_the_name_holds(name: str, uuid: object) -> None:
    assert annex_of(None, f"{name}_{uuid}", ours=True) == name


@given(NAMES, NAMES)
def test_the_tag_wins_over_the_client_token(tag: str, other: str) -> None:
    assert annex_of(tag, f"{other}_uuid", ours=True) == tag


@pytest.mark.parametrize("token", [None, "", "_", "_uuid", "test", "6e0c1b9a-7a35-4d7c-9f53-0d6f6f0a1c11"])
def test_a_token_of_another_shape_names_no_annex(token: str | None) -> None:
    assert annex_of(None, token, ours=True) is None


def test_an_empty_tag_names_no_annex_even_beside_a_client_token() -> None:
    assert annex_of("", "test_uuid", ours=True) is None


def test_neither_tag_nor_token_names_an_annex_where_something_runs_with_another_profile() -> None:
    assert annex_of(None, "render_2024", ours=False) is None
    assert annex_of("render", "render_2024", ours=False) is None
    assert annex_of_specifications(["render"], "render_2024", ours=False) is None
    assert annex_of_specifications([None], "render_2024", ours=False) is None


@pytest.mark.parametrize(
    ("tags", "token", "annex"),
    [
        (["test", "test"], None, "test"),
        (["test", "test"], "other_uuid", "test"),
        ([None, None], "test_uuid", "test"),
        ([], "test_uuid", "test"),
        ([None], None, None),
        (["test", None], "test_uuid", None),
        (["test", "other"], "test_uuid", None),
    ],
)
def test_a_fleet_belongs_to_the_annex_that_all_its_specifications_agree_on(
    tags: list[str | None], token: str | None, annex: str | None
) -> None:
    assert annex_of_specifications(tags, token, ours=True) == annex


@given(st.text(alphabet="ab_-.", max_size=60))
def test_an_annex_id_is_the_name_cut_to_27_characters(name: str) -> None:
    assert annex_id_of(name) == name[:27]


@given(st.integers(0, LATEST), st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=3))
def test_another_end_leaves_all_else_in_an_input_as_it_was(expiration: int, rest: dict[str, object]) -> None:
    # Through JSON, which knows no NaN that equals itself and no tuples.
    text = json.dumps(rest | GOOD)
    changed = json.loads(input_ending_at(text, expiration))
    assert json.dumps(changed) == json.dumps(json.loads(text) | {"LeaseExpiration": expiration})
    assert parse_input(json.dumps(changed), "test") == Lease("test", "", expiration)


def test_an_ec2_fleet_is_of_the_annex_that_its_tags_name_if_they_name_the_stack_too() -> None:
    annex, stack = {"Key": "htcondor:AnnexName", "Value": "first"}, {"Key": "annex-bootstrap:stack", "Value": "arn:s"}
    assert annex_of_ec2_fleet({"Tags": [annex, stack]}, "arn:s") == "first"
    assert annex_of_ec2_fleet({"Tags": [annex, stack]}, "arn:other") is None
    assert annex_of_ec2_fleet({"Tags": [annex]}, "arn:s") is None
    assert annex_of_ec2_fleet({"Tags": [stack]}, "arn:s") is None
    assert annex_of_ec2_fleet({}, "arn:s") is None


def test_a_spot_fleet_is_of_the_annex_that_its_token_names_where_all_its_machines_have_a_profile_of_ours() -> None:
    def specified(*profiles: str) -> dict[str, Any]:
        return {"LaunchSpecifications": [{"IamInstanceProfile": {"Arn": each}} for each in profiles]}

    token, ours = {"ClientToken": "first_0a1b"}, frozenset({"ours", "our-own"})
    assert annex_of_fleet(token | specified("ours", "our-own"), ours) == "first"
    assert annex_of_fleet(token | specified("ours", "another"), ours) is None
    assert annex_of_fleet(token | specified("another"), ours) is None
    assert annex_of_fleet(token | specified(), ours) is None
