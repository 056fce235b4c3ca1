"""Quick-create links: one URL that opens the CloudFormation console with the template and its parameters filled in.

Source of the form: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-console-create-stacks-quick-create-links.html
Pure: data in, text out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from annex_bootstrap.errors import CommandLineError
from annex_bootstrap.stack.template import check_network, check_parameters, default_image
from annex_contract.stack import partition_problem, stack_name_problem

CONSOLES: Mapping[str, str] = {
    "aws": "console.aws.amazon.com",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}
"""The console's host by partition: those partitions in which there can be annexes."""

UNUSABLE = {"cn": "aws-cn", "eusc": "aws-eusc"}
"""Partitions with a console but without annexes, by the beginning of their regions' names."""


@dataclass(frozen=True)
class Region:
    """An AWS region.

    Attributes:
        name: such as ``us-east-1``.
        place: what the console calls it.
        partition: such as ``aws``.
    """

    name: str
    place: str
    partition: str = "aws"


REGIONS: tuple[Region, ...] = (
    Region("us-east-1", "US East (N. Virginia)"),
    Region("us-east-2", "US East (Ohio)"),
    Region("us-west-1", "US West (N. California)"),
    Region("us-west-2", "US West (Oregon)"),
    Region("af-south-1", "Africa (Cape Town)"),
    Region("ap-east-1", "Asia Pacific (Hong Kong)"),
    Region("ap-east-2", "Asia Pacific (Taipei)"),
    Region("ap-northeast-1", "Asia Pacific (Tokyo)"),
    Region("ap-northeast-2", "Asia Pacific (Seoul)"),
    Region("ap-northeast-3", "Asia Pacific (Osaka)"),
    Region("ap-south-1", "Asia Pacific (Mumbai)"),
    Region("ap-south-2", "Asia Pacific (Hyderabad)"),
    Region("ap-southeast-1", "Asia Pacific (Singapore)"),
    Region("ap-southeast-2", "Asia Pacific (Sydney)"),
    Region("ap-southeast-3", "Asia Pacific (Jakarta)"),
    Region("ap-southeast-4", "Asia Pacific (Melbourne)"),
    Region("ap-southeast-5", "Asia Pacific (Malaysia)"),
    Region("ap-southeast-6", "Asia Pacific (New Zealand)"),
    Region("ap-southeast-7", "Asia Pacific (Thailand)"),
    Region("ca-central-1", "Canada (Central)"),
    Region("ca-west-1", "Canada West (Calgary)"),
    Region("eu-central-1", "Europe (Frankfurt)"),
    Region("eu-central-2", "Europe (Zurich)"),
    Region("eu-north-1", "Europe (Stockholm)"),
    Region("eu-south-1", "Europe (Milan)"),
    Region("eu-south-2", "Europe (Spain)"),
    Region("eu-west-1", "Europe (Ireland)"),
    Region("eu-west-2", "Europe (London)"),
    Region("eu-west-3", "Europe (Paris)"),
    Region("il-central-1", "Israel (Tel Aviv)"),
    Region("me-central-1", "Middle East (UAE)"),
    Region("me-south-1", "Middle East (Bahrain)"),
    Region("mx-central-1", "Mexico (Central)"),
    Region("sa-east-1", "South America (Sao Paulo)"),
    Region("us-gov-east-1", "AWS GovCloud (US-East)", "aws-us-gov"),
    Region("us-gov-west-1", "AWS GovCloud (US-West)", "aws-us-gov"),
)
"""A test keeps this list equal to what botocore knows."""


def find_region(name: str) -> Region:
    """Return the region of that name.

    Raises:
        CommandLineError: it is unknown, or in a partition without annexes.
    """
    for region in REGIONS:
        if region.name == name:
            return region
    if partition := UNUSABLE.get(name.partition("-")[0]):
        raise CommandLineError(partition_problem(partition))
    raise CommandLineError(f"no AWS console is known for the region {name!r}: give --region a name such as us-east-1")


def console_url(region: Region) -> str:
    """Return the CloudFormation console of a region, up to the ``#`` of its own paths."""
    return f"https://{CONSOLES[region.partition]}/cloudformation/home?region={region.name}"


def quick_create_url(region: Region, template_url: str, stack_name: str, parameters: Mapping[str, str]) -> str:
    """Return the quick-create link. The console shows its page and creates nothing before the person agrees.

    Args:
        region: where the stack is to be.
        template_url: where CloudFormation reads the template: an object in S3.
        stack_name: the stack's name.
        parameters: by name, checked already; those not named get the template's defaults, but for ``default_image``.
    """
    given = {"templateURL": template_url, "stackName": stack_name}
    named = {**default_image(region.partition, parameters), **parameters}
    given |= {f"param_{name}": value for name, value in named.items()}
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items())
    return f"{console_url(region)}#/stacks/create/review?{query}"


def check_link(template: Mapping[str, Any], template_url: str, stack_name: str, parameters: Mapping[str, str]) -> None:
    """Check all that goes into a link, because the console silently ignores what it does not know.

    Raises:
        CommandLineError: something in it cannot work.
    """
    if urlsplit(template_url).scheme != "https" or not urlsplit(template_url).hostname:
        raise CommandLineError(
            f"{template_url!r} is not an https URL: give the template's URL that annex-bootstrap publish printed"
        )
    if problem := stack_name_problem(stack_name):
        raise CommandLineError(problem)
    check_parameters(template, parameters)
    check_network(parameters)
