"""The launch page: one static file with a form that builds the console link, and the configuration from outputs.

Its content is generated from the template, the list of regions and the code that renders the configuration, so it
cannot drift. It loads nothing from elsewhere, and without JavaScript it still works as a table of links.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from html import escape
from importlib import resources
from string import Template
from typing import Any

from annex_bootstrap.launch import launch_links
from annex_bootstrap.pool import blocks
from annex_bootstrap.stack.template import default_image
from annex_bootstrap.target import STACK_NAME
from annex_bootstrap.words import (
    EVERY_ADDRESS,
    EVERYONE,
    IMAGE_COSTS,
    IMAGE_TIME,
    MINUTES,
    NO_PORT,
    PORT,
    SPOT_ROLES,
    TYPES,
)
from annex_contract import __version__
from annex_contract.outputs import OUTPUTS
from annex_contract.stack import DEFAULT_STACK_NAME, STACK_NAME_PATTERN, STACK_NAME_RULE, TEMPLATE_NAME, Output

PAGE_NAME = "launch.html"

CONDITIONS: Mapping[str, str] = {
    "HasEmail": "if you give an e-mail address",
    "MakesImage": "unless Image says otherwise",
    "MakesImageAndRoles": "unless Image or GivenRoles says otherwise",
    "MakesUserRole": "if UserPrincipals names somebody",
    "MakesConnectivityNetwork": "if ConnectivityVpc is yes",
    "MakesRoles": "unless GivenRoles says otherwise",
    "WantsKeyPair": "if you ask for one",
}


def render(
    template: Mapping[str, Any], partition: str = "", template_url: str = "", stack_name: str = DEFAULT_STACK_NAME
) -> str:
    """Return the page.

    Args:
        template: the built template.
        partition: the partition whose regions to show; empty for all.
        template_url: where the template was published. Without it, the page asks for the URL, and its plain links
            open the console page where a file can be uploaded.
        stack_name: the stack name that the form starts with.

    Returns:
        Self-contained HTML.
    """
    regions = [region for region in launch_links.REGIONS if partition in ("", region.partition)]
    style, script = _source("page.css"), _source("page.js")
    return Template(_source("page.html")).substitute(
        policy=_content_policy(style, script),
        style=style,
        script=script,
        data=_data(template, regions),
        version=escape(__version__),
        notice="" if template_url else Template(_source("unpublished.html")).substitute(template_name=TEMPLATE_NAME),
        options="".join(f'<option value="{region.name}">{escape(_long_name(region))}</option>' for region in regions),
        stack_name=escape(stack_name),
        groups="".join(_groups(template)),
        template_url=escape(template_url),
        count=len(created(template)),
        costs=escape(IMAGE_COSTS),
        minutes=MINUTES,
        image_time=IMAGE_TIME,
        kept=escape(SPOT_ROLES[0].upper() + SPOT_ROLES[1:]),
        resources="".join(_resource_rows(template)),
        regions="".join(_region_row(region, template_url, stack_name) for region in regions),
    )


def created(template: Mapping[str, Any]) -> list[str]:
    """Return the logical IDs of what a stack makes whose parameters all have their defaults.

    Args:
        template: the built template.
    """
    values = {name: str(parameter["Default"]) for name, parameter in template["Parameters"].items()}

    def holds(condition: Mapping[str, Any]) -> bool:
        ((function, arguments),) = condition.items()
        match function:
            case "Fn::Equals":
                one, other = (values[part["Ref"]] if isinstance(part, dict) else part for part in arguments)
                return one == other
            case "Fn::Not":
                return not holds(arguments[0])
            case "Fn::And":
                return all(map(holds, arguments))
            case "Fn::Or":
                return any(map(holds, arguments))
            case "Condition":
                return holds(template["Conditions"][arguments])
        raise KeyError(f"annex_bootstrap/launch/launch_page does not know {function}")

    return [
        name
        for name, resource in template["Resources"].items()
        if "Condition" not in resource or holds(template["Conditions"][resource["Condition"]])
    ]


def _source(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _content_policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _data(template: Mapping[str, Any], regions: list[launch_links.Region]) -> str:
    known = ("Type", "Default", "AllowedPattern", "AllowedValues", "MinValue", "MaxValue", "ConstraintDescription")
    data = {
        "consoles": {region.name: launch_links.console_url(region) for region in regions},
        "imageless": [region.name for region in regions if default_image(region.partition, {})],
        "defaultStackName": DEFAULT_STACK_NAME,
        "stackNamePattern": f"^{STACK_NAME_PATTERN}$",
        "stackNameRule": f"{STACK_NAME_RULE[0].upper()}{STACK_NAME_RULE[1:]}.",
        "anyStackNamePattern": STACK_NAME,
        "parameters": {
            name: {key: parameter[key] for key in known if key in parameter}
            for name, parameter in template["Parameters"].items()
        },
        "block": configuration_form(),
        "outputPatterns": {output: rule.pattern for output, rule in OUTPUTS.items()},
        "optionalOutputs": sorted(output for output, rule in OUTPUTS.items() if rule.optional),
        "regionOutput": Output.LEASE_FUNCTION_ARN,
        "words": {"port": PORT, "everyone": EVERYONE, "noPort": NO_PORT},
        "everyAddress": EVERY_ADDRESS,
    }
    # Inside a script element only this could end it.
    return json.dumps(data, sort_keys=True).replace("<", "\\u003c")


def configuration_form() -> str:
    """Return the block that ``pull-config`` writes, with ``{{name}}`` for each value: what the page fills in.

    A line with an output that a stack lacks the page leaves out.
    """
    form = blocks.render("{{stack}}", "{{region}}", {output: f"{{{{{output}}}}}" for output in Output})
    return form.replace(blocks.local_name("{{region}}"), "{{localName}}")


def _groups(template: Mapping[str, Any]) -> list[str]:
    interface = template["Metadata"]["AWS::CloudFormation::Interface"]
    labels = {name: label["default"] for name, label in interface["ParameterLabels"].items()}
    return [
        f"<fieldset><legend>{escape(group['Label']['default'])}</legend>"
        + "".join(_field(name, labels[name], template["Parameters"][name]) for name in group["Parameters"])
        + "</fieldset>"
        for group in interface["ParameterGroups"]
    ]


def _field(name: str, label: str, parameter: Mapping[str, Any]) -> str:
    shared = f'id="{name}" data-parameter="{name}" aria-describedby="{name}-hint {name}-problem"'
    default = str(parameter["Default"])
    if "AllowedValues" in parameter:
        options = "".join(
            f"<option{' selected' if str(value) == default else ''}>{value}</option>"
            for value in parameter["AllowedValues"]
        )
        control = f"<select {shared}>{options}</select>"
    else:
        kind = ' inputmode="numeric"' if parameter["Type"] == "Number" else ""
        control = (
            f'<input {shared}{kind} value="{escape(default)}" autocomplete="off" autocapitalize="none"'
            ' spellcheck="false">'
        )
    return (
        f'<div class="field"><label for="{name}">{escape(label)}</label>{control}'
        f'<p class="hint" id="{name}-hint">{escape(parameter["Description"])}</p>'
        f'<p class="problem" id="{name}-problem"></p></div>'
    )


def _resource_rows(template: Mapping[str, Any]) -> list[str]:
    counts = Counter((resource["Type"], resource.get("Condition", "")) for resource in template["Resources"].values())
    rows = []
    for kind, words in TYPES.items():
        for (counted, condition), number in counts.items():
            if counted == kind:
                when = f", {CONDITIONS[condition]}" if condition else ""
                rows.append(
                    f"<tr><td>{number}</td><td>{escape(words.summary + when)}</td><td>{escape(words.cost)}</td></tr>"
                )
    missing = {kind for kind, _ in counts} - TYPES.keys()
    if missing:
        raise KeyError(f"annex_bootstrap/words.py has no words for {', '.join(sorted(missing))}")
    return rows


def _long_name(region: launch_links.Region) -> str:
    return f"{region.place}: {region.name}"


def _region_row(region: launch_links.Region, template_url: str, stack_name: str) -> str:
    if template_url:
        link = launch_links.quick_create_url(region, template_url, stack_name, {})
    else:
        link = f"{launch_links.console_url(region)}#/stacks/create"
    return (
        f'<tr><td>{escape(region.place)}</td><td><a href="{escape(link)}">'
        f'<span class="aside">Launch in </span>{region.name}</a></td></tr>'
    )
