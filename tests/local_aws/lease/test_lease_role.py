"""The lease function's role: without any one of its actions, a lease or a sweep fails."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from annex_contract.iam import document as document_of
from annex_contract.lease import SWEEP_EVENT, TICK_RATE
from annex_contract.limits import Limits
from annex_contract.outputs import profiles_of
from annex_contract.stack import ANNEX_TAG, STACK_TAG, LogicalId, Output, Part, sweep_rule_name
from docs_gen.permissions import policies
from lambda_lease import handler
from lambda_lease.clients import Clients
from lambda_lease.settings import Settings
from local_aws.demo.annexes import AnnexUser
from local_aws.launcher import Credentials
from tests.lambda_context import CONTEXT
from tests.local_aws import stack
from tests.local_aws.lease.fleets import request_fleet
from tests.local_aws.stack import DeployedStack
from tests.stack_values import conditions_of, new_stack_id, values_of

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import (
        FilterTypeDef,
        FleetLaunchTemplateConfigRequestTypeDef,
        InstanceMarketOptionsRequestTypeDef,
        TagTypeDef,
    )

pytestmark = pytest.mark.slow

LAMBDA_CALLS = {"logs:CreateLogStream", "logs:PutLogEvents"}
"""What Lambda itself does with the role."""

LIMITS = {"MaxCores": "1000", "MaxDollarsPerHour": "1000"}
"""Those of which the function has to read more than machines say; no test reaches them."""

ACTIONS = sorted(
    {
        action
        for statement in policies(values_of(new_stack_id(), LIMITS), conditions_of(LIMITS))[
            Part.ROLE.of(LogicalId.LEASE_FUNCTION)
        ]
        for action in statement["Action"]
    }
    - LAMBDA_CALLS
)

LEASE, LATER = 3600, 7200
"""Seconds of the annex's lease, and until the sweep and the ticks of the tests.

The rule fires until it is disabled, and its function may run on for a while: it finds a lease that still lasts.
"""

TICKS = 3
"""One ends the annex, one finds nothing left and deletes the rule, and one more to be safe."""


@pytest.fixture(scope="module")
def deployed(root: boto3.Session, template: str, put_template: Callable[[str], str]) -> Iterator[DeployedStack]:
    """One stack for all tests of this module; no rule runs its own function over what the tests leave."""
    with stack.deployed(root, "lease-role", put_template(template), LIMITS) as made:
        root.client("events").disable_rule(Name=sweep_rule_name("lease-role"))
        yield made


@pytest.fixture
def document(root: boto3.Session, deployed: DeployedStack) -> dict[str, Any]:
    """The policies of the lease function's role as one, as CloudFormation created them."""
    function = root.client("lambda").get_function_configuration(
        FunctionName=deployed.outputs[Output.LEASE_FUNCTION_ARN]
    )
    name = function["Role"].rsplit("/", 1)[1]
    iam = root.client("iam")
    documents: list[Any] = [
        iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
    ]
    return document_of([statement for made in documents for statement in made["Statement"]])


@pytest.fixture
def expired(root: boto3.Session, deployed: DeployedStack, set_machines: Callable[..., None]) -> Iterator[str]:
    """An annex with everything that a lease ends, one machine protected, whose lease is over by `LATER`.

    Its rule is disabled.
    """
    # An image that is pending cannot be deregistered: the sweep would leave it to the next one.
    set_machines(image_seconds=0)
    annex_id = f"role-{uuid.uuid4().hex[:8]}"
    user = AnnexUser(root, deployed.outputs)
    annex = user.start(annex_id, 1, LEASE, "ami-0123456789abcdef0")
    events = root.client("events")
    events.put_rule(Name=annex_id, ScheduleExpression=TICK_RATE, State="DISABLED")
    fleet = request_fleet(user, annex_id)
    ec2 = root.client("ec2")
    for instance_id in annex.instance_ids:
        ec2.modify_instance_attribute(InstanceId=instance_id, DisableApiTermination={"Value": True})
    template, replacing, persistent = request_replacements(ec2, deployed, annex_id)
    leave_image(ec2, deployed.stack_id)
    yield annex_id
    delete_left(ec2, deployed.stack_id)
    ec2.delete_fleets(FleetIds=[replacing], TerminateInstances=True)
    ec2.delete_launch_template(LaunchTemplateId=template)
    ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[persistent])
    ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet], TerminateInstances=True)
    for instance_id in annex.instance_ids:
        ec2.modify_instance_attribute(InstanceId=instance_id, DisableApiTermination={"Value": False})
    left: list[FilterTypeDef] = [{"Name": f"tag:{ANNEX_TAG}", "Values": [annex_id]}]
    for reservation in ec2.describe_instances(Filters=left)["Reservations"]:
        ec2.terminate_instances(InstanceIds=[machine["InstanceId"] for machine in reservation["Instances"]])
    if any(rule["Name"] == annex_id for rule in events.list_rules(NamePrefix=annex_id)["Rules"]):
        events.remove_targets(Rule=annex_id, Ids=[annex_id])
        events.delete_rule(Name=annex_id)


def request_replacements(ec2: EC2Client, deployed: DeployedStack, annex_id: str) -> tuple[str, str, str]:
    """Start a machine by a fleet, and one by a spot request, that would come back.

    Returns:
        The IDs of the fleet's launch template, of the fleet and of the request.
    """
    tag: TagTypeDef = {"Key": ANNEX_TAG, "Value": annex_id}
    request: Any = {
        "ImageId": "ami-0123456789abcdef0",
        "InstanceType": "m7i.large",
        "IamInstanceProfile": {"Arn": deployed.outputs[Output.INSTANCE_CONFIGURATION_PROFILE]},
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [tag]}],
    }
    persistent: InstanceMarketOptionsRequestTypeDef = {
        "MarketType": "spot",
        "SpotOptions": {"SpotInstanceType": "persistent"},
    }
    (machine,) = ec2.run_instances(**request, MinCount=1, MaxCount=1, InstanceMarketOptions=persistent)["Instances"]
    template = ec2.create_launch_template(LaunchTemplateName=annex_id, LaunchTemplateData=request)["LaunchTemplate"]
    configuration: FleetLaunchTemplateConfigRequestTypeDef = {
        "LaunchTemplateSpecification": {"LaunchTemplateId": template["LaunchTemplateId"], "Version": "1"},
        "Overrides": [{"InstanceType": "m7i.large"}],
    }
    fleet = ec2.create_fleet(
        Type="maintain",
        LaunchTemplateConfigs=[configuration],
        TargetCapacitySpecification={"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"},
        TagSpecifications=[
            {"ResourceType": "fleet", "Tags": [tag, {"Key": STACK_TAG, "Value": deployed.stack_id}]},
        ],
    )
    return template["LaunchTemplateId"], fleet["FleetId"], machine["SpotInstanceRequestId"]


def leave_image(ec2: EC2Client, stack_id: str) -> None:
    """Leave what a killed function may: a builder, and an image of it that the stack does not own."""
    tags: list[TagTypeDef] = [
        {"Key": "annex-bootstrap:stack", "Value": stack_id},
        {"Key": "annex-bootstrap:image", "Value": "of-nobody"},
    ]
    (builder,) = ec2.run_instances(
        ImageId="ami-0123456789abcdef0",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )["Instances"]
    ec2.create_image(
        InstanceId=builder["InstanceId"],
        Name=f"left-{uuid.uuid4().hex}",
        TagSpecifications=[{"ResourceType": "image", "Tags": tags}, {"ResourceType": "snapshot", "Tags": tags}],
    )


def delete_left(ec2: EC2Client, stack_id: str) -> None:
    """Delete what `leave_image` left of this stack and no sweep has deleted."""
    left: list[FilterTypeDef] = [
        {"Name": "tag:annex-bootstrap:stack", "Values": [stack_id]},
        {"Name": "tag:annex-bootstrap:image", "Values": ["of-nobody"]},
    ]
    for image in ec2.describe_images(Owners=["self"], Filters=left)["Images"]:
        ec2.deregister_image(ImageId=image["ImageId"])
    for snapshot in ec2.describe_snapshots(OwnerIds=["self"], Filters=left)["Snapshots"]:
        ec2.delete_snapshot(SnapshotId=snapshot["SnapshotId"])
    found = ec2.describe_instances(Filters=left)
    for machine in [machine for held in found["Reservations"] for machine in held["Instances"]]:
        ec2.terminate_instances(InstanceIds=[machine["InstanceId"]])


def sweep_and_tick(annex_id: str, deployed: DeployedStack, credentials: Credentials) -> list[dict[str, object]]:
    """Return the results of enough ticks, after one sweep, run in this process with these keys."""
    settings = Settings(
        deployed.outputs[Output.S3_BUCKET_NAME],
        "config-",
        ".tar.gz",
        profiles_of(deployed.outputs),
        deployed.stack_id,
        deployed.outputs[Output.LEASE_FUNCTION_ARN].rpartition(":")[2],
        end_orphans=False,
        limits=Limits.read(LIMITS),
    )
    event = {"AnnexID": annex_id, "S3BucketName": "", "LeaseExpiration": 0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", credentials.access_key_id)
        patch.setenv("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key)
        patch.setattr(handler.metrics.provider, "namespace", "annex-bootstrap")
        clients = Clients()
        later = time.time() + LATER
        # The sweep judges the machine, which is old by then; its annex has a rule, so it is no orphan.
        swept = handler.run(SWEEP_EVENT, CONTEXT, settings, later, lambda: clients)
        assert swept["orphan_machines"] == []
        found = [swept[name] for name in ("builders_ended", "images_deleted", "snapshots_deleted")]
        assert [len(deleted) for deleted in found if isinstance(deleted, list)] == [1, 1, 1]
        return [handler.run(event, CONTEXT, settings, later, lambda: clients) for _ in range(TICKS)]


def test_the_whole_policy_is_enough(
    deployed: DeployedStack, document: dict[str, Any], expired: str, new_user: Callable[[str], Credentials]
) -> None:
    first, second, *_ = sweep_and_tick(expired, deployed, new_user(json.dumps(document)))
    # The protected machine and that of the request; a spot fleet, a fleet and the request.
    assert (first["machines_ended"], first["fleets_cancelled"], first["tarballs_deleted"]) == (2, 3, 1)
    assert second["rule_removed"] is True


@pytest.mark.parametrize("action", ACTIONS)
def test_the_function_fails_without_any_one_action(
    action: str,
    deployed: DeployedStack,
    document: dict[str, Any],
    expired: str,
    new_user: Callable[[str], Credentials],
) -> None:
    for statement in document["Statement"]:
        statement["Action"] = [granted for granted in statement["Action"] if granted != action]
    document["Statement"] = [statement for statement in document["Statement"] if statement["Action"]]
    with pytest.raises(
        Exception, match=rf"(AccessDenied|UnauthorizedOperation).* not authorized to perform: {action}\b"
    ):
        sweep_and_tick(expired, deployed, new_user(json.dumps(document)))


def test_the_policy_grants_nothing_else(document: dict[str, Any]) -> None:
    granted = {action for statement in document["Statement"] for action in statement["Action"]}
    assert granted == {*ACTIONS, *LAMBDA_CALLS}
