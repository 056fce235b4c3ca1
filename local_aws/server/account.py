"""What kind of account this is: what AWS does in some accounts and not in others.

The parameter ``ACCOUNT`` of Parameter Store says it, a JSON object of `Account`, in the server's default region. It
holds from the next request on, in all regions, and the account is an ordinary one again when the parameter is deleted.
Where nobody knows what AWS does, a setting here chooses, so that both can be tried. Tests have the fixture
``set_account``.

What becomes of machines and images, `local_aws.server.ec2.scripts` says.
"""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass, field
from typing import Any

from ministack.services import ssm

from local_aws.server_settings import ACCOUNT


@dataclass(frozen=True)
class Account:
    """What differs from account to account.

    Attributes:
        caller_rights: whether CloudFormation asks for its caller's rights, as AWS does.
        clock_ahead: seconds by which AWS's clock is ahead of the real one, and so of the signer's.
        disabled_regions: that the account has not enabled, so that its keys are unknown there.
        ec2_tells_skew: whether EC2 answers RequestExpired where a clock is wrong, or AuthFailure as for a wrong key.
        event_rules: rules on an event bus, at most. https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
        fleet_denials_in_answer: whether CreateFleet succeeds without machines and names the denial among its errors
            where its caller may not start them, or is denied itself. Both were seen:
            https://github.com/aws/karpenter-provider-aws/issues/7370
        fleet_refusals_in_answer: the same for a quota, a plan or a throttle.
        foreign_buckets: that belong to another account, which lets everybody in.
        free_plan: whether the account is on the free plan, which has few instance types.
        launch_failure: the StateReason, Code and Message, with which every machine ends once it has started, as in
            https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html.
        rehearsed: an institution's documents, each with its ``file`` and ``document``. What these alone deny is
            recorded and then happens anyway (see ``local_aws.server.iam.rehearsal``), and CloudFormation asks for its
            caller's rights.
        service_control_policies: documents that the organisation attaches. ``FullAWSAccess`` is attached beside them,
            unless one of them allows something itself.
            https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps_evaluation.html
        tag_policies: documents that the organisation attaches, which deny noncompliant values of tags.
        throttled_regions: where EC2 starts nothing because it throttles.
        unsubscribed_regions: where the account is not signed up for any service (OptInRequired).
        unverified_regions: where the account is being verified, so that it starts nothing yet.
        validation_failures: checks that every change set fails before it is complete, beside those that really fail:
            LogicalId, Type, Name, Mode (``FAIL``, or ``WARN`` where it can be executed all the same) and Text.
        vcpu_quotas: vCPUs by region and quota code, where they are not the usual ones.
    """

    caller_rights: bool = False
    clock_ahead: float = 0.0
    disabled_regions: list[str] = field(default_factory=list)
    ec2_tells_skew: bool = False
    event_rules: int = 300
    fleet_denials_in_answer: bool = False
    fleet_refusals_in_answer: bool = True
    foreign_buckets: list[str] = field(default_factory=list)
    free_plan: bool = False
    launch_failure: dict[str, str] | None = None
    rehearsed: list[dict[str, Any]] = field(default_factory=list)
    service_control_policies: list[dict[str, Any]] = field(default_factory=list)
    tag_policies: list[dict[str, Any]] = field(default_factory=list)
    throttled_regions: list[str] = field(default_factory=list)
    unsubscribed_regions: list[str] = field(default_factory=list)
    unverified_regions: list[str] = field(default_factory=list)
    validation_failures: list[dict[str, str]] = field(default_factory=list)
    vcpu_quotas: dict[str, dict[str, float]] = field(default_factory=dict)


def settings() -> Account:
    """Return what the parameter says now."""
    account, region = os.environ["MINISTACK_ACCOUNT_ID"], os.environ["MINISTACK_REGION"]
    parameter = ssm._parameters.get_scoped(account, region, ACCOUNT)
    return _read(parameter["Value"]) if parameter else _read("{}")


@functools.lru_cache(maxsize=8)
def _read(text: str) -> Account:
    return Account(**json.loads(text))
