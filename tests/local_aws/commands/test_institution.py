"""One whole story in the account that central IT hands out, on the local AWS with IAM enforced.

The account has no default VPC and no IAM users, the organisation's policies are of all kinds that there are, the roles
are an administrator's and have a boundary, and the machines' subnet has no public addresses.
"""

from __future__ import annotations

import json
import shlex
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from annex_bootstrap.policies.boundary import boundary
from annex_contract.boundaries import Holder, boundary_name
from annex_contract.lease import SWEEP_EVENT
from annex_contract.stack import ANNEX_TAG, DEFAULT_STACK_NAME, STACK_TAG, Output, sweep_rule_name
from local_aws.demo.inventory import is_service_linked, take_inventory
from local_aws.launcher import ACCOUNT, Credentials, LocalAws
from tests.local_aws.cli_user import CliUser
from tests.local_aws.commands import fake_htcondor
from tests.local_aws.commands.annexes import leases_of, machines_of
from tests.local_aws.commands.test_rehearse import GUARDRAILS, STEPS, denied, rehearse
from tests.local_aws.conftest import make_home
from tests.local_aws.stack import DeployedStack

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

pytestmark = pytest.mark.slow

REGION = "us-west-2"
"""One of the two that the organisation allows, and none that another test uses."""

KINDS = ("region-list", "required-tags", "imdsv2-and-encryption", "no-roles")
"""The organisation's policies, each in a file."""

START = ("--owner", "somebody", "--skip-pool-check", "--yes")

SETS = "/aws-reserved/sso.amazonaws.com/us-west-2/"
"""The path of what Identity Center makes of permission sets."""

TAKING: list[Mapping[str, Any]] = [
    {"Effect": "Allow", "Action": ["sts:AssumeRole", "cloudformation:DescribeStacks"], "Resource": "*"}
]

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Network:
    """What central IT made: a VPC, and in it a subnet that leads out by a NAT gateway and has no public addresses."""

    vpc: str
    subnet: str


def read(name: str) -> Document:
    """Return one of the institution's documents."""
    document: Document = json.loads((GUARDRAILS / f"{name}.json").read_text())
    return document


@pytest.fixture
def root(local: LocalAws) -> boto3.Session:
    """Whoever runs the account, in its region."""
    return boto3.Session(local.root.access_key_id, local.root.secret_access_key, region_name=REGION)


@pytest.fixture
def network(root: boto3.Session) -> Iterator[Network]:
    """The network of an account without a default VPC; there is none afterwards either."""
    ec2 = root.client("ec2")
    for each in ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]:
        remove_vpc(ec2, each["VpcId"])
    vpc = ec2.create_vpc(CidrBlock="10.40.0.0/16")["Vpc"]["VpcId"]
    private, public = (
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.40.{number}.0/24", AvailabilityZone=f"{REGION}a")["Subnet"][
            "SubnetId"
        ]
        for number in (1, 2)
    )
    nat = ec2.create_nat_gateway(SubnetId=public)["NatGateway"]["NatGatewayId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat)
    association = ec2.associate_route_table(RouteTableId=table, SubnetId=private)["AssociationId"]
    yield Network(vpc, private)
    ec2.disassociate_route_table(AssociationId=association)
    ec2.delete_route_table(RouteTableId=table)
    ec2.delete_nat_gateway(NatGatewayId=nat)
    remove_vpc(ec2, vpc)


def remove_vpc(ec2: EC2Client, vpc: str) -> None:
    """Delete a VPC with its subnets and its gateway."""
    of_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
    for subnet in ec2.describe_subnets(Filters=of_vpc)["Subnets"]:  # type: ignore[arg-type]  # as the reference has it
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
    for gateway in ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]:  # type: ignore[arg-type]  # same
        ec2.detach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=vpc)
        ec2.delete_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"])
    ec2.delete_vpc(VpcId=vpc)


@pytest.fixture
def enter(root: boto3.Session, new_user: Callable[[str], Credentials]) -> Iterator[Callable[[str, Document], Any]]:
    """Return a function that makes a permission set and lets a person in by it; no person is an IAM user.

    The one user plays Identity Center.
    """
    iam, made = root.client("iam"), list[str]()
    center = new_user(json.dumps({"Version": "2012-10-17", "Statement": TAKING}))
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}

    def enter(name: str, policy: Document) -> Any:
        role = iam.create_role(
            RoleName=name,
            Path=SETS,
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )["Role"]
        made.append(name)
        iam.put_role_policy(RoleName=name, PolicyName="set", PolicyDocument=json.dumps(policy))
        sts = boto3.Session(center.access_key_id, center.secret_access_key, region_name=REGION).client("sts")
        return sts.assume_role(RoleArn=role["Arn"], RoleSessionName="somebody")["Credentials"]

    yield enter
    for name in made:
        for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
        iam.delete_role_policy(RoleName=name, PolicyName="set")
        iam.delete_role(RoleName=name)


def person(local: LocalAws, keys: Any, home: Path, stack_name: str) -> CliUser:
    """Return somebody who is signed in, in the region."""
    extra = {
        "AWS_SESSION_TOKEN": keys["SessionToken"],
        "AWS_REGION": REGION,
        "LOGNAME": "somebody",
        "AWS_CONFIG_FILE": str(home / "aws-config"),
    }
    return CliUser(local, Credentials(keys["AccessKeyId"], keys["SecretAccessKey"]), home, stack_name, extra)


def made_for_machines(ec2: EC2Client, stack_id: str) -> list[str]:
    """Return what a stack's machines and its image left."""
    ours: Any = [{"Name": f"tag:{STACK_TAG}", "Values": [stack_id]}]
    live: Any = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}
    return [
        *(image["ImageId"] for image in ec2.describe_images(Owners=["self"], Filters=ours)["Images"]),
        *(snapshot["SnapshotId"] for snapshot in ec2.describe_snapshots(OwnerIds=["self"], Filters=ours)["Snapshots"]),
        *(
            machine["InstanceId"]
            for held in ec2.describe_instances(Filters=[*ours, live])["Reservations"]
            for machine in held["Instances"]
        ),
        *(template["LaunchTemplateId"] for template in ec2.describe_launch_templates(Filters=ours)["LaunchTemplates"]),
    ]


def test_a_rehearsal_says_what_is_missing_and_that_given_roles_are_enough(tmp_path: Path) -> None:
    limit = tmp_path / "boundary.json"
    limit.write_text(json.dumps(boundary("aws", ACCOUNT, Holder.ROLES, DEFAULT_STACK_NAME)))
    documents = [*(f"--scp={name}.json" for name in KINDS), "--policy=power-user.json", f"--boundary={limit}"]
    place = (f"--region={REGION}", "--tag=cost_center=7")
    code, document = rehearse(*documents, *place)
    result = document["result"]
    assert (code, document["error"], result["left"]) == (1, None, [])
    missing = denied(result, "power-user.json") | denied(result, "no-roles.json")
    assert ("deploy", "the deployer", "iam:CreateRole", "1") in missing
    assert {call.partition(":")[0] for _, _, call, _ in missing} == {"iam"}
    code, document = rehearse(*documents, *place, "--given-roles")
    result = document["result"]
    assert [(step["name"], step["error"], step["denials"]) for step in result["steps"]] == [
        (name, None, []) for name in STEPS
    ]
    assert (code, result["left"]) == (0, [])


def test_a_guest_deploys_limits_and_money_hold_and_nothing_is_left(
    local: LocalAws,
    root: boto3.Session,
    network: Network,
    enter: Callable[[str, Document], Any],
    set_account: Callable[..., None],
    tmp_path: Path,
) -> None:
    name, number = f"g-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex[:8]
    iam, ec2, cloudformation = root.client("iam"), root.client("ec2"), root.client("cloudformation")
    before = take_inventory(root)
    homes = [tmp_path / each for each in ("guest", "researcher")]
    for directory in homes:
        directory.mkdir()
    power_user = f"AWSReservedSSO_PowerUser_{number}"
    guest = person(local, enter(power_user, read("power-user")), make_home(homes[0]), name)
    research = {"Version": "2012-10-17", "Statement": TAKING}
    researcher = person(local, enter(f"AWSReservedSSO_Research_{number}", research), make_home(homes[1]), name)
    fake_htcondor.install(researcher.home)

    # What the administrator makes once, before nobody may make a role any more.
    limits = [
        iam.create_policy(
            PolicyName=boundary_name(holder, name), PolicyDocument=json.dumps(boundary("aws", ACCOUNT, holder, name))
        )["Policy"]["Arn"]
        for holder in Holder
    ]
    given = {
        "VpcId": network.vpc,
        "SubnetIds": network.subnet,
        "ConnectivityVpc": "yes",
        "PermissionsBoundaryArn": limits[0],
        "UserPrincipals": f"arn:aws:iam::{ACCOUNT}:role{SETS}AWSReservedSSO_Research_*".replace(REGION, "*"),
        "MaxCores": "4",
    }
    printed = guest.must("policy", "roles", *(f"--param={key}={value}" for key, value in given.items())).stdout
    cloudformation.create_stack(StackName=f"{name}-roles", TemplateBody=printed, Capabilities=["CAPABILITY_NAMED_IAM"])
    cloudformation.get_waiter("stack_create_complete").wait(StackName=f"{name}-roles", WaiterConfig={"Delay": 1})
    (roles,) = cloudformation.describe_stacks(StackName=f"{name}-roles")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in roles["Outputs"]}
    iam.attach_role_policy(RoleName=power_user, PolicyArn=outputs["DeployPolicyARN"])
    set_account(service_control_policies=[read(kind) for kind in KINDS], caller_rights=True)

    # The guest runs what the administrator's stack says, with the tag that the organisation demands.
    guest.must("deploy", "--yes", "--no-pull", *shlex.split(outputs["Deploy"])[2:], "--tag", "cost_center=7")
    findings = guest.run("doctor", "--output", "json").document["result"]["findings"]
    (subnets,) = [finding for finding in findings if finding["id"] == "subnets"]
    assert (subnets["level"], subnets["detail"][:38]) == ("OK", f"{network.subnet}: everything by nat-"[:38])
    described = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    stack = DeployedStack(
        described["StackId"], {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
    )
    # The function that asks for the pool is in the same subnet, by the rights of a role of the administrator's.
    (interface,) = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert (interface["SubnetId"], interface["InterfaceType"]) == (network.subnet, "lambda")
    # Its check comes when the test says so.
    root.client("events").disable_rule(Name=sweep_rule_name(name))

    # Somebody of the laboratory takes the role, and starts as much as the stack may have.
    researcher.must("credentials", "--role")
    profile = ("--profile", f"{name}-{REGION}")
    researcher.must("start", "first", "--count", "2", *START, *profile)
    for machine in machines_of(root, REGION):
        tags = {tag["Key"]: tag["Value"] for tag in machine["Tags"]}
        assert (machine["SubnetId"], "PublicIpAddress" in machine, tags["cost_center"]) == (network.subnet, False, "7")
    refused = researcher.run("start", "second", "--count", "1", *START, *profile)
    assert refused.returncode == 1
    assert "may have 4 cores in all (MaxCores)" in " ".join(refused.stderr.split())
    # The limit holds in AWS: also whoever may do everything starts nothing that stays.
    first = {machine["InstanceId"] for machine in machines_of(root, REGION)}
    time.sleep(1 - time.time() % 1 + 0.1)
    ec2.run_instances(
        LaunchTemplate={"LaunchTemplateId": stack.outputs[Output.LAUNCH_TEMPLATE_ID], "Version": "$Latest"},
        InstanceType="m7i.large",
        SubnetId=network.subnet,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": ANNEX_TAG, "Value": "beyond"}]}],
    )
    function = stack.outputs[Output.LEASE_FUNCTION_ARN]
    checked = root.client("lambda").invoke(FunctionName=function, Payload=json.dumps(SWEEP_EVENT).encode())
    said = json.loads(checked["Payload"].read())
    assert said["errorMessage"] == "ended 1 machines beyond MaxCores, of the annexes beyond"
    assert {machine["InstanceId"] for machine in machines_of(root, REGION)} == first
    researcher.must("leases", "end", "first", "--yes", *profile)
    wait_until_ended(root, stack)

    # So does the money: the lease ends before it is spent, and nobody makes it longer.
    began = time.time()
    researcher.must("start", "paid", "--count", "1", *START, "--duration", "30d", "--max-dollars", "3", *profile)
    ends = leases_of(root, REGION, stack)["paid"]
    assert began + 3600 < ends < began + 30 * 86400
    longer = researcher.run("leases", "extend", "paid", "60d", *profile)
    assert longer.returncode == 1
    assert "the $3 of paid may be spent by" in " ".join(longer.stderr.split())
    # When that time has come, nobody's computer has to be on.
    events = root.client("events")
    (target,) = events.list_targets_by_rule(Rule="paid")["Targets"]
    over = json.loads(target["Input"]) | {"LeaseExpiration": int(time.time()) - 1}
    events.put_targets(Rule="paid", Targets=[{**target, "Input": json.dumps(over)}])
    wait_until_ended(root, stack)

    # Nothing is left of the stack; what the administrator made, only they delete.
    guest.must("delete", "--yes")
    assert made_for_machines(ec2, stack.stack_id) == []
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    iam.detach_role_policy(RoleName=power_user, PolicyArn=outputs["DeployPolicyARN"])
    cloudformation.delete_stack(StackName=f"{name}-roles")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=f"{name}-roles", WaiterConfig={"Delay": 1})
    sets = {f"arn:aws:iam::{ACCOUNT}:role{SETS}AWSReservedSSO_{kind}_{number}" for kind in ("PowerUser", "Research")}
    for limit in limits:
        iam.delete_policy(PolicyArn=limit)
    left = {entry for entry in take_inventory(root) - before if not is_service_linked(entry) and entry[1] not in sets}
    assert left == set()


def wait_until_ended(root: boto3.Session, stack: DeployedStack) -> None:
    """Wait until no machine of an annex runs in the region, and a later tick has removed the leases."""
    for _ in range(600):
        if not machines_of(root, REGION) and not leases_of(root, REGION, stack):
            return
        time.sleep(0.2)
    raise AssertionError("machines or leases are still there after two minutes")
