"""What launch templates say, for launches from them. MiniStack makes, describes and deletes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack.services import ec2

from local_aws.server.wire import RefusalError


def read_template(specification: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the ID of a launch template, and the data of the version that is named.

    Args:
        specification: a LaunchTemplateSpecification, with the template's ID or name.

    Raises:
        RefusalError: there is no such template or version.
    """
    named = specification.get("LaunchTemplateId", specification.get("LaunchTemplateName", ""))
    for template in ec2._launch_templates.values():
        if named in (template["LaunchTemplateId"], template["LaunchTemplateName"]):
            break
    else:
        raise RefusalError(
            "InvalidLaunchTemplateId.NotFound",
            f"The specified launch template, with template ID {named}, does not exist.",
        )
    version = {
        "$Default": str(template["DefaultVersionNumber"]),
        "$Latest": str(template["LatestVersionNumber"]),
    }.get(specification.get("Version", "$Default"), specification.get("Version", ""))
    for each in template["Versions"]:
        if str(each["VersionNumber"]) == version:
            return template["LaunchTemplateId"], each["LaunchTemplateData"]
    raise RefusalError(
        "InvalidLaunchTemplateId.VersionNotFound",
        f"Could not find launch template version {version} for the launch template {template['LaunchTemplateId']}.",
    )


def merged(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a launch asks for: what its template says, and over it what the request says itself.

    Args:
        request: of RunInstances, with or without a template.

    Raises:
        RefusalError: there is no such template or version.
    """
    data = read_template(request["LaunchTemplate"])[1] if "LaunchTemplate" in request else {}
    # Tags of both are set: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/create-launch-template.html
    tags = [*data.get("TagSpecifications", []), *request.get("TagSpecifications", [])]
    found = {**data, **request, **({"TagSpecifications": tags} if tags else {})}
    found.pop("LaunchTemplate", None)
    return found
