from __future__ import annotations

import base64
import hashlib
import json
import re
from html import unescape
from html.parser import HTMLParser

import click
import pytest
from click.testing import CliRunner

from annex_bootstrap.launch import launch_links, launch_page
from annex_bootstrap.main import commands
from annex_bootstrap.words import IMAGE_TIME, MINUTES, SPOT_ROLES, TYPES
from annex_contract.resources import IMAGE, IMAGE_BUILDER
from annex_contract.stack import TEMPLATE_NAME
from tests.template import template

TEMPLATE = template()
URL = "https://s3.eu-west-1.amazonaws.com/made-up/0.1.0/annex-bootstrap.template.json"


class _Reader(HTMLParser):
    """Gathers the tags of a page, and the text of its styles and scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.code: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.tags[-1] if self.tags else ("", {})
        if tag in ("style", "script") and attributes.get("type") != "application/json" and data.strip():
            self.code.setdefault(tag, data)

    def links(self) -> list[str]:
        return [str(attributes["href"]) for tag, attributes in self.tags if tag == "a" and "href" in attributes]


def test_the_page_names_no_outside_resource() -> None:
    page = _Reader(launch_page.render(TEMPLATE, "aws", URL))
    assert not {tag for tag, _ in page.tags} & {"link", "img", "iframe", "object", "embed", "video", "audio", "base"}
    for _, attributes in page.tags:
        assert not attributes.keys() & {"src", "srcset", "style", "action", "background"}
        assert not [name for name in attributes if name.startswith("on")]
    assert "url(" not in page.code["style"]
    assert not re.search(r"fetch|XMLHttpRequest|import|WebSocket|sendBeacon|innerHTML|eval", page.code["script"])


def test_the_page_holds_what_its_script_reads_and_no_more() -> None:
    page = launch_page.render(TEMPLATE, "aws", URL)
    (held,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    data = json.loads(held)
    assert set(data) == set(re.findall(r"\bdata\.(\w+)", _Reader(page).code["script"]))
    assert data["everyAddress"] == ["0.0.0.0/0", "::/0"]


def test_the_policy_allows_this_style_and_this_script_and_nothing_else() -> None:
    page = _Reader(launch_page.render(TEMPLATE, "aws", URL))
    (policy,) = [
        str(attributes["content"])
        for _, attributes in page.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.code[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


@pytest.mark.parametrize("partition", launch_links.CONSOLES)
def test_without_scripts_every_region_of_the_partition_has_its_link(partition: str) -> None:
    links = [link for link in _Reader(launch_page.render(TEMPLATE, partition, URL)).links() if link[0] != "#"]
    regions = [region for region in launch_links.REGIONS if region.partition == partition]
    assert links == [launch_links.quick_create_url(region, URL, "annex-bootstrap", {}) for region in regions]


def test_a_page_that_nobody_published_says_so_and_opens_where_a_file_can_be_uploaded() -> None:
    page = launch_page.render(TEMPLATE)
    file, *links = [link for link in _Reader(page).links() if link[0] != "#"]
    assert "This copy has no template URL" in page
    # It is beside the page, wherever that is.
    assert file == TEMPLATE_NAME
    assert links == [f"{launch_links.console_url(region)}#/stacks/create" for region in launch_links.REGIONS]
    assert "has no template URL" not in launch_page.render(TEMPLATE, "aws", URL)


def test_a_stack_name_that_is_not_valid_stays_text() -> None:
    page = launch_page.render(TEMPLATE, "aws", URL, '"><script>alert(1)</script>')
    assert "<script>alert" not in page
    assert '"><script>alert(1)</script>' in unescape(page)


def test_the_page_says_what_a_permissions_boundary_is_for_and_how_to_get_one() -> None:
    page = launch_page.render(TEMPLATE, "aws", URL)
    (sentence,) = [text for text in re.findall(r"<p.*?</p>", page, re.DOTALL) if '"#PermissionsBoundaryArn"' in text]
    assert "no role of this stack can ever exceed" in sentence
    (printing,) = re.findall("<code>annex-bootstrap (.*)</code>", sentence)
    assert CliRunner().invoke(commands, [*printing.split(), "--help"]).exit_code == 0


def test_every_link_within_the_page_has_its_place() -> None:
    page = _Reader(launch_page.render(TEMPLATE, "aws", URL))
    places = {attributes.get("id") for _, attributes in page.tags}
    assert {link.removeprefix("#") for link in page.links() if link.startswith("#")} <= places


def _text(page: str, start: str, end: str) -> str:
    """Return the words of a part of the page."""
    part = page.split(start)[1].split(end)[0].replace("</dt>", " ")
    return unescape(" ".join(re.sub("<[^>]*>", "", part).split()))


def test_the_page_says_what_the_command_line_says() -> None:
    page = launch_page.render(TEMPLATE, "aws", URL)
    before = _text(page, '<dl class="before">', "</dl>")
    assert f"Takes about {MINUTES} minutes{IMAGE_TIME} (an estimate)." in before
    build, keep = (TYPES[resource.resource_type].cost.partition(",")[0].lower() for resource in (IMAGE_BUILDER, IMAGE))
    assert f"Costs {build} of the image, and {keep} to keep it (estimates)" in before
    # Who looks for the button has seen what it opens.
    assert page.index('id="ports"') < page.index('id="launch"')
    assert SPOT_ROLES in _text(page, 'id="deleting"', "</section>").replace("The account", "the account")


def test_the_next_steps_are_those_that_setup_would_still_do() -> None:
    steps = _text(launch_page.render(TEMPLATE, "aws", URL), '<h2 id="after">', "</section>")
    named = re.findall(r"annex-bootstrap ([a-z-]+)", steps.partition("pipx install .")[2])
    assert named == ["pull-config", "credentials", "pool-config", "doctor"]
    context = click.Context(commands)
    assert all(commands.get_command(context, name) for name in named)


def test_what_a_stack_with_default_settings_makes_is_what_its_conditions_let_be() -> None:
    made = launch_page.created(TEMPLATE)
    on_request = {"AnnexKeyPair", "AnnexUserRole", "AlarmTopic", "ConnectivityFunctionNetwork"}
    assert TEMPLATE["Resources"].keys() - set(made) == on_request
    assert f"{len(made)} resources" in launch_page.render(TEMPLATE)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"Fn::And": [{"Fn::Equals": [{"Ref": "A"}, "a"]}, {"Condition": "No"}]}, False),
        ({"Fn::Or": [{"Fn::Equals": [{"Ref": "A"}, "a"]}, {"Condition": "No"}]}, True),
        ({"Fn::Not": [{"Condition": "No"}]}, True),
    ],
)
def test_a_condition_is_judged_as_cloudformation_does(condition: dict[str, object], holds: bool) -> None:
    template = {
        "Parameters": {"A": {"Default": "a"}},
        "Conditions": {"No": {"Fn::Equals": [{"Ref": "A"}, ""]}, "It": condition},
        "Resources": {"Thing": {"Condition": "It"}},
    }
    assert launch_page.created(template) == ["Thing"] * holds


def test_every_resource_of_the_template_is_counted_on_the_page() -> None:
    page = launch_page.render(TEMPLATE)
    created = page.split('id="created"')[1].split("</table>")[0]
    assert sum(int(number) for number in re.findall(r"<tr><td>(\d+)</td>", created)) == len(TEMPLATE["Resources"])


def test_a_resource_that_the_page_has_no_words_for_stops_the_build() -> None:
    strange = TEMPLATE | {"Resources": {"Strange": {"Type": "AWS::Strange::Thing"}}}
    with pytest.raises(KeyError, match="AWS::Strange::Thing"):
        launch_page.render(strange)
