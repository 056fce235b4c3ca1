"""A stack that an earlier version made, with its own code and policies, is updated by today's client and keeps all."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from annex_bootstrap.launch.verify import read_code
from annex_bootstrap.policies.boundary import boundary, boundary_arn
from annex_contract import __version__
from annex_contract.boundaries import Holder
from annex_contract.stack import ANNEX_TAG, ROLE_PATH, Output, Parameter
from local_aws.launcher import ACCOUNT
from tests.earlier_versions import REPLACEABLE, template_of, versions
from tests.local_aws import stack
from tests.local_aws.cli_user import CliUser

MAY_CHANGE = {Output.VERSION, Output.IMAGE_ID, Output.LAUNCH_TEMPLATE_VERSION}
"""Outputs that another version may change: its own number, and what follows from what it puts into the image."""


@pytest.mark.slow
@pytest.mark.usefixtures("set_machines")
@pytest.mark.parametrize("version", versions())
def test_a_stack_of_an_earlier_version_is_updated_by_this_client_and_keeps_all_that_it_made(
    root: boto3.Session, deployer: CliUser, template: str, put_template: Callable[[str], str], version: str
) -> None:
    earlier, name = template_of(version), deployer.stack_name
    # With everything that it can make.
    known = json.loads(earlier)["Parameters"]
    asked = {str(key): "yes" for key in (Parameter.KEY_PAIR, Parameter.IMAGE) if key in known}
    assert stack.create(root, name, put_template(earlier), asked) == "CREATE_COMPLETE", stack.reasons(root, name)
    made, before = stack.describe(root, name).outputs, _resources(root, name)
    code_before = _code_of(root, before)

    deployer.must("deploy", "--yes")

    outputs, after = stack.describe(root, name).outputs, _resources(root, name)
    assert {resource for resource in before if resource.kind not in REPLACEABLE} <= after
    assert {key: value for key, value in made.items() if key not in MAY_CHANGE}.items() <= outputs.items()
    assert outputs[Output.VERSION] == __version__
    code_after, theirs, ours = _code_of(root, after), read_code(earlier), read_code(template)
    assert {title for title in code_before if code_after[title] != code_before[title]} >= {
        title for title in code_before if ours[title] != theirs[title]
    }
    assert "is up to date" in deployer.must("deploy", "--yes").stdout
    deployer.must("delete", "--yes")


@pytest.mark.slow
@pytest.mark.usefixtures("set_machines")
def test_a_stack_of_the_last_version_takes_the_new_parameters_with_the_update(
    root: boto3.Session, deployer: CliUser, put_template: Callable[[str], str]
) -> None:
    name, key = deployer.stack_name, root.client("kms").create_key()["KeyMetadata"]["Arn"]
    asked = {str(Parameter.IMAGE): "yes"}
    assert stack.create(root, name, put_template(template_of(versions()[-1])), asked) == "CREATE_COMPLETE"
    before = stack.describe(root, name).outputs
    deployer.must("deploy", "--yes", "--param", f"KmsKeyArn={key}", "--param", "BuilderType=c7i.large")
    after = stack.describe(root, name).outputs
    # The snapshot of the old image has another key.
    assert before[Output.IMAGE_ID] != after[Output.IMAGE_ID]
    assert before[Output.S3_BUCKET_NAME] == after[Output.S3_BUCKET_NAME]
    deployer.must("delete", "--yes")


BEFORE_PROFILES = "3146acb2e9e504ed7f71c3b6960fd5ae258a69dd"
"""The commit before machines of ``start`` got a profile of their own, and annexes were known by tags alone."""


@pytest.mark.slow
@pytest.mark.usefixtures("set_machines")
def test_an_annex_that_runs_survives_the_update_and_ends_with_its_lease(
    root: boto3.Session, deployer: CliUser, put_template: Callable[[str], str]
) -> None:
    name, annex = deployer.stack_name, f"survivor-{uuid.uuid4().hex[:8]}"
    earlier = put_template(template_of(BEFORE_PROFILES))
    assert stack.create(root, name, earlier, {str(Parameter.IMAGE): "yes"}) == "CREATE_COMPLETE"
    before = stack.describe(root, name).outputs
    assert Output.START_INSTANCE_PROFILE not in before
    ec2, events, s3, iam = root.client("ec2"), root.client("events"), root.client("s3"), root.client("iam")
    # As that version's start and condor_annex left it.
    tarball = {"Bucket": before[Output.S3_BUCKET_NAME], "Key": f"config-{annex}.tar.gz"}
    s3.put_object(**tarball, Body=b"made up")  # type: ignore[arg-type]  # two texts
    lease = {"AnnexID": annex, "S3BucketName": tarball["Bucket"], "LeaseExpiration": int(time.time()) + 7200}
    function = before[Output.LEASE_FUNCTION_ARN]
    target: Any = {"Id": annex, "Arn": function, "Input": json.dumps(lease)}
    rule = events.put_rule(Name=annex, ScheduleExpression="rate(5 minutes)", State="ENABLED")
    events.put_targets(Rule=annex, Targets=[target])
    assert events.list_tags_for_resource(ResourceARN=rule["RuleArn"])["Tags"] == []
    launch: Any = {"LaunchTemplateId": before[Output.LAUNCH_TEMPLATE_ID], "Version": "$Latest"}
    tags: Any = [{"ResourceType": "instance", "Tags": [{"Key": ANNEX_TAG, "Value": annex}]}]
    ran = ec2.run_instances(
        LaunchTemplate=launch, InstanceType="m7i.large", MinCount=1, MaxCount=1, TagSpecifications=tags
    )
    machine, profile = ran["Instances"][0]["InstanceId"], before[Output.INSTANCE_CONFIGURATION_PROFILE]
    held = iam.get_instance_profile(InstanceProfileName=profile.rpartition("/")[2])["InstanceProfile"]["Roles"]

    deployer.must("deploy", "--yes")

    def state() -> str:
        (found,) = ec2.describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"]
        # AWS need not show it of one that is terminated.
        assert found.get("IamInstanceProfile", {"Arn": profile})["Arn"] == profile
        return found["State"]["Name"]

    after = stack.describe(root, name).outputs
    assert {key: after[key] for key in before if key not in MAY_CHANGE} == {
        key: value for key, value in before.items() if key not in MAY_CHANGE
    }
    assert after[Output.START_INSTANCE_PROFILE] != profile
    now = iam.get_instance_profile(InstanceProfileName=profile.rpartition("/")[2])["InstanceProfile"]["Roles"]
    assert [role["RoleId"] for role in now] == [role["RoleId"] for role in held]
    assert state() == "running"
    assert events.list_targets_by_rule(Rule=annex)["Targets"] == [target]
    assert s3.get_object(**tarball)["Body"].read() == b"made up"  # type: ignore[arg-type]  # two texts
    # A check before its lease ends changes nothing; the new function ends it after.
    for end, states in ((lease["LeaseExpiration"], ["running"]), (1, ["shutting-down", "terminated"])):
        text = json.dumps(lease | {"LeaseExpiration": end})
        events.put_targets(Rule=annex, Targets=[target | {"Input": text}])
        answer = root.client("lambda").invoke(FunctionName=function, Payload=text.encode())
        assert "FunctionError" not in answer
        assert state() in states
    assert "Contents" not in s3.list_objects_v2(Bucket=tarball["Bucket"])
    ec2.get_waiter("instance_terminated").wait(InstanceIds=[machine], WaiterConfig={"Delay": 1})
    # Its rule, which has no tag of the stack, goes with this tick or with one of its own.
    for _ in range(100):
        assert "FunctionError" not in root.client("lambda").invoke(FunctionName=function, Payload=text.encode())
        if annex not in {rule["Name"] for rule in events.list_rules(NamePrefix=annex)["Rules"]}:
            break
    else:
        pytest.fail(f"the rule {annex} is still there")
    deployer.must("delete", "--yes", "--end-annexes")


BEFORE_OWN_BOUNDARIES = "ef3f214fdd76b65cd8a1b899ae4e2105557f704c"
"""The commit before a stack had a boundary of its own. What it printed for the roles of all stacks is in ``DATA``."""

DATA = Path(__file__).parent.parent / "data" / "boundary-of-all-stacks.json"


@pytest.mark.slow
def test_a_stack_with_the_boundary_of_all_stacks_updates_and_can_get_its_own(
    root: boto3.Session, template: str, put_template: Callable[[str], str]
) -> None:
    iam, name = root.client("iam"), f"bounded-{uuid.uuid4().hex[:8]}"
    shared = f"arn:aws:iam::{ACCOUNT}:policy/annex-bootstrap-roles-boundary"
    own = boundary_arn("aws", ACCOUNT, Holder.ROLES, name)
    documents = {
        shared: DATA.read_text().replace("ACCOUNT", ACCOUNT),
        own: json.dumps(boundary("aws", ACCOUNT, Holder.ROLES, name)),
    }
    for arn, document in documents.items():
        iam.create_policy(PolicyName=arn.rpartition("/")[2], PolicyDocument=document)
    given, url = {str(Parameter.IMAGE): "no"}, put_template(template)
    asked = {**given, str(Parameter.PERMISSIONS_BOUNDARY_ARN): shared}
    assert stack.create(root, name, put_template(template_of(BEFORE_OWN_BOUNDARIES)), asked) == "CREATE_COMPLETE"
    before = stack.describe(root, name).outputs
    assert stack.update(root, name, url, asked) == "UPDATE_COMPLETE", stack.reasons(root, name)
    after = stack.describe(root, name).outputs
    assert {key: after[key] for key in before if key not in MAY_CHANGE} == {
        key: value for key, value in before.items() if key not in MAY_CHANGE
    }
    asked[str(Parameter.PERMISSIONS_BOUNDARY_ARN)] = own
    assert stack.update(root, name, url, asked) == "UPDATE_COMPLETE", stack.reasons(root, name)
    made = stack.describe(root, name)
    roles = {role["RoleName"]: role for role in iam.list_roles(PathPrefix=ROLE_PATH)["Roles"]}
    for output in (Output.INSTANCE_ROLE_ARN, Output.IAM_FLEET_ROLE_ARN):
        new, gone = (outputs[output].rpartition("/")[2] for outputs in (made.outputs, before))
        assert new.startswith(f"{name}_")
        assert gone not in roles
        limit = iam.get_role(RoleName=new)["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"]
        assert limit == own
    assert stack.delete(root, made.stack_id) == "DELETE_COMPLETE"
    for arn in documents:
        iam.delete_policy(PolicyArn=arn)


@dataclass(frozen=True)
class Resource:
    """One resource of a stack."""

    title: str
    kind: str
    physical_id: str


def _resources(root: boto3.Session, name: str) -> set[Resource]:
    pages = root.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
    return {
        Resource(found["LogicalResourceId"], found["ResourceType"], found["PhysicalResourceId"])
        for page in pages
        for found in page["StackResourceSummaries"]
    }


def _code_of(root: boto3.Session, resources: set[Resource]) -> dict[str, str]:
    """Return the digest of the code of every function among resources."""
    functions = root.client("lambda")
    return {
        resource.title: functions.get_function_configuration(FunctionName=resource.physical_id)["CodeSha256"]
        for resource in resources
        if resource.kind == "AWS::Lambda::Function"
    }
