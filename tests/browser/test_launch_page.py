"""The launch page in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import boto3
import pytest

from annex_bootstrap.errors import UserError
from annex_bootstrap.launch import launch_links
from annex_bootstrap.words import is_everyone, open_ports
from annex_contract.stack import Output
from local_aws.launcher import REGION, local_aws
from template_gen.template import build
from tests.browser.chromium import Page
from tests.browser.conftest import URL, OpenPage
from tests.local_aws.cli_user import CliUser

TEMPLATE = build().to_dict()
CHOSEN = {"CondorCidrs": "192.0.2.0/24,2001:db8::/32", "SshCidrs": "", "KeyPair": "yes", "LogRetentionDays": "7"}

OUTPUTS: Mapping[str, str] = {
    **{output: f"made-up-{output}" for output in Output},
    Output.LEASE_FUNCTION_ARN: "arn:aws:lambda:eu-west-1:123456789012:function:made-up",
    Output.VERSION: "0.1.0",
}


def _choose(page: Page, field: str, value: str) -> None:
    """Focus a field and put a value into it, as a person does."""
    page.run(f"document.getElementById('more').open = true; document.getElementById('{field}').focus()")
    if page.run("document.activeElement.tagName") == "SELECT":
        page.run(
            f"document.activeElement.value = {json.dumps(value)};"
            "document.activeElement.dispatchEvent(new Event('input', {bubbles: true}))"
        )
    else:
        page.type(value)


def _tab_to(page: Page, element: str) -> None:
    for _ in range(100):
        if page.run("document.activeElement.id") == element:
            return
        page.press("Tab")
    raise AssertionError(f"a hundred times Tab do not reach {element}")


def test_every_regions_link_opens_with_exactly_the_chosen_parameters(
    open_page: OpenPage, write_page: Callable[..., str]
) -> None:
    for partition in launch_links.CONSOLES:
        page = open_page()
        page.open(write_page(partition))
        _choose(page, "stack", "my-annexes")
        for name, value in CHOSEN.items():
            _choose(page, name, value)
        # The page's own order: that of the form.
        order = page.run("[...document.querySelectorAll('[data-parameter]')].map((field) => field.id)")
        expected = {name: CHOSEN[name] for name in order if name in CHOSEN}
        regions = [region for region in launch_links.REGIONS if region.partition == partition]
        assert page.run("[...document.getElementById('region').options].map((option) => option.value)") == [
            region.name for region in regions
        ]
        for region in regions:
            _choose(page, "region", region.name)
            link = page.run("document.getElementById('launch').href")
            assert link == launch_links.quick_create_url(region, URL, "my-annexes", expected)
        page.run("document.getElementById('launch').click()")
        assert page.next_request() == launch_links.quick_create_url(regions[-1], URL, "my-annexes", expected)


def test_every_link_of_the_table_opens_its_region(page: Page) -> None:
    regions = [region for region in launch_links.REGIONS if region.partition == "aws"]
    for number, region in enumerate(regions):
        page.run(f"document.querySelectorAll('td a')[{number}].click()")
        assert page.next_request() == launch_links.quick_create_url(region, URL, "annex-bootstrap", {})


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    _tab_to(page, "region")
    page.press("End")
    _tab_to(page, "stack")
    page.type("by-keyboard")
    page.press("Tab")
    assert page.run("document.activeElement.tagName") == "SUMMARY"
    page.press("Enter")
    _tab_to(page, "CondorCidrs")
    page.type("10.0.0.0/8")
    _tab_to(page, "launch")
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.press("Enter")
    last = [region for region in launch_links.REGIONS if region.partition == "aws"][-1]
    assert page.next_request() == launch_links.quick_create_url(last, URL, "by-keyboard", {"CondorCidrs": "10.0.0.0/8"})


def test_without_scripts_the_table_of_links_remains(open_page: OpenPage, write_page: Callable[..., str]) -> None:
    page = open_page(scripts=False)
    page.open(write_page())
    document = page.call("DOM.getDocument", depth=-1)["root"]["nodeId"]

    def visible(selector: str) -> bool:
        node = page.call("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        try:
            page.call("DOM.getBoxModel", nodeId=node)
        except AssertionError:
            return False
        return True

    assert visible("noscript p")
    assert visible("tbody a")
    assert not visible("#form")
    assert not visible("#paste")
    links = page.call("DOM.querySelectorAll", nodeId=document, selector="section a")["nodeIds"]
    found = []
    for link in links:
        attributes = page.call("DOM.getAttributes", nodeId=link)["attributes"]
        found.append(dict(zip(attributes[::2], attributes[1::2], strict=True))["href"])
    regions = [region for region in launch_links.REGIONS if region.partition == "aws"]
    assert found == [launch_links.quick_create_url(region, URL, "annex-bootstrap", {}) for region in regions]


@pytest.mark.parametrize("width", [320, 375, 768, 1100])
def test_no_width_needs_scrolling_sideways(page: Page, width: int) -> None:
    page.resize(width, 800)
    page.run("document.getElementById('more').open = true")
    _paste(page, OUTPUTS)
    assert page.run("innerWidth") == width
    assert page.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1100])
@pytest.mark.parametrize("state", ["first", "open", "wrong", "unpublished"])
def test_axe_finds_no_problem(
    open_page: OpenPage, write_page: Callable[..., str], axe: str, tmp_path: Path, scheme: str, width: int, state: str
) -> None:
    page = open_page()
    page.resize(width, 900)
    page.prefer(scheme)
    page.open(write_page("aws", "") if state == "unpublished" else write_page())
    if state == "open":
        page.run("document.getElementById('more').open = true")
        _paste(page, OUTPUTS)
    if state == "wrong":
        _choose(page, "CondorCidrs", "everybody")
        _paste(page, {})
    assert page.take_problems() == []
    page.screenshot(tmp_path / f"{state}-{scheme}-{width}.png")
    page.run(axe)
    done = page.run("axe.run().then(({ violations, passes }) => ({ passes: passes.length, violations }))")
    assert done["passes"] > 20
    assert [(violation["id"], [node["html"] for node in violation["nodes"]]) for violation in done["violations"]] == []


def test_the_page_never_writes_to_the_console(page: Page) -> None:
    for name, value in CHOSEN.items():
        _choose(page, name, value)
    _paste(page, OUTPUTS)
    _paste(page, {})
    assert page.take_problems() == []


def test_the_content_security_policy_blocks_other_scripts_styles_and_requests(page: Page) -> None:
    page.run(
        "const added = document.createElement('style'); added.textContent = 'h1 { color: rgb(1, 2, 3) }';"
        "document.head.append(added)"
    )
    assert page.run("getComputedStyle(document.querySelector('h1')).color") != "rgb(1, 2, 3)"
    assert page.run("fetch('https://example.org/').then(() => 'sent', () => 'refused')") == "refused"
    page.run(
        "try { const more = document.createElement('script'); more.textContent = 'window.ran = true';"
        "document.head.append(more) } catch { }"
    )
    assert page.run("window.ran === undefined")
    assert any("Content Security Policy" in problem for problem in page.take_problems())


def test_the_page_validates_every_value_as_launch_url_does(page: Page) -> None:
    values = ("", "x", "0", "9618", "65536", "10.0.0.0/8", "10.0.0.0/8, ::/0", "10.0.0.0/8,", "::/129", "vpc-12345678")
    judged = set()
    for name, parameter in TEMPLATE["Parameters"].items():
        for value in () if "AllowedValues" in parameter else values:
            _choose(page, name, value)
            allowed = _allows(name, value)
            judged.add(allowed)
            problem = page.run(f"document.getElementById('{name}-problem').textContent")
            assert problem == ("" if allowed else parameter["ConstraintDescription"]), (name, value)
            assert page.run("document.getElementById('launch').hasAttribute('href')") == allowed, (name, value)
        _choose(page, name, str(parameter["Default"]))
    assert judged == {True, False}


def _allows(name: str, value: str) -> bool:
    try:
        launch_links.check_link(TEMPLATE, URL, "mine", {name: value})
    except UserError:
        return False
    return True


def test_an_invalid_value_removes_the_link_until_it_is_corrected(page: Page) -> None:
    _choose(page, "stack", "1st")
    assert not page.run("document.getElementById('launch').hasAttribute('href')")
    assert page.run("document.getElementById('summary').textContent") == "One field needs correcting."
    _choose(page, "stack", "first")
    assert page.run("document.getElementById('launch').hasAttribute('href')")


def test_an_unpublished_page_opens_where_its_template_can_be_uploaded_until_it_has_a_url(
    open_page: OpenPage, write_page: Callable[..., str]
) -> None:
    page, region = open_page(), launch_links.REGIONS[0]
    page.open(write_page("", ""))
    launch = "document.getElementById('launch')"
    assert page.run(f"{launch}.href") == f"{launch_links.console_url(region)}#/stacks/create"
    assert page.run(f"{launch}.textContent") == "Upload in the console"
    _choose(page, "stack", "mine")
    _choose(page, "SshCidrs", "")
    # The console gets nothing of the form, so the person has to type it there.
    summary = "document.getElementById('summary').textContent"
    assert page.run(summary) == f"{region.name}: name the stack mine and set SshCidrs to nothing"
    _choose(page, "template", URL)
    assert page.run(f"{launch}.href") == launch_links.quick_create_url(region, URL, "mine", {"SshCidrs": ""})
    assert page.run(f"{launch}.textContent") == "Launch Stack"


def test_the_page_names_the_open_ports_as_the_command_line_does(page: Page) -> None:
    ports, defaults = "document.getElementById('ports').textContent", TEMPLATE["Parameters"]
    values = {name: str(defaults[name]["Default"]) for name in ("CondorPort", "CondorCidrs", "SshCidrs")}
    assert page.run(ports) == " and ".join(open_ports(values))
    assert "everyone on the Internet" in page.run(ports)
    for name, value in (
        ("SshCidrs", ""),
        ("CondorPort", "9619"),
        ("CondorCidrs", "192.0.2.0/24,::/0"),
        ("CondorCidrs", ""),
    ):
        _choose(page, name, value)
        values[name] = value
        assert page.run(ports) == " and ".join(open_ports(values))
        everyone = page.run("document.getElementById('opens').classList.contains('wide')")
        assert everyone == is_everyone(values["CondorCidrs"])


def test_the_link_beside_the_open_ports_leads_to_their_fields(page: Page) -> None:
    page.run("document.querySelector('#opens a').click()")
    assert page.run("new Promise((done) => setTimeout(() => done(document.getElementById('more').open), 300))")


def test_the_time_of_the_image_is_named_only_where_one_is_made(page: Page) -> None:
    hidden = "document.getElementById('image-time').hidden"
    assert not page.run(hidden)
    _choose(page, "Image", "no")
    assert page.run(hidden)


def _paste(page: Page, pasted: object) -> None:
    page.run("document.getElementById('outputs').focus()")
    page.type(json.dumps(pasted))


def test_pasted_outputs_become_what_pull_config_prints(page: Page, tmp_path: Path) -> None:
    with local_aws() as local:
        user = CliUser(local, local.root, tmp_path)
        client = boto3.Session(local.root.access_key_id, local.root.secret_access_key).client(
            "cloudformation", region_name=REGION, endpoint_url=local.endpoint, verify=str(local.ca_file)
        )
        for key_pair in ("no", "yes"):
            name = ("--stack-name", "my-annexes")
            user.must("deploy", "--yes", "--no-pull", "--param", f"KeyPair={key_pair}", *name)
            printed = user.must("pull-config", "--print", *name).stdout
            (stack,) = client.describe_stacks(StackName="my-annexes")["Stacks"]
            listed = stack["Outputs"]
            assert ("ANNEX_DEFAULT_ODI_KEY_NAME" in printed) == (key_pair == "yes")
            _choose(page, "stack", "my-annexes")
            shapes: list[object] = [
                {"Stacks": [stack]},
                stack,
                listed,
                {output["OutputKey"]: output["OutputValue"] for output in listed},
            ]
            for shape in shapes:
                _paste(page, json.loads(json.dumps(shape, default=str)))
                assert page.run("document.getElementById('block').value") == printed
                assert page.run("document.getElementById('outputs-problem').textContent") == ""


@pytest.mark.parametrize(
    ("pasted", "message"),
    [
        ({}, "no usable output"),
        (None, "no usable output"),
        ({"Stacks": []}, "0 stacks"),
        ({name: value for name, value in OUTPUTS.items() if name != Output.S3_BUCKET_NAME}, "S3BucketName"),
        ({**OUTPUTS, Output.S3_BUCKET_NAME: "b\nSTARTER = /tmp/made-up"}, "S3BucketName"),
    ],
)
def test_incomplete_outputs_produce_no_block(page: Page, pasted: object, message: str) -> None:
    _paste(page, pasted)
    assert message in page.run("document.getElementById('outputs-problem').textContent")
    assert page.run("document.getElementById('block').value") == ""
    assert page.run("document.getElementById('result').hidden")


def test_input_that_is_not_json_is_reported(page: Page) -> None:
    page.run("document.getElementById('outputs').focus()")
    page.type("OutputKey OutputValue")
    assert "not JSON" in page.run("document.getElementById('outputs-problem').textContent")


def test_the_commands_follow_the_form(page: Page) -> None:
    _choose(page, "region", "eu-west-1")
    _choose(page, "stack", "mine")
    options = "--region eu-west-1 --stack-name mine"
    for step in ("pull", "credentials", "doctor"):
        line = page.run(f"document.getElementById('{step}').textContent")
        assert line == f"annex-bootstrap {'pull-config' if step == 'pull' else step} {options}"
    assert options in page.run("document.getElementById('describe').textContent")
