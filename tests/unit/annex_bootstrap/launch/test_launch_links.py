from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_bootstrap.errors import CommandLineError, UserError
from annex_bootstrap.launch import launch_links
from tests.template import template

TEMPLATE = template()
URL = "https://s3.eu-west-1.amazonaws.com/made-up/annex-bootstrap.template.json"


def test_the_regions_are_those_that_botocore_knows() -> None:
    session = boto3.Session()
    for partition in launch_links.CONSOLES:
        known = set(session.get_available_regions("cloudformation", partition))
        assert {region.name for region in launch_links.REGIONS if region.partition == partition} == known
    assert {region.partition for region in launch_links.REGIONS} == set(launch_links.CONSOLES)


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-west-1", "console.aws.amazon.com"),
        ("us-gov-west-1", "console.amazonaws-us-gov.com"),
    ],
)
def test_each_partition_has_its_own_console(region: str, host: str) -> None:
    link = urlsplit(launch_links.quick_create_url(launch_links.find_region(region), URL, "mine", {}))
    assert link.scheme == "https"
    assert link.hostname == host
    assert link.path == "/cloudformation/home"
    assert link.query == f"region={region}"


@given(st.dictionaries(st.sampled_from(sorted(TEMPLATE["Parameters"])), st.text()))
def test_whatever_the_values_are_the_console_reads_exactly_them(parameters: dict[str, str]) -> None:
    link = urlsplit(launch_links.quick_create_url(launch_links.REGIONS[0], URL, "mine", parameters))
    path, _, query = link.fragment.partition("?")
    assert path == "/stacks/create/review"
    pairs = [pair.partition("=") for pair in query.split("&")]
    read = {name: unquote(value) for name, _, value in pairs}
    expected = {f"param_{name}": value for name, value in parameters.items()}
    assert read == {"templateURL": URL, "stackName": "mine"} | expected
    assert parse_qs(query)["templateURL"] == [URL]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CondorCidrs", "192.0.2.0/24,2001:db8::/32"),
        ("CondorCidrs", ""),
        ("CondorPort", "1"),
        ("CondorPort", "65535"),
        ("LogRetentionDays", "365"),
        ("KeyPair", "yes"),
        ("BucketName", "my-own-bucket"),
        ("NotificationEmail", "someone@example.org"),
    ],
)
def test_a_value_that_cloudformation_takes_is_taken(name: str, value: str) -> None:
    launch_links.check_link(TEMPLATE, URL, "mine", {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CondorCidrs", "192.0.2.0"),
        ("CondorCidrs", "192.0.2.0/24,everybody"),
        ("CondorPort", "0"),
        ("CondorPort", "65536"),
        ("CondorPort", "+9618"),
        ("LogRetentionDays", "2"),
        ("KeyPair", "maybe"),
        ("BucketName", "has.dots"),
        ("VpcId", "vpc-XYZ"),
    ],
)
def test_a_value_that_cloudformation_refuses_is_refused_with_what_to_type(name: str, value: str) -> None:
    with pytest.raises(UserError, match=f"{name}=.*: (type|choose)"):
        launch_links.check_link(TEMPLATE, URL, "mine", {name: value})


def test_every_default_of_the_template_is_allowed() -> None:
    defaults = {name: str(parameter["Default"]) for name, parameter in TEMPLATE["Parameters"].items()}
    launch_links.check_link(TEMPLATE, URL, "mine", defaults)


@pytest.mark.parametrize(
    ("url", "stack", "parameters", "said"),
    [
        ("http://example.org/t.json", "mine", {}, "https"),
        ("template.json", "mine", {}, "https"),
        (URL, "1st", {}, "letter"),
        (URL, "a" * 29, {}, "at most 28"),
        (URL, "mine", {"CondorCidr": "10.0.0.0/8"}, "CondorCidrs"),
    ],
)
def test_a_link_that_cannot_work_is_not_made(url: str, stack: str, parameters: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        launch_links.check_link(TEMPLATE, url, stack, parameters)


@pytest.mark.parametrize("region", ["cn-north-1", "cn-northwest-1", "eusc-de-east-1"])
def test_a_region_in_which_condor_annex_finds_no_aws_is_refused_with_that_reason(region: str) -> None:
    with pytest.raises(CommandLineError, match="condor_annex cannot use the partition aws-"):
        launch_links.find_region(region)


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(CommandLineError, match="us-moon-1"):
        launch_links.find_region("us-moon-1")


@pytest.mark.parametrize(
    ("region", "parameters", "query"),
    [
        ("us-gov-west-1", {}, "&param_Image=no"),
        ("us-gov-west-1", {"KeyPair": "yes"}, "&param_Image=no&param_KeyPair=yes"),
        ("us-gov-east-1", {"Image": "yes"}, "&param_Image=yes"),
        ("us-gov-east-1", {"Image": "ami-0a1b2c3d"}, "&param_Image=ami-0a1b2c3d"),
        ("us-gov-east-1", {"BaseImage": "ami-0a1b2c3d"}, "&param_BaseImage=ami-0a1b2c3d"),
        ("us-east-1", {}, ""),
    ],
)
def test_where_no_base_is_published_a_link_asks_for_no_image(
    region: str, parameters: dict[str, str], query: str
) -> None:
    link = launch_links.quick_create_url(launch_links.find_region(region), URL, "mine", parameters)
    assert link.endswith(f"&stackName=mine{query}")
