"""What keeps an account from starting machines that it may start: quotas, plans, checks of new accounts, throttles."""

from __future__ import annotations

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2, iam

from annex_contract.stack import SPOT_SERVICE
from local_aws.server import account
from local_aws.server.ec2.catalogue import FREE_PLAN, instance_types
from local_aws.server.iam import service_linked_roles
from local_aws.server.iam.caller import CALLER
from local_aws.server.quotas import service_quotas
from local_aws.server.wire import RefusalError

QUOTA_CODES = {"on-demand": "L-1216C47A", "spot": "L-34B43A08"}
"""The quotas of vCPUs by purchase option."""

_VCPU_LIMIT = (
    "You have requested more vCPU capacity than your current vCPU limit of {limit:.0f} allows for the instance bucket "
    "that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request "
    "an adjustment to this limit."
)

EXCEEDED = {
    "on-demand": ("VcpuLimitExceeded", _VCPU_LIMIT),
    "spot": ("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded"),
}
"""Codes: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"""


def check_account() -> None:
    """Raise what this region refuses to everybody.

    Raises:
        RefusalError: EC2 throttles, or the account is being verified here.
    """
    current, region = account.settings(), get_region()
    if region in current.throttled_regions:
        # https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
        raise RefusalError("RequestLimitExceeded", "Request limit exceeded.", status=503)
    if region in current.unverified_regions:
        # https://github.com/skyplane-project/skyplane/issues/799
        raise RefusalError(
            "PendingVerification",
            "Your request for accessing resources in this region is being validated, and you will not be able to "
            "launch additional resources in this region until the validation is complete. We will notify you by email "
            "once your request has been validated. While normally resolved within minutes, please allow up to 4 hours "
            "for this process to complete.",
        )


def check_type(instance_type: str, lifecycle: str, count: int) -> None:
    """Raise why so many machines of a type cannot start.

    Args:
        instance_type: such as ``c7i.large``.
        lifecycle: ``on-demand`` or ``spot``.
        count: how many.

    Raises:
        RefusalError: the account's plan has no such type, or its quota allows no more.
    """
    if lifecycle == "spot":
        check_spot_role(SPOT_SERVICE, "EC2 Spot Instances")
    if account.settings().free_plan and instance_type not in FREE_PLAN:
        # https://github.com/splunk/attack_range/issues/1302
        raise RefusalError(
            "InvalidParameterCombination",
            "The specified instance type is not eligible for Free Tier. For a list of Free Tier instance types, run "
            "'describe-instance-types' with the filter 'free-tier-eligible=true'.",
        )
    if count > left(instance_type, lifecycle):
        code, text = EXCEEDED[lifecycle]
        raise RefusalError(code, text.format(limit=service_quotas.value(QUOTA_CODES[lifecycle])))


def check_spot_role(service: str, what: str) -> None:
    """Make the service-linked role that spot machines need, as EC2 does with its caller's right.

    Args:
        service: whose role.
        what: what EC2 calls it.

    Raises:
        RefusalError: it does not exist, and the caller may not make it.
    """
    name = service_linked_roles.NAMES[service]
    if name in iam._roles:
        return
    action, arn = (
        "iam:CreateServiceLinkedRole",
        f"arn:aws:iam::{get_account_id()}:role/aws-service-role/{service}/{name}",
    )
    context = {"iam:AWSServiceName": service}
    if iam_evaluator.enforce(CALLER.get(), action, "iam", get_region(), resource_arn=arn, service_context=context):
        # https://github.com/c6fc/npk/issues/30
        raise RefusalError(
            "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
            f"The provided credentials do not have permission to create the service-linked role for {what}.",
            status=403,
        )
    iam._IAM_HANDLERS["CreateServiceLinkedRole"]({"AWSServiceName": [service]})


def left(instance_type: str, lifecycle: str) -> int:
    """Return how many more machines of a type the quota allows."""
    used = sum(
        _vcpus(instance["InstanceType"])
        for instance in ec2._instances.values()
        if instance["State"]["Name"] in ("pending", "running")
        and ("SpotInstanceRequestId" in instance) == (lifecycle == "spot")
    )
    free = service_quotas.value(QUOTA_CODES[lifecycle]) - used
    return max(0, int(free // _vcpus(instance_type)))


def _vcpus(instance_type: str) -> int:
    return instance_types()[instance_type].vcpus if instance_type in instance_types() else 2
