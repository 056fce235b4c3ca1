"""The extension of MiniStack's EC2, through boto3 and TLS against the running server."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError

from local_aws.launcher import Credentials, LocalAws

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import SpotFleetRequestConfigDataTypeDef
    from mypy_boto3_iam import IAMClient

IMAGE = "ami-0123456789abcdef0"
SPOT_FLEET_TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "spotfleet.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)


@dataclass(frozen=True)
class Server:
    """The running server, and clients of its principals."""

    local: LocalAws
    session: boto3.Session

    def client(
        self,
        service: Literal["cloudformation", "ec2", "events", "iam", "logs", "sqs"],
        region: str = "us-east-1",
        credentials: Credentials | None = None,
    ) -> Any:
        """Return a client, by default of the account's root, that fails at once."""
        principal = credentials or self.local.root
        return self.session.client(
            service,
            region_name=region,
            aws_access_key_id=principal.access_key_id,
            aws_secret_access_key=principal.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def ec2(self, region: str = "us-east-1") -> EC2Client:
        """Return root's EC2 client."""
        client: EC2Client = self.client("ec2", region)
        return client

    def iam(self) -> IAMClient:
        """Return root's IAM client."""
        client: IAMClient = self.client("iam")
        return client

    def user(self, *statements: dict[str, Any]) -> EC2Client:
        """Return the EC2 client of a new user who may do just this."""
        client: EC2Client = self.client("ec2", "us-east-1", self.key(*statements))
        return client

    def iam_user(self, *statements: dict[str, Any]) -> IAMClient:
        """Return the IAM client of a new user who may do just this."""
        client: IAMClient = self.client("iam", "us-east-1", self.key(*statements))
        return client

    def key(self, *statements: dict[str, Any]) -> Credentials:
        """Return the access key of a new user who may do just this."""
        name = f"user-{uuid.uuid4()}"
        iam = self.iam()
        iam.create_user(UserName=name)
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]}
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


@pytest.fixture(scope="module")
def server(local: LocalAws) -> Server:
    """The local AWS that all tests of this folder share."""
    return Server(local, boto3.Session())


@pytest.fixture
def ec2(server: Server) -> EC2Client:
    """Root's client in a region of its own, so that no test sees another's machines."""
    return server.ec2(region=f"test-{uuid.uuid4().hex[:8]}-1")


@pytest.fixture(scope="module")
def fleet_role(server: Server) -> str:
    """The ARN of a role that spot fleets can assume."""
    role = server.iam().create_role(RoleName="fleet", AssumeRolePolicyDocument=SPOT_FLEET_TRUST)
    return role["Role"]["Arn"]


def run(client: EC2Client, count: int = 1, token: str = "", **more: Any) -> list[str]:
    """Start machines as condor_annex does and return their IDs."""
    token = token or str(uuid.uuid4())
    reservation = client.run_instances(
        ImageId=IMAGE, InstanceType="t3.micro", MinCount=1, MaxCount=count, ClientToken=token, **more
    )
    return [instance["InstanceId"] for instance in reservation["Instances"]]


def found(client: EC2Client, *filters: tuple[str, str]) -> set[str]:
    """Return the IDs of the machines that pass these filters."""
    pages = client.get_paginator("describe_instances").paginate(
        Filters=[{"Name": name, "Values": [value]} for name, value in filters]
    )
    return {i["InstanceId"] for page in pages for r in page["Reservations"] for i in r["Instances"]}


def instance_tags(annex_id: str) -> list[Any]:
    """Return the TagSpecifications that condor_annex sends."""
    return [{"ResourceType": "instance", "Tags": [{"Key": "htcondor:AnnexName", "Value": annex_id}]}]


def group_tags(key: str, value: str) -> list[Any]:
    """Return the TagSpecifications of a security group."""
    return [{"ResourceType": "security-group", "Tags": [{"Key": key, "Value": value}]}]


def fleet(
    role: str, token: str = "", capacity: int = 3, kind: Literal["request", "maintain"] = "request"
) -> SpotFleetRequestConfigDataTypeDef:
    """Return a configuration as condor_annex sends one; a machine of its first specification weighs 2."""
    return {
        "IamFleetRole": role,
        "SpotPrice": "0.05",
        "TargetCapacity": capacity,
        "Type": kind,
        "ClientToken": token or str(uuid.uuid4()),
        "LaunchSpecifications": [
            {
                "ImageId": IMAGE,
                "InstanceType": "m5.large",
                "WeightedCapacity": 2.0,
                "TagSpecifications": instance_tags("spot"),
            },
            {"ImageId": IMAGE, "InstanceType": "c5.large"},
        ],
    }


def refusal(error: pytest.ExceptionInfo[ClientError]) -> str:
    """Return the error code that AWS would send."""
    return error.value.response["Error"]["Code"]


class TestClientTokens:
    """RunInstances and DescribeInstances."""

    def test_a_repeated_token_starts_nothing_and_answers_with_the_same_machines(self, ec2: EC2Client) -> None:
        first = run(ec2, 3, "lab_1")
        assert run(ec2, 3, "lab_1") == first
        assert len(found(ec2)) == len(first) == 3

    def test_a_repeated_token_with_other_parameters_is_refused(self, ec2: EC2Client) -> None:
        run(ec2, 1, "lab_1")
        with pytest.raises(ClientError) as error:
            run(ec2, 2, "lab_1")
        assert refusal(error) == "IdempotentParameterMismatch"

    def test_a_token_of_another_region_is_another_token(self, server: Server, ec2: EC2Client) -> None:
        assert run(ec2, 1, "lab_1") != run(server.ec2(region="test-other-1"), 1, "lab_1")

    def test_a_machine_tells_its_token(self, ec2: EC2Client) -> None:
        (machine,) = run(ec2, 1, "lab_<1>")
        answer = ec2.describe_instances(InstanceIds=[machine])
        assert answer["Reservations"][0]["Instances"][0]["ClientToken"] == "lab_<1>"


class TestFilters:
    """DescribeInstances."""

    @pytest.mark.parametrize(
        ("pattern", "tokens"),
        [
            ("test_*", {"test_1", "test_2"}),
            ("test?1", {"test_1", "test*1"}),
            (r"test\*1", {"test*1"}),
            ("TEST_1", set()),
            ("test", set()),
        ],
    )
    def test_client_tokens_match_with_wildcards(self, ec2: EC2Client, pattern: str, tokens: set[str]) -> None:
        machines = {token: set(run(ec2, 1, token)) for token in ("test_1", "test_2", "test*1", "test2_1")}
        assert found(ec2, ("client-token", pattern)) == set().union(*(machines[token] for token in tokens))

    def test_tags_match_with_wildcards_and_filters_add_up(self, ec2: EC2Client) -> None:
        lab, library = (run(ec2, TagSpecifications=instance_tags(name))[0] for name in ("lab", "library"))
        assert found(ec2, ("tag:htcondor:AnnexName", "l*b*")) == {lab, library}
        assert found(ec2, ("tag:htcondor:AnnexName", "lab"), ("tag-key", "htcondor:*")) == {lab}
        ec2.terminate_instances(InstanceIds=[lab])
        assert found(ec2, ("instance-state-name", "running")) == {library}

    def test_profile_group_and_vpc_are_filters(self, ec2: EC2Client) -> None:
        group = ec2.create_security_group(GroupName="g", Description="d")["GroupId"]
        arn = "arn:aws:iam::000000000000:instance-profile/p"
        (machine,) = run(ec2, SecurityGroupIds=[group], IamInstanceProfile={"Arn": arn})
        run(ec2)
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        for name, value in [
            ("iam-instance-profile.arn", arn),
            ("instance.group-id", group),
            ("network-interface.group-id", group),
        ]:
            assert found(ec2, (name, value), ("vpc-id", vpc)) == {machine}
        assert found(ec2, ("vpc-id", "vpc-0")) == set()

    def test_an_unknown_filter_is_refused(self, ec2: EC2Client) -> None:
        with pytest.raises(ClientError, match="The filter 'annex' is invalid") as error:
            found(ec2, ("annex", "lab"))
        assert refusal(error) == "InvalidParameterValue"

    def test_a_page_of_fewer_than_five_is_refused(self, ec2: EC2Client) -> None:
        with pytest.raises(ClientError) as error:
            ec2.describe_instances(MaxResults=4)
        assert refusal(error) == "InvalidParameterValue"

    def test_every_page_counts_even_when_machines_of_the_last_one_go(self, ec2: EC2Client) -> None:
        machines = set(run(ec2, 12))
        seen: set[str] = set()
        state: list[Any] = [{"Name": "instance-state-name", "Values": ["running"]}]
        pages = 0
        paginator = ec2.get_paginator("describe_instances")
        for page in paginator.paginate(Filters=state, PaginationConfig={"PageSize": 5}):
            ids = [i["InstanceId"] for r in page["Reservations"] for i in r["Instances"]]
            ec2.terminate_instances(InstanceIds=ids)
            seen |= set(ids)
            pages += 1
        assert (seen, pages) == (machines, 3)


class TestSpotFleets:
    """Requests, their instances and their end."""

    def test_a_fleet_starts_the_capacity_rounded_up_in_tagged_spot_machines(
        self, ec2: EC2Client, fleet_role: str
    ) -> None:
        fleet_id = ec2.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role))["SpotFleetRequestId"]
        machines = found(ec2, ("tag:htcondor:AnnexName", "spot"), ("instance-lifecycle", "spot"))
        assert found(ec2, ("tag:aws:ec2spot:fleet-request-id", fleet_id)) == machines
        active = ec2.describe_spot_fleet_instances(SpotFleetRequestId=fleet_id)["ActiveInstances"]
        assert {each["InstanceId"] for each in active} == machines
        assert [each["InstanceType"] for each in active] == ["m5.large", "m5.large"]

    def test_a_description_tells_state_token_and_capacity(self, ec2: EC2Client, fleet_role: str) -> None:
        config = fleet(fleet_role)
        before = datetime.now(UTC)
        fleet_id = ec2.request_spot_fleet(SpotFleetRequestConfig=config)["SpotFleetRequestId"]
        (described,) = ec2.describe_spot_fleet_requests(SpotFleetRequestIds=[fleet_id])["SpotFleetRequestConfigs"]
        assert described["SpotFleetRequestState"] == "active"
        assert described["ActivityStatus"] == "fulfilled"
        assert before <= described["CreateTime"] <= datetime.now(UTC)
        shown = described["SpotFleetRequestConfig"]
        assert shown["ClientToken"] == config["ClientToken"]
        assert shown["FulfilledCapacity"] == 4.0
        assert shown["LaunchSpecifications"][0]["TagSpecifications"] == instance_tags("spot")

    def test_a_repeated_token_requests_nothing(self, ec2: EC2Client, fleet_role: str) -> None:
        config = fleet(fleet_role)
        first = ec2.request_spot_fleet(SpotFleetRequestConfig=config)
        again = ec2.request_spot_fleet(SpotFleetRequestConfig=config)
        assert first["SpotFleetRequestId"] == again["SpotFleetRequestId"]
        assert len(found(ec2)) == 2
        with pytest.raises(ClientError) as error:
            ec2.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role, config["ClientToken"], 9))
        assert refusal(error) == "IdempotentParameterMismatch"

    def test_fleets_are_listed_page_by_page(self, ec2: EC2Client, fleet_role: str) -> None:
        fleets = {
            ec2.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role))["SpotFleetRequestId"] for _ in range(3)
        }
        pages = list(ec2.get_paginator("describe_spot_fleet_requests").paginate(PaginationConfig={"PageSize": 2}))
        listed = [each["SpotFleetRequestId"] for page in pages for each in page["SpotFleetRequestConfigs"]]
        assert len(pages) == 2
        assert sorted(listed) == sorted(fleets)

    def test_cancelling_with_its_machines_ends_them(self, ec2: EC2Client, fleet_role: str) -> None:
        fleet_id = ec2.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role))["SpotFleetRequestId"]
        answer = ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet_id], TerminateInstances=True)
        assert answer["SuccessfulFleetRequests"] == [
            {
                "SpotFleetRequestId": fleet_id,
                "PreviousSpotFleetRequestState": "active",
                "CurrentSpotFleetRequestState": "cancelled_terminating",
            }
        ]
        assert found(ec2, ("instance-state-name", "running")) == set()
        assert self.state(ec2, fleet_id) == "cancelled"

    def test_cancelling_without_its_machines_leaves_them_running(self, ec2: EC2Client, fleet_role: str) -> None:
        fleet_id = ec2.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role))["SpotFleetRequestId"]
        ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet_id], TerminateInstances=False)
        machines = found(ec2, ("instance-state-name", "running"))
        assert (len(machines), self.state(ec2, fleet_id)) == (2, "cancelled_running")
        ec2.terminate_instances(InstanceIds=list(machines))
        assert self.state(ec2, fleet_id) == "cancelled"

    def test_a_cancelled_or_unknown_fleet_fails_without_stopping_the_others(
        self, ec2: EC2Client, fleet_role: str
    ) -> None:
        first, second = (
            ec2.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role))["SpotFleetRequestId"] for _ in range(2)
        )
        ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[first], TerminateInstances=True)
        unknown = f"sfr-{uuid.uuid4()}"
        answer = ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[unknown, first, second], TerminateInstances=True)
        assert [each["SpotFleetRequestId"] for each in answer["SuccessfulFleetRequests"]] == [second]
        assert {each["SpotFleetRequestId"]: each["Error"]["Code"] for each in answer["UnsuccessfulFleetRequests"]} == {
            unknown: "fleetRequestIdDoesNotExist",
            first: "fleetRequestNotInCancellableState",
        }

    def test_an_active_fleet_that_maintains_its_capacity_replaces_a_terminated_machine(
        self, ec2: EC2Client, fleet_role: str
    ) -> None:
        fleet_id = ec2.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role, kind="maintain"))[
            "SpotFleetRequestId"
        ]
        before = found(ec2)
        ec2.terminate_instances(InstanceIds=[min(before)])
        after = found(ec2, ("instance-state-name", "running"))
        assert len(after) == 2
        assert len(after - before) == 1
        history = ec2.describe_spot_fleet_request_history(
            SpotFleetRequestId=fleet_id,
            StartTime=datetime(2020, 1, 1, tzinfo=UTC),
            EventType="instanceChange",
        )
        events = [each["EventInformation"].get("EventSubType") for each in history["HistoryRecords"]]
        assert events == ["launched", "launched", "terminated", "launched"]

    def test_a_role_that_spot_fleets_cannot_assume_starts_nothing(self, server: Server, ec2: EC2Client) -> None:
        trust = SPOT_FLEET_TRUST.replace("spotfleet", "ec2")
        role = server.iam().create_role(RoleName=f"r-{uuid.uuid4()}", AssumeRolePolicyDocument=trust)
        config = fleet(role["Role"]["Arn"])
        fleet_id = ec2.request_spot_fleet(SpotFleetRequestConfig=config)["SpotFleetRequestId"]
        (described,) = ec2.describe_spot_fleet_requests(SpotFleetRequestIds=[fleet_id])["SpotFleetRequestConfigs"]
        assert described["ActivityStatus"] == "error"
        assert found(ec2) == set()

    def test_a_role_that_does_not_exist_is_refused(self, ec2: EC2Client) -> None:
        with pytest.raises(ClientError) as error:
            ec2.request_spot_fleet(SpotFleetRequestConfig=fleet("arn:aws:iam::000000000000:role/none"))
        assert refusal(error) == "InvalidSpotFleetRequestConfig"

    def state(self, ec2: EC2Client, fleet_id: str) -> str:
        """Return a fleet's state."""
        answer = ec2.describe_spot_fleet_requests(SpotFleetRequestIds=[fleet_id])
        return answer["SpotFleetRequestConfigs"][0]["SpotFleetRequestState"]


class TestProtection:
    """What EC2 keeps."""

    def test_a_protected_machine_is_not_terminated_until_it_is_released(self, ec2: EC2Client) -> None:
        kept, other = run(ec2, 2)
        ec2.modify_instance_attribute(InstanceId=kept, DisableApiTermination={"Value": True})
        attribute = ec2.describe_instance_attribute(InstanceId=kept, Attribute="disableApiTermination")
        assert attribute["DisableApiTermination"] == {"Value": True}
        with pytest.raises(ClientError) as error:
            ec2.terminate_instances(InstanceIds=[other, kept])
        assert refusal(error) == "OperationNotPermitted"
        assert found(ec2, ("instance-state-name", "running")) == {kept, other}
        ec2.modify_instance_attribute(InstanceId=kept, Attribute="disableApiTermination", Value="false")
        ec2.terminate_instances(InstanceIds=[other, kept])
        assert found(ec2, ("instance-state-name", "running")) == set()

    def test_a_group_stays_while_a_live_machine_uses_it(self, ec2: EC2Client) -> None:
        group = ec2.create_security_group(GroupName="g", Description="d")["GroupId"]
        machines = run(ec2, SecurityGroupIds=[group])
        with pytest.raises(ClientError) as error:
            ec2.delete_security_group(GroupId=group)
        assert refusal(error) == "DependencyViolation"
        ec2.terminate_instances(InstanceIds=machines)
        ec2.delete_security_group(GroupId=group)
        assert "g" not in {each["GroupName"] for each in ec2.describe_security_groups()["SecurityGroups"]}


class TestSecurityGroups:
    """What EC2 refuses about them."""

    def test_an_ingress_rule_is_added_once(self, ec2: EC2Client) -> None:
        group = ec2.create_security_group(GroupName="g", Description="d")["GroupId"]
        rule: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
        permission: Any = rule | {
            "IpRanges": [{"CidrIp": "192.0.2.0/24"}],
            "Ipv6Ranges": [{"CidrIpv6": "::/0"}],
        }
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
        for again in ({**rule, "CidrIp": "192.0.2.0/24"}, {"IpPermissions": [permission]}):
            with pytest.raises(ClientError) as error:
                ec2.authorize_security_group_ingress(GroupId=group, **again)
            assert refusal(error) == "InvalidPermission.Duplicate"
        ec2.authorize_security_group_ingress(GroupId=group, **rule, CidrIp="198.51.100.0/24")

    def test_a_vpc_must_exist(self, ec2: EC2Client) -> None:
        with pytest.raises(ClientError) as error:
            ec2.create_security_group(GroupName="g", Description="d", VpcId="vpc-0123456789abcdef0")
        assert refusal(error) == "InvalidVpcID.NotFound"

    def test_an_unknown_filter_is_refused(self, ec2: EC2Client) -> None:
        with pytest.raises(ClientError, match="The filter 'annex' is invalid"):
            ec2.describe_security_groups(Filters=[{"Name": "annex", "Values": ["lab"]}])
        named = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])
        assert len(named["SecurityGroups"]) == 1


class TestAuthorization:
    """IAM policies on what is new here, as users with nothing else."""

    def test_spot_fleets_need_their_own_permissions(self, server: Server, fleet_role: str) -> None:
        user = server.user({"Action": ["ec2:RunInstances", "iam:PassRole"], "Resource": "*"})
        fleet_id = f"sfr-{uuid.uuid4()}"
        for call in (
            lambda: user.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role)),
            lambda: user.describe_spot_fleet_requests(),
            lambda: user.describe_spot_fleet_instances(SpotFleetRequestId=fleet_id),
            lambda: user.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet_id], TerminateInstances=True),
        ):
            with pytest.raises(ClientError) as error:
                call()
            assert refusal(error) == "UnauthorizedOperation"

    def test_a_fleet_role_is_passed_only_to_spot_fleets(self, server: Server, fleet_role: str) -> None:
        request = {"Action": "ec2:RequestSpotFleet", "Resource": "*"}
        pass_role = {"Action": "iam:PassRole", "Resource": fleet_role}
        to_fleets = {"Condition": {"StringEquals": {"iam:PassedToService": "spotfleet.amazonaws.com"}}}
        to_machines = {"Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}}
        for statements in ([request], [request, pass_role | to_machines]):
            with pytest.raises(ClientError, match="iam:PassRole") as error:
                server.user(*statements).request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role))
            assert refusal(error) == "UnauthorizedOperation"
        allowed = server.user(request, pass_role | to_fleets)
        assert allowed.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role))["SpotFleetRequestId"]

    def test_an_instance_role_is_passed_with_its_profile(self, server: Server) -> None:
        name = f"machine-{uuid.uuid4()}"
        iam = server.iam()
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=SPOT_FLEET_TRUST.replace("spotfleet", "ec2"))
        profile = iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"]
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        start = {"Action": "ec2:RunInstances", "Resource": "*"}
        with pytest.raises(ClientError, match="iam:PassRole"):
            run(server.user(start), IamInstanceProfile={"Arn": profile})
        allowed = server.user(start, {"Action": "iam:PassRole", "Resource": role["Role"]["Arn"]})
        assert run(allowed, IamInstanceProfile={"Arn": profile})

    @pytest.mark.parametrize("prefix", ["aws", "ec2"])
    def test_only_tagged_machines_are_terminated_and_each_of_a_batch_counts(self, server: Server, prefix: str) -> None:
        ours, others = (run(server.ec2(), 1, TagSpecifications=instance_tags(name)) for name in ("lab", "library"))
        condition = {"StringEquals": {f"{prefix}:ResourceTag/htcondor:AnnexName": "lab"}}
        user = server.user({"Action": "ec2:TerminateInstances", "Resource": "*", "Condition": condition})
        for batch in (others, ours + others):
            with pytest.raises(ClientError) as error:
                user.terminate_instances(InstanceIds=batch)
            assert refusal(error) == "UnauthorizedOperation"
        user.terminate_instances(InstanceIds=ours)
        assert not found(server.ec2(), ("instance-id", ours[0]), ("instance-state-name", "running"))

    def test_only_machines_with_the_profile_are_terminated(self, server: Server) -> None:
        arn = f"arn:aws:iam::000000000000:instance-profile/{uuid.uuid4()}"
        ours, others = run(server.ec2(), 1, IamInstanceProfile={"Arn": arn}), run(server.ec2())
        condition = {"ArnEquals": {"ec2:InstanceProfile": arn}}
        user = server.user({"Action": "ec2:TerminateInstances", "Resource": "*", "Condition": condition})
        with pytest.raises(ClientError) as error:
            user.terminate_instances(InstanceIds=others)
        assert refusal(error) == "UnauthorizedOperation"
        user.terminate_instances(InstanceIds=ours)

    @pytest.mark.parametrize("prefix", ["aws", "ec2"])
    def test_only_tagged_groups_are_changed(self, server: Server, prefix: str) -> None:
        tagged, bare = (
            server.ec2().create_security_group(
                GroupName=str(uuid.uuid4()),
                Description="d",
                TagSpecifications=tags,
            )["GroupId"]
            for tags in (group_tags("owner", "us"), [])
        )
        condition = {"StringEquals": {f"{prefix}:ResourceTag/owner": "us"}}
        rules = ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"]
        user = server.user({"Action": [*rules, "ec2:DeleteSecurityGroup"], "Resource": "*", "Condition": condition})
        rule: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "192.0.2.0/24"}
        ingress = (user.authorize_security_group_ingress, user.revoke_security_group_ingress)
        for call, arguments in ((ingress[0], rule), (ingress[1], rule), (user.delete_security_group, {})):
            with pytest.raises(ClientError) as error:
                call(GroupId=bare, **arguments)
            assert refusal(error) == "UnauthorizedOperation"
            call(GroupId=tagged, **arguments)

    def test_tags_on_creation_need_create_tags_for_that_action_and_those_tags(self, server: Server) -> None:
        start = {"Action": ["ec2:RunInstances", "ec2:CreateSecurityGroup"], "Resource": "*"}
        tag = {
            "Action": "ec2:CreateTags",
            "Resource": "arn:aws:ec2:*:*:instance/*",
            "Condition": {
                "StringEquals": {
                    "ec2:CreateAction": "RunInstances",
                    "aws:RequestTag/htcondor:AnnexName": "lab",
                }
            },
        }
        user = server.user(start, tag)
        assert run(user, TagSpecifications=instance_tags("lab"))
        with pytest.raises(ClientError, match="ec2:CreateTags"):
            run(user, TagSpecifications=instance_tags("library"))
        with pytest.raises(ClientError, match="ec2:CreateTags"):
            user.create_security_group(
                GroupName=str(uuid.uuid4()),
                Description="d",
                TagSpecifications=[
                    {
                        "ResourceType": "security-group",
                        "Tags": [{"Key": "htcondor:AnnexName", "Value": "lab"}],
                    }
                ],
            )
        with pytest.raises(ClientError) as error:
            user.create_tags(Resources=run(user), Tags=[{"Key": "htcondor:AnnexName", "Value": "lab"}])
        assert refusal(error) == "UnauthorizedOperation"

    @pytest.mark.parametrize("action", ["ec2:CreateTags", "ec2:CreateSecurityGroup"])
    def test_a_condition_on_request_tags_is_enforced(self, server: Server, action: str) -> None:
        condition = {"StringEquals": {"aws:RequestTag/owner": "us"}}
        user = server.user(
            {"Action": action, "Resource": "*", "Condition": condition},
            {"Action": "ec2:CreateTags", "Resource": "arn:aws:ec2:*:*:security-group/*"},
        )
        (machine,) = run(server.ec2())

        def call(value: str) -> None:
            if action == "ec2:CreateTags":
                user.create_tags(Resources=[machine], Tags=[{"Key": "owner", "Value": value}])
            else:
                user.create_security_group(
                    GroupName=str(uuid.uuid4()),
                    Description="d",
                    TagSpecifications=group_tags("owner", value),
                )

        with pytest.raises(ClientError) as error:
            call("them")
        assert refusal(error) == "UnauthorizedOperation"
        call("us")

    def test_describing_takes_no_resource(self, server: Server) -> None:
        user = server.user({"Action": "ec2:DescribeInstances", "Resource": "arn:aws:ec2:*:*:instance/*"})
        with pytest.raises(ClientError) as error:
            user.describe_instances(InstanceIds=run(server.ec2()))
        assert refusal(error) == "UnauthorizedOperation"


class TestRoles:
    """IAM policies on IAM's own calls, as users with nothing else."""

    trust = SPOT_FLEET_TRUST
    policy = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    )

    def test_a_path_is_part_of_the_resource_of_a_role_and_of_a_profile(self, server: Server) -> None:
        name = str(uuid.uuid4())
        resources = [f"arn:aws:iam::*:{kind}/annex/*" for kind in ("role", "instance-profile")]
        user = server.iam_user({"Action": "iam:*", "Resource": resources})
        user.create_role(RoleName=name, Path="/annex/", AssumeRolePolicyDocument=self.trust)
        user.create_instance_profile(InstanceProfileName=name, Path="/annex/")
        user.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        user.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=self.policy)
        for call in (
            lambda: user.create_role(RoleName=f"{name}-2", AssumeRolePolicyDocument=self.trust),
            lambda: user.create_instance_profile(InstanceProfileName=f"{name}-2", Path="/other/"),
        ):
            with pytest.raises(ClientError) as error:
                call()
            assert refusal(error) == "AccessDenied"

    def test_a_role_needs_the_boundary_that_the_policy_names_also_later_on(self, server: Server) -> None:
        name = str(uuid.uuid4())
        boundary = server.iam().create_policy(PolicyName=name, PolicyDocument=self.policy)["Policy"]["Arn"]
        condition = {"StringEquals": {"iam:PermissionsBoundary": boundary}}
        actions = ["iam:CreateRole", "iam:PutRolePolicy"]
        user = server.iam_user({"Action": actions, "Resource": "*", "Condition": condition})
        user.create_role(RoleName=name, AssumeRolePolicyDocument=self.trust, PermissionsBoundary=boundary)
        user.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=self.policy)
        server.iam().create_role(RoleName=f"{name}-2", AssumeRolePolicyDocument=self.trust)
        with pytest.raises(ClientError) as error:
            user.create_role(RoleName=f"{name}-3", AssumeRolePolicyDocument=self.trust)
        assert refusal(error) == "AccessDenied"
        with pytest.raises(ClientError) as error:
            user.put_role_policy(RoleName=f"{name}-2", PolicyName="p", PolicyDocument=self.policy)
        assert refusal(error) == "AccessDenied"

    @pytest.mark.parametrize("prefix", ["aws", "iam"])
    def test_only_tagged_roles_and_profiles_are_deleted(self, server: Server, prefix: str) -> None:
        tagged, bare = str(uuid.uuid4()), str(uuid.uuid4())
        owner: list[Any] = [{"Key": "owner", "Value": "us"}]
        for name, tags in ((tagged, owner), (bare, [])):
            server.iam().create_role(RoleName=name, AssumeRolePolicyDocument=self.trust, Tags=tags)
            server.iam().create_instance_profile(InstanceProfileName=name, Tags=tags)
        condition = {"StringEquals": {f"{prefix}:ResourceTag/owner": "us"}}
        user = server.iam_user({"Action": "iam:Delete*", "Resource": "*", "Condition": condition})
        for delete in (user.delete_role, user.delete_instance_profile):
            parameter = "RoleName" if delete == user.delete_role else "InstanceProfileName"
            with pytest.raises(ClientError) as error:
                delete(**{parameter: bare})
            assert refusal(error) == "AccessDenied"
            delete(**{parameter: tagged})

    def test_a_profile_gets_only_a_role_that_its_user_may_pass(self, server: Server) -> None:
        name = str(uuid.uuid4())
        server.iam().create_role(RoleName=name, AssumeRolePolicyDocument=self.trust)
        server.iam().create_instance_profile(InstanceProfileName=name)
        user = server.iam_user({"Action": "iam:AddRoleToInstanceProfile", "Resource": "*"})
        with pytest.raises(ClientError, match="iam:PassRole"):
            user.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)

    def test_service_linked_roles_have_their_own_names_and_are_made_once(self, server: Server) -> None:
        arn = "arn:aws:iam::*:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"
        condition = {"StringEquals": {"iam:AWSServiceName": "spot.amazonaws.com"}}
        # A stack of another test may have made it.
        with contextlib.suppress(ClientError):
            server.iam().delete_service_linked_role(RoleName="AWSServiceRoleForEC2Spot")
        user = server.iam_user(
            {"Action": "iam:CreateServiceLinkedRole", "Resource": arn, "Condition": condition},
            {"Action": "iam:GetRole", "Resource": arn},
        )
        made = user.create_service_linked_role(AWSServiceName="spot.amazonaws.com")["Role"]
        assert user.get_role(RoleName="AWSServiceRoleForEC2Spot")["Role"]["Arn"] == made["Arn"]
        with pytest.raises(ClientError) as error:
            user.create_service_linked_role(AWSServiceName="spot.amazonaws.com")
        assert refusal(error) == "InvalidInput"
        with pytest.raises(ClientError) as error:
            user.create_service_linked_role(AWSServiceName="spotfleet.amazonaws.com")
        assert refusal(error) == "AccessDenied"


CUSTOM_RESOURCE = """
import json, urllib.request

def handler(event, context):
    failed = event["RequestType"] == "Create"
    answer = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    answer |= {"Status": "FAILED" if failed else "SUCCESS", "Reason": "made to fail"}
    answer["PhysicalResourceId"] = event.get("PhysicalResourceId", "physical-1")
    print("SENT", event["RequestType"], event.get("PhysicalResourceId"))
    data = json.dumps(answer).encode()
    urllib.request.urlopen(urllib.request.Request(event["ResponseURL"], data=data, method="PUT"))
"""


def test_a_custom_resource_whose_creation_failed_is_deleted_by_its_physical_id(server: Server) -> None:
    role = server.iam().create_role(RoleName="custom", AssumeRolePolicyDocument=SPOT_FLEET_TRUST)["Role"]["Arn"]
    template = {
        "Resources": {
            "Function": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "FunctionName": "custom",
                    "Runtime": "python3.13",
                    "Handler": "index.handler",
                    "Role": role,
                    "Code": {"ZipFile": CUSTOM_RESOURCE},
                },
            },
            "Thing": {
                "Type": "Custom::Thing",
                "Properties": {"ServiceToken": {"Fn::GetAtt": ["Function", "Arn"]}},
            },
        }
    }
    cloudformation = server.client("cloudformation")
    cloudformation.create_stack(StackName="custom", TemplateBody=json.dumps(template))
    with pytest.raises(WaiterError, match="ROLLBACK_COMPLETE"):
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName="custom", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
    logs = server.client("logs").filter_log_events(logGroupName="/aws/lambda/custom", filterPattern="SENT")
    requests = [event["message"].split()[1:] for event in logs["events"]]
    assert requests == [["Create", "None"], ["Delete", "physical-1"]]


def test_a_rule_of_one_minute_fires_at_the_chosen_speed(server: Server) -> None:
    sqs, events = server.client("sqs"), server.client("events")
    queue = sqs.create_queue(QueueName="ticks")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="lab", ScheduleExpression="rate(1 minute)")
    events.put_targets(Rule="lab", Targets=[{"Id": "lab", "Arn": arn, "Input": '{"AnnexID": "lab"}'}])
    # The queue answers as soon as a message arrives; at MiniStack's own speed none would within 20 seconds.
    answer = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)
    assert [json.loads(message["Body"]) for message in answer["Messages"][:1]] == [{"AnnexID": "lab"}]


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"ANNEX_BOOTSTRAP_SCHEDULE_SPEED": "0"}, "the schedule's speed must be above 0, not 0.0"),
        ({}, "local_aws.server needs exactly MiniStack 1.5.33, not 2.0: pip install"),
    ],
)
def test_what_it_cannot_work_with_is_said_in_one_sentence(variables: dict[str, str], sentence: str) -> None:
    another_version = "import importlib.metadata as m; m.version = lambda name: '2.0'; "
    code = ("" if variables else another_version) + "import local_aws.server.app"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert sentence in done.stderr.splitlines()[-1]
