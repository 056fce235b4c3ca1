"""What CloudFormation gets where every parameter is set: each resource's properties and each output, value by value."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from annex_bootstrap.stack.resolve import resolve
from annex_contract import __version__
from annex_contract.resources import CUSTOM_RESOURCES
from annex_contract.stack import LONGEST_STACK_NAME, function_of
from machine_image.user_data import ImageInputs, render_script
from template_gen.custom import recipe
from tests.stack_values import TEMPLATE, conditions_of, values_of
from tests.template import template

STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/lab/0a1b2c3d-1111-2222-3333-0123456789ab"
UNIQUE = "0a1b2c3d-0123456789ab"
KEY = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"
BOUNDARY = "arn:aws:iam::123456789012:policy/limit"
IAM = "arn:aws:iam::123456789012"
LAMBDA = "arn:aws:lambda:us-east-1:123456789012:function"
SET = {
    "VpcId": "vpc-01234567",
    "SubnetIds": "subnet-01234567,subnet-89abcdef",
    "CondorCidrs": "192.0.2.0/24,2001:db8::/32",
    "SshCidrs": "198.51.100.0/24",
    "CondorPort": "9700",
    "HttpProxy": "http://proxy.example.org:3128",
    "NoProxy": ".example.org",
    "ImageArchitecture": "arm64",
    "BaseImage": "ami-01234567",
    "ImageRevision": "2",
    "ImageAptSource": "deb https://example.org/ stable main",
    "ImagePackages": "docker.io,vim",
    "ImageCommands": "one",
    "BootCommands": "two",
    "ImageGpu": "yes",
    "KmsKeyArn": KEY,
    "PermissionsBoundaryArn": BOUNDARY,
    "ConfigKeyPattern": "config-lab-*.tar.gz",
    "Tag1": "cost-center=42",
    "Tag6": "empty=",
    "NotificationEmail": "a@example.org",
    "EndOrphans": "yes",
    "MaxLeaseHours": "24",
    "MaxCores": "64",
    "InstanceTypes": "c7g.*",
    "MaxDollarsPerHour": "2.50",
    "KeyPair": "yes",
    "ReservedConcurrency": "5",
    "LogRetentionDays": "90",
    "UserPrincipals": f"{IAM}:role/a,{IAM}:user/b*",
    "UserMfa": "yes",
}
BUCKET = f"annex-bootstrap-123456789012-{UNIQUE}"
ROLE, START, FLEET = (f"annex-bootstrap-{kind}-{UNIQUE}" for kind in ("instance", "instance-start", "fleet"))


def found(node: Any, parameters: dict[str, str], **more: str) -> Any:
    values = values_of(STACK_ID, parameters) | {
        "LeaseFunction": "lease", "AlarmTopic": "topic", "AnnexUserPolicy": "policy", "AnnexKeyPair": "key",
        "LaunchTemplate.LatestVersionNumber": "3", "AnnexUserRole.Arn": "user-role", "ImageBuilder": "build",
    }  # fmt: skip
    return resolve(node, values | more, conditions_of(parameters))


WANTED: dict[str, dict[str, Any]] = {
    "Bucket": {"BucketName": BUCKET, "ExpirationDays": 30, "KmsKey": KEY, "GivenRoles": ""},
    "InstanceRole": {
        "RoleName": ROLE, "TrustedService": "ec2.amazonaws.com", "BucketName": BUCKET,
        "KeyPattern": "config-lab-*.tar.gz", "KmsKey": KEY, "PermissionsBoundaryArn": BOUNDARY, "GivenRoles": "",
    },
    "StartRole": {
        "RoleName": START, "TrustedService": "ec2.amazonaws.com", "BucketName": BUCKET, "KmsKey": KEY,
        "PermissionsBoundaryArn": BOUNDARY, "GivenRoles": "",
    },
    "FleetRole": {
        "RoleName": FLEET, "TrustedService": "spotfleet.amazonaws.com", "InstanceRoleName": ROLE, "KmsKey": KEY,
        "PermissionsBoundaryArn": BOUNDARY,
    },
    "SecurityGroup": {
        "GroupName": f"annex-bootstrap-machines-{UNIQUE}-vpc-01234567", "VpcId": "vpc-01234567", "CondorPort": "9700",
        "CondorCidrs": ["192.0.2.0/24", "2001:db8::/32"], "SshCidrs": ["198.51.100.0/24"],
    },
    "ImageBuilder": {
        "ImageName": f"annex-bootstrap-image-{UNIQUE}", "Architecture": "arm64", "BaseImage": "ami-01234567",
        "HttpProxy": "http://proxy.example.org:3128", "NoProxy": ".example.org",
        "Revision": "2", "AptSource": "deb https://example.org/ stable main", "Packages": ["docker.io", "vim"],
        "Commands": "one", "BootCommands": "two", "Gpu": "yes", "Recipe": recipe(), "BuilderType": "t4g.medium",
        "KmsKey": KEY, "VpcId": "vpc-01234567", "SubnetIds": ["subnet-01234567", "subnet-89abcdef"],
    },
    "MachineImage": {"ImageName": "build", "BaseImage": "ami-0deb13000000a0001", "CondorVersion": "23.9.6"},
}  # fmt: skip
UNCHECKED = {
    "ImageBuilder": {"AptSource", "BootCommands", "Commands", "HttpProxy", "NoProxy", "Packages"},
    "MachineImage": {"BaseImage", "CondorVersion", "ImageName"},
}
"""What a function takes from the request, since its environment cannot say it."""
TIMEOUTS = {"SecurityGroup": 900, "ImageBuilder": 900, "MachineImage": 900}


@pytest.mark.parametrize("title", [resource.logical_id for resource in CUSTOM_RESOURCES])
def test_a_custom_resource_is_what_the_parameters_say_and_its_function_knows_that(title: str) -> None:
    timeout = TIMEOUTS.get(title, 300)
    function = f"{title}Function"
    common = {"ServiceToken": f"{LAMBDA}:{function}", "ServiceTimeout": timeout + 60, "Version": __version__}
    assert found(TEMPLATE[title]["Properties"], SET) == common | WANTED[title]
    assert TEMPLATE[title]["DependsOn"] == f"{function}Once"
    once = {"FunctionName": function, "Qualifier": "$LATEST", "MaximumRetryAttempts": 0}
    assert found(TEMPLATE[f"{function}Once"]["Properties"], SET, **{function: function}) == once | {
        "MaximumEventAgeInSeconds": 60
    }
    environment = found(TEMPLATE[function]["Properties"]["Environment"]["Variables"], SET)
    checked = {name: value for name, value in WANTED[title].items() if name not in UNCHECKED.get(title, ())}
    assert environment == {
        "StackId": STACK_ID,
        "TAGS": "cost-center=42,,,,,empty=",
        "Policy": "a-policy",
        **{name: ",".join(value) if isinstance(value, list) else str(value) for name, value in checked.items()},
    }


def test_what_is_not_set_is_empty_or_aws_own() -> None:
    builder = found(TEMPLATE["ImageBuilder"]["Properties"], {})
    assert (builder["KmsKey"], builder["BuilderType"], builder["Gpu"]) == ("alias/aws/ebs", "t3.medium", "no")
    assert found(TEMPLATE["SecurityGroup"]["Properties"]["GroupName"], {}) == f"annex-bootstrap-machines-{UNIQUE}"
    given = {"BucketName": "mine", "FleetRoleName": "theirs", "BuilderType": "c7g.large"}
    assert found(TEMPLATE["Bucket"]["Properties"]["BucketName"], given) == "mine"
    assert found(TEMPLATE["FleetRole"]["Properties"]["RoleName"], given) == "theirs"
    assert found(TEMPLATE["ImageBuilder"]["Properties"]["BuilderType"], given) == "c7g.large"
    own = {"PermissionsBoundaryArn": f"{IAM}:policy/annex-bootstrap-roles-boundary-lab"}
    assert found(TEMPLATE["StartRole"]["Properties"]["RoleName"], own) == "lab_instance-start-0a1b2c3d"
    roles = {"GivenRoles": "ffffffff-ffffffffffff"}
    assert found(TEMPLATE["InstanceRole"]["Properties"]["RoleName"], roles) == (
        "annex-bootstrap-instance-ffffffff-ffffffffffff"
    )


def test_the_recipe_is_a_digest_of_all_that_an_image_is_made_by() -> None:
    script = render_script(ImageInputs(build_id="recipe", gpu=True))
    assert recipe() == sha256(script.encode()).hexdigest()[:12]


OF_IMAGE = ("StartRole", "ImageBuilder", "MachineImage")


def test_a_stack_has_each_resource_only_where_it_needs_it() -> None:
    functions = [title for title, made in TEMPLATE.items() if made["Type"] == "AWS::Lambda::Function"]
    wanted = {
        "AnnexKeyPair": "WantsKeyPair",
        "AlarmTopic": "HasEmail",
        "AnnexUserPolicy": "MakesRoles",
        "AnnexUserRole": "MakesUserRole",
        "LaunchTemplate": "MakesImage",
        "StartPolicy": "MakesImageAndRoles",
        "ConnectivityFunctionNetwork": "MakesConnectivityNetwork",
        **{f"{title}{part}": "MakesImage" for title in OF_IMAGE for part in ("", "Function", "FunctionLogs")},
        **{f"{title}FunctionOnce": "MakesImage" for title in OF_IMAGE},
    }
    for function in functions:
        title = function.removesuffix("Function")
        roles = "MakesImageAndRoles" if title in OF_IMAGE else "MakesRoles"
        wanted |= {f"{title}ExecRole": roles, f"{function}Policy": roles}
    assert {title: made["Condition"] for title, made in TEMPLATE.items() if "Condition" in made} == wanted


def test_the_connectivity_function_is_another_one_in_the_subnets_and_its_rights_outlive_it() -> None:
    made = TEMPLATE["ConnectivityFunction"]["Properties"]
    inside = {**SET, "ConnectivityVpc": "yes"}
    given = {
        "ConnectivityExecRole.Arn": "role",
        "ConnectivityFunctionLogs": "logs",
        "ConnectivityFunctionNetwork": "policy",
    }
    there, elsewhere = (found(made, parameters, **given) for parameters in (inside, SET))
    stack = STACK_ID.split("/")[1]
    assert (there["FunctionName"], there["VpcConfig"], there["Environment"]) == (
        f"{stack}-ConnectivityFunction-vpc",
        {"SubnetIds": ["subnet-01234567", "subnet-89abcdef"], "SecurityGroupIds": ["sg-0123456789abcdef0"]},
        {"Variables": {"IN_VPC": "yes", "Policy": "policy"}},
    )
    assert not {"FunctionName", "VpcConfig", "Environment"} & elsewhere.keys()
    given_roles = found(made, {**inside, "GivenRoles": "0a1b2c3d-0123456789ab"}, **given)
    assert given_roles["Environment"] == {"Variables": {"IN_VPC": "yes", "Policy": ""}}
    # The longest name of a stack leaves the function's below Lambda's 64 characters.
    assert len(there["FunctionName"]) - len(stack) + LONGEST_STACK_NAME <= 64


@pytest.mark.parametrize(
    ("title", "seconds"),
    [
        *((function_of(resource.logical_id), TIMEOUTS.get(resource.logical_id, 300)) for resource in CUSTOM_RESOURCES),
        # Less than the five minutes to the next tick.
        ("LeaseFunction", 240),
        ("ConnectivityFunction", 60),
    ],
)
def test_a_function_has_its_role_its_log_and_the_time_that_it_needs(title: str, seconds: int) -> None:
    role = f"{title.removesuffix('Function')}ExecRole"
    made = found(TEMPLATE[title]["Properties"], SET, **{f"{role}.Arn": "role", f"{title}Logs": "logs"})
    code, text = made.pop("Code"), made.pop("Description")
    made.pop("Environment", None)
    assert code["ZipFile"]
    assert made == {
        "Runtime": "python3.13",
        "Architectures": ["arm64"],
        "Handler": "index.handler",
        "Role": "role",
        "Timeout": seconds,
        "MemorySize": 256,
        "LoggingConfig": {"LogGroup": "logs"},
        **({"ReservedConcurrentExecutions": "5"} if title == "LeaseFunction" else {}),
    }
    given = {"GivenRoles": "ffffffff-ffffffffffff"}
    assert found(TEMPLATE[title]["Properties"]["Role"], given) == (
        f"{IAM}:role/annex-bootstrap/lab/annex-bootstrap-{role}-ffffffff-ffffffffffff"
    )
    assert found(TEMPLATE[f"{title}Logs"]["Properties"], SET) == {"KmsKeyId": KEY, "RetentionInDays": "90"}
    made = found({key: value for key, value in TEMPLATE[role]["Properties"].items() if key != "Policies"}, SET)
    assert made == {
        "Path": "/annex-bootstrap/lab/",
        "Description": f"Assumed by the function: {text}",
        "PermissionsBoundary": BOUNDARY,
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "AssumedByLambda",
                    "Effect": "Allow",
                    "Principal": {"Service": "lambda.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        },
    }


def test_the_lease_function_knows_what_it_ends_and_the_limits() -> None:
    assert found(TEMPLATE["LeaseFunction"]["Properties"]["Environment"]["Variables"], SET) == {
        "BUCKET_NAME": BUCKET,
        "CONFIG_KEY_PATTERN": "config-lab-*.tar.gz",
        "INSTANCE_PROFILE_ARN": f"{IAM}:instance-profile/annex-bootstrap/{ROLE}",
        "START_PROFILE_ARN": f"{IAM}:instance-profile/annex-bootstrap/{START}",
        "STACK_ID": STACK_ID,
        "END_ORPHANS": "yes",
        "MAX_LEASE_HOURS": "24",
        "MaxCores": "64",
        "InstanceTypes": "c7g.*",
        "MaxDollarsPerHour": "2.50",
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "POWERTOOLS_SERVICE_NAME": "annex-bootstrap",
        "POWERTOOLS_METRICS_NAMESPACE": "AnnexBootstrap",
    }


def test_the_rule_sweeps_every_hour_and_rules_may_call_the_function() -> None:
    rule = found(TEMPLATE["SweepRule"]["Properties"], SET)
    assert rule.pop("Description").endswith("checks every hour for annex machines without a lease")
    assert rule == {
        "Name": "lab-SweepRule",
        "ScheduleExpression": "rate(1 hour)",
        "Targets": [{"Id": "sweep", "Arn": f"{LAMBDA}:LeaseFunction", "Input": '{"Sweep": true}'}],
    }
    assert found(TEMPLATE["LeasePermission"]["Properties"], SET) == {
        "Action": "lambda:InvokeFunction",
        "FunctionName": "lease",
        "Principal": "events.amazonaws.com",
        "SourceArn": "arn:aws:events:us-east-1:123456789012:rule/*",
    }


ERROR = {"ComparisonOperator": "GreaterThanOrEqualToThreshold", "TreatMissingData": "notBreaching"}
FUNCTION, RULE = {"Name": "FunctionName", "Value": "lease"}, {"Name": "RuleName", "Value": "lab-SweepRule"}


@pytest.mark.parametrize(
    ("title", "wanted"),
    [
        ("LeaseAlarm", ERROR | {"Namespace": "AWS/Lambda", "MetricName": "Errors", "Period": 300}),
        ("ThrottleAlarm", ERROR | {"Namespace": "AWS/Lambda", "MetricName": "Throttles", "Period": 300}),
        (
            "SweepAlarm",
            ERROR
            | {"Namespace": "AWS/Events", "MetricName": "FailedInvocations", "Period": 3600, "Dimensions": [RULE]},
        ),
        (
            "SilenceAlarm",
            {"Namespace": "AWS/Lambda", "MetricName": "Invocations", "Period": 3600, "EvaluationPeriods": 3}
            | {"ComparisonOperator": "LessThanThreshold", "TreatMissingData": "missing"},
        ),
    ],
)
def test_an_alarm_adds_up_what_it_counts_and_mails(title: str, wanted: dict[str, Any]) -> None:
    made = found(TEMPLATE[title]["Properties"], SET)
    assert made.pop("AlarmDescription")
    mails = "InsufficientDataActions" if title == "SilenceAlarm" else "AlarmActions"
    common = {"Statistic": "Sum", "Threshold": 1, "EvaluationPeriods": 1, "Dimensions": [FUNCTION], mails: ["topic"]}
    assert made == common | wanted
    assert mails not in found(TEMPLATE[title]["Properties"], {})
    assert found(TEMPLATE["AlarmTopic"]["Properties"], SET) == {
        "KmsMasterKeyId": KEY,
        "DisplayName": "annex-bootstrap",
        "Subscription": [{"Protocol": "email", "Endpoint": "a@example.org"}],
    }


def test_the_role_for_people_is_taken_by_those_who_are_named_with_a_code() -> None:
    role = TEMPLATE["AnnexUserRole"]["Properties"]
    named = {"ArnLike": {"aws:PrincipalArn": [f"{IAM}:role/a", f"{IAM}:user/b*"]}}
    taking = {
        "Sid": "AssumedByUsers", "Effect": "Allow", "Principal": {"AWS": f"{IAM}:root"}, "Action": "sts:AssumeRole",
    }  # fmt: skip
    assert found(role, SET) == {
        "Path": "/annex-bootstrap/lab/",
        "Description": "Assumed by users of annex-bootstrap start",
        "MaxSessionDuration": 43200,
        "PermissionsBoundary": f"{IAM}:policy/annex-bootstrap-users-boundary-lab",
        "ManagedPolicyArns": [f"{IAM}:policy/annex-bootstrap/start"],
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [taking | {"Condition": named | {"Bool": {"aws:MultiFactorAuthPresent": "true"}}}],
        },
    }
    plain = found(role, {"UserPrincipals": SET["UserPrincipals"]})
    assert plain["AssumeRolePolicyDocument"]["Statement"] == [taking | {"Condition": named}]
    assert "PermissionsBoundary" not in plain


OUTPUTS = {
    "S3BucketName": "pool-bucket",
    "LeaseFunctionARN": f"{LAMBDA}:LeaseFunction",
    "ConnectivityFunctionARN": f"{LAMBDA}:ConnectivityFunction",
    "InstanceConfigurationProfile": f"{IAM}:instance-profile/annex-bootstrap/pool",
    "InstanceRoleARN": f"{IAM}:role/annex-bootstrap/pool",
    "IamFleetRoleARN": f"{IAM}:role/annex-bootstrap/fleet",
    "SecurityGroupID": "sg-0123456789abcdef0",
    "AnnexUserPolicyARN": "policy",
    "Version": __version__,
    "KeyPairName": "key",
    "ImageId": "ami-0123456789abcdef0",
    "InstanceType": "m7g.large",
    "LaunchTemplateId": "lt-0123456789abcdef0",
    "LaunchTemplateVersion": "3",
    "StartPolicyARN": f"{IAM}:policy/annex-bootstrap/start",
    "StartInstanceProfile": f"{IAM}:instance-profile/annex-bootstrap/start",
    "StartRoleId": "AROA0123456789ABCDEFG",
    "AnnexUserRoleARN": "user-role",
}


def test_outputs_are_of_what_was_made_or_given() -> None:
    outputs = {name: output["Value"] for name, output in template()["Outputs"].items()}
    assert found(outputs, SET) == OUTPUTS
    unique = "ffffffff-ffffffffffff"
    given = SET | {"GivenRoles": unique, "InstanceType": "c7g.large", "ImageArchitecture": "amd64"}
    assert {name: value for name, value in found(outputs, given).items() if value != OUTPUTS[name]} == {
        "AnnexUserPolicyARN": f"{IAM}:policy/annex-bootstrap/lab-AnnexUserPolicy-{unique}",
        "StartPolicyARN": f"{IAM}:policy/annex-bootstrap/lab-StartPolicy-{unique}",
        "AnnexUserRoleARN": f"{IAM}:role/annex-bootstrap/lab/annex-bootstrap-AnnexUserRole-{unique}",
        "InstanceType": "c7g.large",
    }
    assert found(outputs, {})["InstanceType"] == "m7i.large"
    assert found(outputs, {"Image": "ami-01234567"})["ImageId"] == "ami-01234567"
    assert found(TEMPLATE["AnnexKeyPair"]["Properties"], SET) == {"KeyName": f"annex-bootstrap-{UNIQUE}"}
