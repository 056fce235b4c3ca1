"""What people may type for each parameter, what holds then, and what is taken where they type nothing."""

from __future__ import annotations

import re

import pytest

from template_gen.parameters import CONDITIONS, GROUPS, INPUTS, holding
from tests.template import template

DEFAULTS = {
    "CondorCidrs": "0.0.0.0/0",
    "SshCidrs": "0.0.0.0/0",
    "CondorPort": 9618,
    "Image": "yes",
    "ImageArchitecture": "amd64",
    "ImageGpu": "no",
    "ConfigKeyPattern": "config-*.tar.gz",
    "ConnectivityVpc": "no",
    "UserMfa": "no",
    "EndOrphans": "no",
    "LogRetentionDays": 30,
    "KeyPair": "no",
}
"""Of the parameters that are not empty."""

KEY = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"
USER = "arn:aws:iam::123456789012:user/alice"
SSO = "arn:aws-us-gov:iam::123456789012:role/aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_Research_*"
POLICY = "arn:aws:iam::123456789012:policy/path/boundary"

ALLOWED = {
    "VpcId": ["", "vpc-01234567", "vpc-0123456789abcdef0"],
    "SubnetIds": ["", "subnet-01234567"],
    "ImageIds": ["", "ami-01234567"],
    "CondorCidrs": [
        "",
        "0.0.0.0/0",
        "192.0.2.0/24",
        "255.255.255.255/32",
        "::/0",
        "2001:db8::/128",
        "::ffff:1.2.3.4/9",
    ],
    "HttpProxy": ["", "http://proxy.example.org:3128", "http://192.0.2.1:8080"],
    "NoProxy": ["", ".amazonaws.com", ".example.org,192.0.2.1,host"],
    "Image": ["yes", "no", "ami-01234567", "ami-0123456789abcdef0"],
    "InstanceType": ["", "m7i.large", "c7i-flex.large", "u-12tb1.112xlarge"],
    "BuilderType": ["", "t3.medium"],
    "BaseImage": ["", "ami-01234567"],
    "ImageRevision": ["", "a" * 64, "2026-11-27T04:40:00Z", "A._"],
    "ImageAptSource": ["", "deb [signed-by=/a] https://example.org/ stable main"],
    "ImagePackages": ["", "docker.io", "g++", "vim=2:9.0~1/stable_1-2"],
    "BucketName": ["", "abc", "a" * 63, "0-9"],
    "ConfigKeyPattern": ["config-*.tar.gz", "config-*", "config-a/b_1.X*-"],
    "KmsKeyArn": ["", KEY],
    "FleetRoleName": ["", "a" * 64, "A_+=,.@-9"],
    "PermissionsBoundaryArn": ["", POLICY, "arn:aws-us-gov:iam::aws:policy/ReadOnlyAccess"],
    "GivenRoles": ["", "0a1b2c3d-0123456789ab"],
    "UserPrincipals": ["", USER, f"{USER},{SSO}", "arn:aws:iam::123456789012:user/a*"],
    "Tag1": ["", "cost-center=42", "a=", f"{'k' * 128}={'v' * 256}", "Names=x", "htcondors=1", "a.b:c@d+e=Ab 1/_.:+@-"],
    "NotificationEmail": ["", "a@example.org"],
    "MaxLeaseHours": ["", "1", "9999"],
    "MaxCores": ["", "1", "999999"],
    "InstanceTypes": ["", "c7i.*,m*.large", "?7i.metal-24xl"],
    "MaxDollarsPerHour": ["", "5", "0.50", "999999.9999", "0.0001"],
    "ReservedConcurrency": ["", "1", "999"],
}
REFUSED = {
    "VpcId": ["vpc-0123456", "vpc-0123456789abcdef01", "vpc-0123456G", "subnet-01234567"],
    "SubnetIds": ["subnet-0123456", "vpc-01234567", "subnet-01234567,subnet-01234567"],
    "ImageIds": ["ami-0123456", "subnet-01234567"],
    "CondorCidrs": ["1.2.3.4", "1.2.3/8", "1.2.3.4/33", "1.2.3.4/-1", "::/129", "everybody", "1.2.3.4/8,1.2.3.4/8"],
    "HttpProxy": [
        "proxy.example.org:3128",
        "http://user:word@proxy.example.org:3128",
        "http://a b:1",
        'http://a":1',
        "ftp://a:1",
    ],
    "NoProxy": ["a, b", "a b", '"', "a;b", "$(a)"],
    "Image": ["", "Yes", "ami-0123456", "maybe"],
    "InstanceType": ["m7i", "M7i.large", "m7i.large.x", "*.large"],
    "BuilderType": ["t3", "*"],
    "BaseImage": ["yes", "ami-xyz"],
    "ImageRevision": ["a" * 65, "a b", "a/b"],
    "ImageAptSource": ["rpm x", "deb", "deb a\nb", "deb \u00e9"],
    "ImagePackages": ["A", "a b", "a;b", "$(a)"],
    "BucketName": ["ab", "a" * 64, "a.b", "-ab", "ab-", "Abc"],
    "ConfigKeyPattern": ["", "*", "config-", "config-**", "other-*", "config-*\u00e9"],
    "KmsKeyArn": [KEY.replace(":key/", ":alias/"), "12345678-1234-1234-1234-123456789012", f"{KEY},{KEY}"],
    "FleetRoleName": ["a" * 65, "a/b", "a b", "arn:aws:iam::123456789012:role/a"],
    "PermissionsBoundaryArn": [
        "boundary",
        POLICY.replace(":policy/", ":role/"),
        POLICY.replace("2:", ":"),
        "arn:aws:iam::x:policy/a",
    ],
    "GivenRoles": ["0a1b2c3d", "0a1b2c3d-0123456789a", "0A1b2c3d-0123456789ab"],
    "UserPrincipals": [
        *("*", "arn:aws:iam::123456789012:root", "arn:aws:iam::123456789012:role/*", "arn:aws:iam::*:role/a"),
        *(f"{USER},", f"{USER} {USER}", USER.replace(":user/", ":group/"), USER.replace("iam::1", "iam::")),
    ],
    "Tag1": [
        *("a", "=1", "Name=x", "aws:a=1", "AWS:a=1", "Annex-Bootstrap:a=1", "HTCondor:a=1", "a b=1", "a/b=1", "a=b=c"),
        *(f"{'k' * 129}=v", f"k={'v' * 257}", "a=\u00e9", "a=b,c"),
    ],
    "NotificationEmail": ["a", "a@b", "a b@example.org", "@example.org", "a@b@example.org"],
    "MaxLeaseHours": ["0", "01", "10000", "1.5", "-1"],
    "MaxCores": ["0", "1000000", "many"],
    "InstanceTypes": ["c7i", "c7i.*,", "c7i.* m7i.*", "C7i.*"],
    "MaxDollarsPerHour": ["0", "0.00", "1000000", "1.00001", ".5", "5."],
    "ReservedConcurrency": ["0", "1000"],
}
SAME = {"SshCidrs": "CondorCidrs", **{f"Tag{number}": "Tag1" for number in range(2, 7)}}
"""Parameters that take what others take."""


def test_every_parameter_has_the_default_with_which_a_stack_needs_nothing_typed() -> None:
    assert {name: made["Default"] for name, made in template()["Parameters"].items()} == (
        dict.fromkeys(INPUTS, "") | DEFAULTS
    )


@pytest.mark.parametrize("name", [name for name, given in INPUTS.items() if "AllowedPattern" in given.rest])
def test_a_pattern_takes_what_aws_takes_and_nothing_that_means_more(name: str) -> None:
    pattern, known = INPUTS[name].rest["AllowedPattern"], SAME.get(name, name)
    assert [value for value in ALLOWED[known] if not re.fullmatch(pattern, value, re.ASCII)] == []
    assert [value for value in REFUSED[known] if re.fullmatch(pattern, value, re.ASCII)] == []


def test_other_parameters_are_numbers_choices_or_commands_of_a_length() -> None:
    kinds = ("AllowedPattern", "ConstraintDescription")
    assert {
        name: {key: value for key, value in given.rest.items() if key not in kinds}
        for name, given in INPUTS.items()
        if given.rest.keys() - {"Type", *kinds} or given.rest["Type"] != "String"
    } == {
        "SubnetIds": {"Type": "CommaDelimitedList"},
        "CondorCidrs": {"Type": "CommaDelimitedList"},
        "SshCidrs": {"Type": "CommaDelimitedList"},
        "CondorPort": {"Type": "Number", "MinValue": 1, "MaxValue": 65535},
        "ImageArchitecture": {"Type": "String", "AllowedValues": ["amd64", "arm64"]},
        "ImagePackages": {"Type": "CommaDelimitedList"},
        "ImageCommands": {"Type": "String", "MaxLength": 4096},
        "BootCommands": {"Type": "String", "MaxLength": 4096},
        "ImageIds": {"Type": "CommaDelimitedList"},
        **{
            name: {"Type": "String", "AllowedValues": ["no", "yes"]}
            for name in ("ConnectivityVpc", "ImageGpu", "UserMfa", "EndOrphans", "KeyPair")
        },
        "InstanceTypes": {"Type": "String", "MaxLength": 64},
        "LogRetentionDays": {
            "Type": "Number",
            # As CloudWatch Logs has them.
            "AllowedValues": [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653],
        },
    }


def test_the_console_shows_every_parameter_in_one_group() -> None:
    shown = template()["Metadata"]["AWS::CloudFormation::Interface"]
    assert [(group["Label"]["default"], group["Parameters"][0]) for group in shown["ParameterGroups"]] == [
        *(("Network", "VpcId"), ("Machine image", "Image"), ("Storage", "BucketName"), ("Roles", "FleetRoleName")),
        *(("Tags", "Tag1"), ("Operations", "NotificationEmail")),
    ]
    assert [name for group in shown["ParameterGroups"] for name in group["Parameters"]] == list(INPUTS)
    assert [given.name for given in INPUTS.values() if not given.label] == []
    assert shown["ParameterLabels"] == {
        given.name: {"default": given.label} for _, inputs in GROUPS for given in inputs
    }


NOTHING = {"HasImage", "MakesImage", "MakesRoles", "MakesImageAndRoles"}
"""The conditions that hold where nobody types anything."""


@pytest.mark.parametrize(
    ("values", "more", "less"),
    [
        ({}, set(), set()),
        ({"Image": "no"}, set(), {"HasImage", "MakesImage", "MakesImageAndRoles"}),
        ({"Image": "ami-01234567"}, set(), {"MakesImage", "MakesImageAndRoles"}),
        ({"ImageArchitecture": "arm64"}, {"MakesImageForArm"}, set()),
        ({"GivenRoles": "0a1b2c3d-0123456789ab"}, set(), {"MakesRoles", "MakesImageAndRoles"}),
        ({"UserPrincipals": USER}, {"HasUserPrincipals", "HasUserRole", "MakesUserRole"}, set()),
        (
            {"UserPrincipals": USER, "GivenRoles": "0a1b2c3d-0123456789ab"},
            {"HasUserPrincipals", "HasUserRole"},
            {"MakesRoles", "MakesImageAndRoles"},
        ),
        (
            {"UserPrincipals": USER, "Image": "no"},
            {"HasUserPrincipals"},
            {"HasImage", "MakesImage", "MakesImageAndRoles"},
        ),
        ({"UserMfa": "yes"}, {"NeedsUserMfa"}, set()),
        ({"ConnectivityVpc": "yes"}, {"HasConnectivityVpc", "MakesConnectivityNetwork"}, set()),
        (
            {"ConnectivityVpc": "yes", "GivenRoles": "0a1b2c3d-0123456789ab"},
            {"HasConnectivityVpc"},
            {"MakesRoles", "MakesImageAndRoles"},
        ),
        ({"KeyPair": "yes"}, {"WantsKeyPair"}, set()),
        ({"PermissionsBoundaryArn": POLICY}, {"HasBoundary"}, set()),
        (
            {"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/annex-bootstrap-roles-boundary-lab"},
            {"HasBoundary", "HasOwnBoundary"},
            set(),
        ),
        *(
            ({name: "x"}, {f"Has{name}"}, set())
            for name in (
                *("BucketName", "VpcId", "FleetRoleName", "BuilderType", "InstanceType", "MaxCores", "InstanceTypes"),
                *("MaxDollarsPerHour", "ReservedConcurrency", "Tag1", "Tag2", "Tag3", "Tag4", "Tag5", "Tag6"),
            )
        ),
        ({"NotificationEmail": "a@example.org"}, {"HasEmail"}, set()),
        ({"KmsKeyArn": KEY}, {"HasKmsKey"}, set()),
    ],
)
def test_a_condition_holds_exactly_where_its_parameter_says_so(
    values: dict[str, str], more: set[str], less: set[str]
) -> None:
    assert {name for name, holds in holding(values).items() if holds} == (NOTHING | more) - less


def test_conditions_are_written_as_cloudformation_reads_them() -> None:
    made = template()["Conditions"]
    assert made["HasVpcId"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "VpcId"}, ""]}]}
    assert made["MakesImage"] == {"Fn::Equals": [{"Ref": "Image"}, "yes"]}
    boundary = {"Ref": "PermissionsBoundaryArn"}
    first = {"Fn::Select": [0, {"Fn::Split": ["annex-bootstrap-roles-boundary-", boundary]}]}
    assert made["HasOwnBoundary"] == {"Fn::Not": [{"Fn::Equals": [first, boundary]}]}
    assert made["MakesUserRole"] == {
        "Fn::And": [{"Condition": "HasUserPrincipals"}, {"Condition": "MakesImage"}, {"Condition": "MakesRoles"}]
    }
    assert made.keys() >= CONDITIONS.keys()
