"""The guide of HTCondor 8.7.0, section by section as a person follows it in the console, and one annex from its parts.

`docs/from-the-8.7.0-guide.md` says what to adopt and what to replace; where the guide cannot be followed to the letter,
a test here shows why. HTCondor's own tools are in `tests/htcondor/test_guide_8_7_0.py`.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import boto3
import pytest
from botocore.exceptions import ClientError

from annex_contract.knobs import ACCESS_KEY_KNOB, FLEET_KNOBS, SECRET_KEY_KNOB
from annex_contract.lease import MACHINE_RUNNING, Lease
from annex_contract.outputs import OUTPUTS
from annex_contract.stack import ANNEX_TAG, SPOT_TAGGING_POLICY, Output
from local_aws.demo.annexes import AnnexUser
from local_aws.launcher import REGION, STAND_IN_TAG, Credentials, LocalAws
from tests.local_aws import stack
from tests.local_aws.cli_user import CliUser
from tests.local_aws.conftest import ROOT, make_home
from tests.local_aws.lease.fleets import request_fleet
from tests.local_aws.server.ec2_requests import SPOT_FLEET_TRUST
from tests.local_aws.server.test_metadata import metadata

pytestmark = pytest.mark.slow

OTHER_REGION: Literal["eu-west-1"] = "eu-west-1"

NAME = "HTCondorLeaseImplementation"
ROLE_STACK = "HTCondorInstanceRole"
GROUP = "HTCondorAnnexSG"
FLEET_ROLE = "aws-ec2-spot-fleet-tagging-role"
"""What the EC2 console calls the role that it makes for spot requests:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-fleet-prerequisites.html"""

KEY = "config.tar.gz"

GUIDE_KNOBS = {
    *(ACCESS_KEY_KNOB, SECRET_KEY_KNOB),
    "ANNEX_DEFAULT_SPOT_FLEET_CONFIG_FILE",
    "ANNEX_DEFAULT_LEASE_ARN",
    "ANNEX_DEFAULT_IAM_FLEET_ROLE_ARN",
    "ANNEX_DEFAULT_SECURITY_GROUP_ID",
    "ANNEX_DEFAULT_INSTANCE_ROLE_ARN",
}
"""The names of the seven lines that the guide ends with."""

SECTIONS = {
    "Install a personal Condor": "tests/htcondor/test_guide_8_7_0.py",
    "Configure a pool password": "tests/htcondor/test_guide_8_7_0.py",
    "Tell HTCondor about the open port": "tests/htcondor/test_guide_8_7_0.py",
    "Prepare your EC2 account": "test_the_key_that_the_guide_asks_for",
    "Create a private S3 bucket": "test_the_private_bucket",
    "Prepare the lease machinery": "test_the_lease_machinery",
    "Prepare the dynamic configuration machinery": "test_the_dynamic_configuration_machinery",
    "Create Spot Fleet role": "test_the_spot_fleet_role",
    "Create Security Group": "test_the_security_group",
    "Configure condor_annex": "test_the_lines_of_configuration",
}
"""The guide's sections, and how the names of the tests of each begin, or in which file they are."""


@dataclass(frozen=True)
class Prepared:
    """What a person has made who followed the guide to its end.

    Attributes:
        administrator: a session with the reader's key.
        bucket: the private bucket.
        stacks: the lease stack of each region.
        summaries: what the console was told of each template that was uploaded, by the stack's name.
        profile: the output of the stack from ``generate-role``.
        fleet_role: the ARN of the role that the console made.
        group: the ID of the security group.
    """

    administrator: boto3.Session
    bucket: str
    stacks: Mapping[str, stack.DeployedStack]
    summaries: Mapping[str, Any]
    profile: str
    fleet_role: str
    group: str


def create_in_the_console(
    session: boto3.Session, name: str, text: str, parameters: Mapping[str, str] | None = None
) -> Any:
    """Create a stack as the console does for an uploaded file whose options nobody changes.

    It uploads the file to a bucket of its own and reads the template from there; the check box sends what the summary
    asks for. Source: "Console-specific actions" in
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/control-access-with-iam.html

    Args:
        session: of the person, in the region that the console shows.
        name: of the stack.
        text: of the template's file.
        parameters: what the person types; the console sends the defaults of the others.

    Returns:
        The summary of the template.
    """
    s3, client = session.client("s3"), session.client("cloudformation")
    bucket = f"cf-templates-{uuid.uuid4().hex[:12]}-{session.region_name}"
    make_bucket(session, bucket)
    s3.put_object(Bucket=bucket, Key=name, Body=text.encode())
    url = f"https://{bucket}.s3.{session.region_name}.amazonaws.com/{name}"
    client.validate_template(TemplateURL=url)
    summary = client.get_template_summary(TemplateURL=url)
    defaults = {parameter["ParameterKey"]: parameter["DefaultValue"] for parameter in summary["Parameters"]}
    client.create_stack(
        StackName=name,
        TemplateURL=url,
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in {**defaults, **(parameters or {})}.items()
        ],
        Capabilities=summary["Capabilities"],
    )
    status = stack.wait(session, name)
    assert status == "CREATE_COMPLETE", stack.reasons(session, name)
    s3.delete_object(Bucket=bucket, Key=name)
    s3.delete_bucket(Bucket=bucket)
    return summary


def make_bucket(session: boto3.Session, name: str) -> None:
    """Make a bucket with what the console switches on for a new one, in the session's region."""
    s3 = session.client("s3")
    if session.region_name == REGION:
        s3.create_bucket(Bucket=name)
    else:
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": OTHER_REGION})
    closed = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    s3.put_public_access_block(
        Bucket=name,
        PublicAccessBlockConfiguration=dict.fromkeys(closed, True),  # type: ignore[arg-type]
    )


def make_group(session: boto3.Session) -> str:
    """Make the security group of the guide, and return its ID."""
    ec2 = session.client("ec2")
    group = ec2.create_security_group(GroupName=GROUP, Description="Allows SSH and HTCondor from anywhere")["GroupId"]
    for port in (22, 9618):
        ec2.authorize_security_group_ingress(
            GroupId=group, IpProtocol="tcp", FromPort=port, ToPort=port, CidrIp="0.0.0.0/0"
        )
    return group


def make_fleet_role(session: boto3.Session) -> str:
    """Make the role that the EC2 console makes for spot requests, and return its ARN."""
    iam = session.client("iam")
    role = iam.create_role(RoleName=FLEET_ROLE, AssumeRolePolicyDocument=SPOT_FLEET_TRUST)["Role"]["Arn"]
    iam.attach_role_policy(RoleName=FLEET_ROLE, PolicyArn=f"arn:aws:iam::aws:policy/{SPOT_TAGGING_POLICY}")
    return role


@pytest.fixture(scope="module")
def administrator(root: boto3.Session) -> Iterator[Credentials]:
    """The key of a user who may do everything, as the guide's readers had."""
    iam, name = root.client("iam"), f"reader-{uuid.uuid4().hex[:8]}"
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="everything", PolicyDocument=json.dumps(everything))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    yield Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName=name, PolicyName="everything")
    iam.delete_user(UserName=name)


@pytest.fixture(scope="module")
def reader(local: LocalAws, administrator: Credentials, tmp_path_factory: pytest.TempPathFactory) -> CliUser:
    """That person at a terminal."""
    return CliUser(local, administrator, make_home(tmp_path_factory.mktemp("reader")), NAME)


@pytest.fixture(scope="module")
def prepared(administrator: Credentials, reader: CliUser, template: str) -> Iterator[Prepared]:
    """Everything that the guide has its reader make in AWS, in its order; all of it is deleted at the end."""
    sessions = {
        region: boto3.Session(administrator.access_key_id, administrator.secret_access_key, region_name=region)
        for region in (REGION, OTHER_REGION)
    }
    session = sessions[REGION]
    bucket = f"private-{uuid.uuid4().hex[:12]}"
    make_bucket(session, bucket)
    summaries = {}
    for each in sessions.values():
        summaries[NAME] = create_in_the_console(each, NAME, template)
    role = replace(reader, stack_name="").must("generate-role", bucket, KEY).stdout
    summaries[ROLE_STACK] = create_in_the_console(session, ROLE_STACK, role)
    yield Prepared(
        session,
        bucket,
        {region: stack.describe(each, NAME) for region, each in sessions.items()},
        summaries,
        stack.describe(session, ROLE_STACK).outputs[Output.INSTANCE_CONFIGURATION_PROFILE],
        make_fleet_role(session),
        group := make_group(session),
    )
    reader.must("credentials", "--remove", "--yes")
    iam, s3 = session.client("iam"), session.client("s3")
    session.client("ec2").delete_security_group(GroupId=group)
    iam.detach_role_policy(RoleName=FLEET_ROLE, PolicyArn=f"arn:aws:iam::aws:policy/{SPOT_TAGGING_POLICY}")
    iam.delete_role(RoleName=FLEET_ROLE)
    for each, name in ((session, ROLE_STACK), *((each, NAME) for each in sessions.values())):
        assert stack.delete(each, stack.describe(each, name).stack_id) == "DELETE_COMPLETE"
    for item in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        s3.delete_object(Bucket=bucket, Key=item["Key"])
    s3.delete_bucket(Bucket=bucket)


def rules_of(session: boto3.Session, group: str) -> set[tuple[str, int, int, str]]:
    """Return what may connect to the machines of a security group: protocol, ports and addresses."""
    (described,) = session.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return {
        (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], address["CidrIp"])
        for rule in described["IpPermissions"]
        for address in rule["IpRanges"]
    }


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds: the ticks of a schedule are a second apart here."""
    for _ in range(300):
        if holds():
            return
        time.sleep(0.2)
    pytest.fail(f"{what} did not happen in a minute")


def test_every_section_has_its_row_and_its_test() -> None:
    page = (ROOT / "docs" / "from-the-8.7.0-guide.md").read_text()
    rows = re.findall(r"^\| (?!---)(.*?) \| .* \| .* \|$", page, re.MULTILINE)[1:]
    assert rows == [*SECTIONS]
    for test in SECTIONS.values():
        if test.endswith(".py"):
            assert (ROOT / test).is_file()
        else:
            assert any(name.startswith(test) for name in globals()), test


def test_the_key_that_the_guide_asks_for_sets_up_what_the_console_did(prepared: Prepared, reader: CliUser) -> None:
    # It is an administrator's. Ours, with which condor_annex runs, can run annexes and nothing else.
    reader.must("credentials")
    made = reader.home / ".condor" / f"annex-access-key-{REGION}"
    secret = made.with_name(f"annex-secret-key-{REGION}")
    ours = boto3.Session(made.read_text().strip(), secret.read_text().strip())
    function = prepared.stacks[REGION].outputs[Output.LEASE_FUNCTION_ARN]
    assert ours.client("lambda").get_function(FunctionName=function)["Configuration"]["CodeSha256"]
    with pytest.raises(ClientError, match="AccessDenied"):
        ours.client("iam").list_users()


def test_the_private_bucket_can_be_the_stacks_and_outlives_it(prepared: Prepared, template: str) -> None:
    session, name = prepared.administrator, "HTCondorWithBucket"
    create_in_the_console(session, name, template, {"BucketName": prepared.bucket, "Image": "no"})
    adopted = stack.describe(session, name)
    assert adopted.outputs[Output.S3_BUCKET_NAME] == prepared.bucket
    assert stack.delete(session, adopted.stack_id) == "DELETE_COMPLETE"
    session.client("s3").head_bucket(Bucket=prepared.bucket)


def test_the_lease_machinery_takes_the_guides_name_and_one_check_box(prepared: Prepared) -> None:
    summary = prepared.summaries[NAME]
    # "You don't need to change anything" on the options: so the console could fill in every parameter.
    assert all("DefaultValue" in parameter for parameter in summary["Parameters"])
    # More of them, or a macro, would be more boxes.
    assert len(summary["Capabilities"]) == 1
    assert "DeclaredTransforms" not in summary


@pytest.mark.parametrize("region", [REGION, OTHER_REGION])
def test_the_lease_machinery_puts_out_its_function_in_every_region(prepared: Prepared, region: str) -> None:
    outputs = prepared.stacks[region].outputs
    # Nothing else is labelled so, and it is the string to copy.
    assert re.fullmatch(f"arn:aws:lambda:{region}:[0-9]{{12}}:function:{NAME}-.+", outputs["LeaseFunctionARN"])
    assert set(outputs) >= {output for output, rule in OUTPUTS.items() if not rule.optional}
    tick = Lease("nobody", "", 0).event()
    answer = prepared.administrator.client("lambda", region_name=region).invoke(
        FunctionName=outputs["LeaseFunctionARN"], Payload=json.dumps(tick).encode()
    )
    assert json.loads(answer["Payload"].read())["decision"] == "expire"


def test_the_dynamic_configuration_machinery_lets_machines_read_the_one_object(
    prepared: Prepared, local: LocalAws
) -> None:
    session = prepared.administrator
    for key in (KEY, "other.tar.gz"):
        session.client("s3").put_object(Bucket=prepared.bucket, Key=key, Body=key.encode())
    ec2 = session.client("ec2")
    (machine,) = ec2.run_instances(
        ImageId=prepared.stacks[REGION].outputs[Output.IMAGE_ID],
        MinCount=1,
        MaxCount=1,
        IamInstanceProfile={"Arn": prepared.profile},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": STAND_IN_TAG, "Value": "yes"}]}],
    )["Instances"]
    try:
        role = metadata(local, "meta-data/iam/security-credentials/")
        keys = json.loads(metadata(local, f"meta-data/iam/security-credentials/{role}"))
    finally:
        ec2.terminate_instances(InstanceIds=[machine["InstanceId"]])
    s3 = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["Token"]).client("s3")
    assert s3.get_object(Bucket=prepared.bucket, Key=KEY)["Body"].read() == KEY.encode()
    for call in (
        lambda: s3.get_object(Bucket=prepared.bucket, Key="other.tar.gz"),
        lambda: s3.put_object(Bucket=prepared.bucket, Key=KEY, Body=b"mine"),
        lambda: s3.list_objects_v2(Bucket=prepared.bucket),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            call()


def test_the_dynamic_configuration_machinery_of_the_stack_has_an_output_of_the_same_name(prepared: Prepared) -> None:
    outputs = prepared.stacks[REGION].outputs
    assert ":instance-profile/" in prepared.profile
    assert ":instance-profile/" in outputs["InstanceConfigurationProfile"]
    assert prepared.summaries[ROLE_STACK]["Capabilities"] == ["CAPABILITY_IAM"]


def test_the_dynamic_configuration_machinery_of_generate_role_is_not_for_our_lease_function(
    prepared: Prepared,
) -> None:
    # So the page says: replace. Anyone who may tag machines could otherwise have the function end those of others.
    user = _guide_user(prepared, prepared.profile)
    annex = f"old-{uuid.uuid4().hex[:8]}"
    fleet = request_fleet(user, annex)
    tick = Lease(annex, "", 0).event()
    answer = user.session.client("lambda").invoke(
        FunctionName=user.outputs[Output.LEASE_FUNCTION_ARN], Payload=json.dumps(tick).encode()
    )
    assert json.loads(answer["Payload"].read())["machines_ended"] == 0
    assert _running(user, annex) == 3
    user.session.client("ec2").cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet], TerminateInstances=True)


@pytest.mark.parametrize("whose", ["the console's", "the stack's"])
def test_the_spot_fleet_role_starts_a_fleet_that_the_lease_ends(prepared: Prepared, whose: str) -> None:
    outputs = prepared.stacks[REGION].outputs
    user = _guide_user(prepared, outputs[Output.INSTANCE_CONFIGURATION_PROFILE])
    role = prepared.fleet_role if whose == "the console's" else outputs[Output.IAM_FLEET_ROLE_ARN]
    annex = f"spot-{uuid.uuid4().hex[:8]}"
    events = user.session.client("events")
    user.set_lease(annex, 3600, prepared.bucket)
    fleet = request_fleet(user, annex, role=role)
    assert _running(user, annex) == 3
    user.set_lease(annex, -1)
    eventually(lambda: not events.list_rules(NamePrefix=annex)["Rules"], "the end of the lease")
    assert _running(user, annex) == 0
    described = user.session.client("ec2").describe_spot_fleet_requests(SpotFleetRequestIds=[fleet])
    (config,) = described["SpotFleetRequestConfigs"]
    assert config["SpotFleetRequestState"].startswith("cancelled")


def test_the_security_group_has_the_rules_of_the_stacks_own(prepared: Prepared) -> None:
    anywhere = {("tcp", port, port, "0.0.0.0/0") for port in (22, 9618)}
    for group in (prepared.group, prepared.stacks[REGION].outputs[Output.SECURITY_GROUP_ID]):
        assert rules_of(prepared.administrator, group) == anywhere


def test_the_lines_of_configuration_have_the_guides_names_and_the_stacks_values(
    prepared: Prepared, reader: CliUser
) -> None:
    reader.must("pull-config")
    reader.must("credentials")
    reader.must("fleet-config", "--types", "c7i.large")
    lines = dict(re.findall(r"^(\w+) = (.*)$", reader.config.read_text(), re.MULTILINE))
    assert lines.keys() >= GUIDE_KNOBS
    outputs = prepared.stacks[REGION].outputs
    assert lines["ANNEX_DEFAULT_LEASE_ARN"] == outputs["LeaseFunctionARN"]
    assert lines["ANNEX_DEFAULT_IAM_FLEET_ROLE_ARN"] == outputs["IamFleetRoleARN"]
    assert lines["ANNEX_DEFAULT_SECURITY_GROUP_ID"] == outputs["SecurityGroupID"]
    # The guide's name speaks of a role; what condor_annex passes on is the profile that the section before put out.
    assert lines["ANNEX_DEFAULT_INSTANCE_ROLE_ARN"] == outputs["InstanceConfigurationProfile"]
    for knob in (ACCESS_KEY_KNOB, SECRET_KEY_KNOB):
        assert Path(lines[knob]).read_text().strip()
    fleet = json.loads(Path(lines[FLEET_KNOBS[1]]).read_text())
    assert fleet["IamFleetRole"] == outputs["IamFleetRoleARN"]


def _guide_user(prepared: Prepared, profile: str) -> AnnexUser:
    """Return the reader with the values of the guide's lines."""
    values: dict[str, str] = {
        Output.S3_BUCKET_NAME: prepared.bucket,
        Output.LEASE_FUNCTION_ARN: prepared.stacks[REGION].outputs[Output.LEASE_FUNCTION_ARN],
        Output.INSTANCE_CONFIGURATION_PROFILE: profile,
        Output.IAM_FLEET_ROLE_ARN: prepared.fleet_role,
        Output.SECURITY_GROUP_ID: prepared.group,
    }
    return AnnexUser(prepared.administrator, values)


def _running(user: AnnexUser, annex_id: str) -> int:
    """Return how many machines of an annex run."""
    filters = [
        {"Name": f"tag:{ANNEX_TAG}", "Values": [annex_id]},
        {"Name": "instance-state-name", "Values": [*MACHINE_RUNNING]},
    ]
    pages = user.session.client("ec2").get_paginator("describe_instances").paginate(Filters=filters)  # type: ignore[arg-type]
    return sum(len(reservation["Instances"]) for page in pages for reservation in page["Reservations"])
