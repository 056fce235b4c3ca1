"""The builder: the machine that it starts, what it installs, and what it makes of the machine's end."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable
from typing import Any

import pytest

from annex_contract.operating_system import SYSTEM
from custom_resources import image_builder
from custom_resources.lifecycle import Request, ResourceError
from machine_image.user_data import ImageInputs, render_user_data
from tests.unit.custom_resources.conftest import OWN, SECRET, STACK, request
from tests.unit.recorded import Recorded, RefusedError

NAME = "pool-image-0123456789ab"
PROPERTIES: dict[str, Any] = {
    "ImageName": "pool-image",
    "Architecture": "amd64",
    "BaseImage": "",
    "Revision": "1",
    "AptSource": "deb http://example.org/debian stable main",
    "Packages": ["python3-numpy", " ", " r-base "],
    "Commands": "echo installed",
    "BootCommands": "echo booted",
    "Gpu": "no",
    "HttpProxy": "http://proxy.example.org:3128",
    "NoProxy": ".example.org",
    "Recipe": "1",
    "BuilderType": "m7i.large",
    "KmsKey": "alias/aws/ebs",
    "VpcId": "",
    "SubnetIds": [""],
}
BASE = {
    "ImageId": "ami-base",
    "Architecture": "x86_64",
    "RootDeviceName": "/dev/xvda",
    "BlockDeviceMappings": [
        {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8}},
        {"DeviceName": "/dev/xvdb", "Ebs": {"VolumeSize": 500}},
    ],
}
MARK = {"Key": "annex-bootstrap:image", "Value": NAME}
MACHINE: dict[str, Any] = {
    "InstanceId": "i-builder",
    "ImageId": "ami-base",
    "State": {"Name": "pending"},
    "ClientToken": "r-0",
    "SecurityGroups": [{"GroupName": NAME, "GroupId": "sg-closed"}],
}
MADE_FOR = [
    {"Name": "tag:annex-bootstrap:stack", "Values": [STACK]},
    {"Name": "tag:annex-bootstrap:image", "Values": [NAME]},
]


def console_of(text: str) -> dict[str, Any]:
    return {"Output": base64.b64encode(text.encode()).decode()}


def said(text: str) -> dict[str, Any]:
    """Return a console on which the builder said something."""
    return console_of(f"[   1.0] noise\nannex-bootstrap-image {SECRET} {text}\n")


def described(*machines: dict[str, Any]) -> dict[str, Any]:
    return {"Reservations": [{"Instances": list(machines)}] if machines else []}


def state(name: str, **more: Any) -> dict[str, Any]:
    return described(MACHINE | {"State": {"Name": name}} | more)


def answers(**changed: Any) -> dict[str, Any]:
    """Return the answers of an account in which a builder starts, stops, and says that all is installed."""
    return {
        "DescribeImages": [{"Images": []}, {"Images": [BASE]}],
        "DescribeInstances": [described(), state("pending"), state("running"), state("stopped")],
        "GetParameter": {"Parameter": {"Value": "ami-newest"}},
        "DescribeSubnets": {
            "Subnets": [{"SubnetId": "subnet-b", "VpcId": "vpc-1"}, {"SubnetId": "subnet-a", "VpcId": "vpc-1"}]
        },
        "DescribeSecurityGroups": {"SecurityGroups": []},
        "CreateSecurityGroup": {"GroupId": "sg-closed"},
        "RunInstances": {"Instances": [MACHINE]},
        "GetConsoleOutput": [{}, said("ok condor=23.9.6")],
        "TerminateInstances": {},
    } | changed


def put(aws: Callable[..., Recorded], changed: dict[str, Any] | None = None, **properties: Any) -> Recorded:
    """Make the builder, and return what was called."""
    made = aws(**answers(**(changed or {})))
    given = image_builder.put(request(NAME, PROPERTIES | properties))
    assert given == {"BaseImage": "ami-base", "CondorVersion": "23.9.6"}
    return made


def test_a_builder_is_closed_private_tagged_and_stops_by_itself(aws: Callable[..., Recorded]) -> None:
    made = put(aws)
    (run,) = made.of("RunInstances")
    del run["UserData"]
    assert run == {
        "ImageId": "ami-base",
        "InstanceType": "m7i.large",
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": "r-0",
        "SubnetId": "subnet-a",
        "SecurityGroupIds": ["sg-closed"],
        "InstanceInitiatedShutdownBehavior": "stop",
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
        "BlockDeviceMappings": [
            {
                "DeviceName": "/dev/xvda",
                "Ebs": {
                    "VolumeSize": 16,
                    "DeleteOnTermination": True,
                    "Encrypted": True,
                    "KmsKeyId": "alias/aws/ebs",
                },
            }
        ],
        "TagSpecifications": [
            {
                "ResourceType": "instance",
                "Tags": [OWN, MARK, {"Key": "Name", "Value": "annex-bootstrap: builds the image"}],
            },
            {"ResourceType": "volume", "Tags": [OWN, MARK]},
            {"ResourceType": "network-interface", "Tags": [OWN, MARK]},
        ],
    }
    assert made.of("CreateSecurityGroup") == [
        {
            "GroupName": NAME,
            "Description": "Machines of HTCondor annexes",
            "VpcId": "vpc-1",
            "TagSpecifications": [{"ResourceType": "security-group", "Tags": [OWN, MARK]}],
        }
    ]
    assert made.of("DescribeImages") == [
        {"Owners": ["self"], "Filters": MADE_FOR},
        {"Filters": [{"Name": "image-id", "Values": ["ami-newest"]}]},
    ]
    assert made.of("GetParameter") == [{"Name": f"{SYSTEM.base_parameters}amd64"}]
    assert made.of("DescribeSubnets") == [{"Filters": [{"Name": "default-for-az", "Values": ["true"]}]}]


def test_tags_of_the_stack_are_on_the_builder_and_all_its_parts(
    aws: Callable[..., Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAGS", "cost-center=42,,project=a,,,")
    given = [{"Key": "cost-center", "Value": "42"}, {"Key": "project", "Value": "a"}]
    made = put(aws)
    (run,) = made.of("RunInstances")
    (group,) = made.of("CreateSecurityGroup")
    tags = {each["ResourceType"]: each["Tags"] for each in [*run["TagSpecifications"], *group["TagSpecifications"]]}
    name = {"Key": "Name", "Value": "annex-bootstrap: builds the image"}
    assert tags == {
        "instance": [OWN, MARK, *given, name],
        **{kind: [OWN, MARK, *given] for kind in ("volume", "network-interface", "security-group")},
    }


@pytest.mark.parametrize(("gpu", "driver"), [("no", False), ("yes", True)])
def test_everything_that_the_parameters_ask_for_reaches_the_builder(
    aws: Callable[..., Recorded], gpu: str, driver: bool
) -> None:
    (run,) = put(aws, Gpu=gpu).of("RunInstances")
    inputs = ImageInputs(
        SECRET,
        ("python3-numpy", "r-base"),
        "echo installed",
        "echo booted",
        "deb http://example.org/debian stable main",
        driver,
        "http://proxy.example.org:3128",
        ".example.org",
    )
    assert gzip.decompress(base64.b64decode(run["UserData"])) == gzip.decompress(render_user_data(inputs))


def test_what_cannot_be_installed_is_refused_before_a_machine_starts(aws: Callable[..., Recorded]) -> None:
    with pytest.raises(ResourceError, match="--force"):
        put(aws, Packages=["--force"])


def test_a_large_base_keeps_its_size(aws: Callable[..., Recorded]) -> None:
    large = BASE | {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 40}}]}
    (run,) = put(aws, {"DescribeImages": [{"Images": []}, {"Images": [large]}]}).of("RunInstances")
    assert run["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 40


def test_a_given_base_is_taken(aws: Callable[..., Recorded]) -> None:
    made = put(aws, BaseImage="ami-given")
    assert made.of("DescribeImages")[1] == {"Filters": [{"Name": "image-id", "Values": ["ami-given"]}]}
    assert made.of("GetParameter") == []


def test_given_subnets_are_used_in_their_order(aws: Callable[..., Recorded]) -> None:
    made = put(aws, SubnetIds=[" subnet-b", "subnet-a"], VpcId="vpc-1")
    assert made.of("DescribeSubnets") == [{"Filters": [{"Name": "subnet-id", "Values": ["subnet-b", "subnet-a"]}]}]
    assert made.of("RunInstances")[0]["SubnetId"] == "subnet-b"


def test_a_given_vpc_is_built_in(aws: Callable[..., Recorded]) -> None:
    wanted = [{"Name": "default-for-az", "Values": ["true"]}, {"Name": "vpc-id", "Values": ["vpc-1"]}]
    assert put(aws, VpcId="vpc-1").of("DescribeSubnets") == [{"Filters": wanted}]


def test_a_zone_without_such_machines_is_passed_over_with_another_token(aws: Callable[..., Recorded]) -> None:
    made = put(aws, {"RunInstances": [RefusedError("InsufficientInstanceCapacity"), {"Instances": [MACHINE]}]})
    tried = [(run["SubnetId"], run["ClientToken"]) for run in made.of("RunInstances")]
    assert tried == [("subnet-a", "r-0"), ("subnet-b", "r-1")]


FREE_PLAN = RefusedError(
    "InvalidParameterCombination",
    "The specified instance type is not eligible for Free Tier. For a list of Free Tier instance types, run "
    "'describe-instance-types' with the filter 'free-tier-eligible=true'.",
)


@pytest.mark.parametrize(
    ("architecture", "usual", "others"),
    [
        ("amd64", "t3.medium", ["t3.small", "c7i-flex.large", "m7i-flex.large", "t3.micro"]),
        ("arm64", "t4g.medium", ["t4g.small", "t4g.micro"]),
    ],
)
@pytest.mark.parametrize("refused", [1, 2])
def test_on_the_free_plan_the_builder_is_one_of_its_types(
    aws: Callable[..., Recorded], architecture: str, usual: str, others: list[str], refused: int
) -> None:
    base = BASE | {"Architecture": {"amd64": "x86_64", "arm64": "arm64"}[architecture]}
    changed = {
        "RunInstances": [*[FREE_PLAN] * refused, {"Instances": [MACHINE]}],
        "DescribeImages": [{"Images": []}, {"Images": [base]}],
    }
    runs = put(aws, changed, Architecture=architecture, BuilderType=usual).of("RunInstances")
    assert [run["InstanceType"] for run in runs] == [usual, *others][: refused + 1]
    # Another zone would change nothing.
    assert [run["SubnetId"] for run in runs] == ["subnet-a"] * (refused + 1)
    assert [run["ClientToken"] for run in runs] == [f"r-{number}" for number in range(refused + 1)]


def test_a_type_that_no_zone_has_gives_way_to_the_others(aws: Callable[..., Recorded]) -> None:
    refusals: list[Any] = [RefusedError("Unsupported"), RefusedError("InsufficientInstanceCapacity")]
    made = put(aws, {"RunInstances": [*refusals, {"Instances": [MACHINE]}]}, BuilderType="t3.medium")
    tried = [(run["InstanceType"], run["SubnetId"]) for run in made.of("RunInstances")]
    assert tried == [("t3.medium", "subnet-a"), ("t3.medium", "subnet-b"), ("t3.small", "subnet-a")]


def test_a_chosen_type_has_no_other_and_the_refusal_says_which_the_free_plan_has(
    aws: Callable[..., Recorded],
) -> None:
    made = aws(**answers(RunInstances=FREE_PLAN))
    with pytest.raises(ResourceError, match=r"free plan has no m7i.large: set BuilderType to t3.small, c7i-flex.large"):
        image_builder.put(request(NAME, PROPERTIES))
    assert len(made.of("RunInstances")) == 1


@pytest.mark.parametrize(
    ("refusals", "subnets"),
    [
        (["UnauthorizedOperation"], ["subnet-a"]),
        (["Unsupported", "InsufficientInstanceCapacity"], ["subnet-a", "subnet-b"]),
    ],
)
def test_any_other_refusal_and_that_of_the_last_zone_is_final(
    aws: Callable[..., Recorded], refusals: list[str], subnets: list[str]
) -> None:
    made = aws(**answers(RunInstances=[RefusedError(code) for code in refusals]))
    with pytest.raises(Exception, match=refusals[-1]):
        image_builder.put(request(NAME, PROPERTIES))
    assert [run["SubnetId"] for run in made.of("RunInstances")] == subnets


@pytest.mark.parametrize(
    ("changed", "properties", "text"),
    [
        ({"DescribeImages": [{"Images": []}, {"Images": []}]}, {}, "there is no image ami-newest in this region"),
        (
            {"DescribeImages": [{"Images": []}, {"Images": [BASE | {"Tags": [MARK]}]}]},
            {},
            "a stack made the image ami-newest",
        ),
        ({}, {"Architecture": "arm64"}, "the image ami-newest is for x86_64"),
        ({"GetParameter": RefusedError("ParameterNotFound")}, {}, "publishes no image in this region's partition"),
        ({}, {"SubnetIds": ["subnet-a", "subnet-c"]}, "there is no subnet subnet-c in this region"),
        ({"DescribeSubnets": {"Subnets": []}}, {}, "^this region has no default subnet"),
        ({"DescribeSubnets": {"Subnets": []}}, {"VpcId": "vpc-2"}, "^the VPC vpc-2 has no default subnet"),
    ],
)
def test_where_nothing_can_be_built_no_machine_starts(
    aws: Callable[..., Recorded], changed: dict[str, Any], properties: dict[str, Any], text: str
) -> None:
    made = aws(**answers(**changed))
    with pytest.raises(ResourceError, match=text):
        image_builder.put(request(NAME, PROPERTIES | properties))
    assert made.of("RunInstances") == []


def test_where_the_image_exists_nothing_is_built(aws: Callable[..., Recorded]) -> None:
    tags = [
        {"Key": "annex-bootstrap:base", "Value": "ami-base"},
        {"Key": "annex-bootstrap:htcondor", "Value": "23.9.6"},
    ]
    image = {"ImageId": "ami-made", "Tags": tags, "SourceInstanceId": "i-builder"}
    made = put(aws, {"DescribeImages": {"Images": [image]}, "DescribeInstances": described(MACHINE)})
    assert made.names == ["DescribeImages", "DescribeInstances"]


def test_a_builder_that_an_interrupted_creation_left_is_waited_for(aws: Callable[..., Recorded]) -> None:
    made = put(
        aws, {"DescribeInstances": [described(MACHINE), state("stopped")], "GetConsoleOutput": said("ok condor=23.9.6")}
    )
    assert made.of("RunInstances") == []
    assert made.of("DescribeInstances") == [
        {
            "Filters": [
                *MADE_FOR,
                {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
            ]
        },
        {"InstanceIds": ["i-builder"]},
    ]


OTHERS: dict[str, dict[str, Any]] = {
    "another profile": {"IamInstanceProfile": {"Arn": "arn:aws:iam::123456789012:instance-profile/b"}},
    "another group": {"SecurityGroups": [{"GroupName": "b", "GroupId": "sg-b"}]},
    "one more group": {"SecurityGroups": [*MACHINE["SecurityGroups"], {"GroupName": "b", "GroupId": "sg-b"}]},
}
"""What tells a machine of somebody else, with all the tags of a builder."""


@pytest.mark.parametrize("how", OTHERS)
def test_a_machine_that_only_has_the_tags_is_neither_waited_for_nor_ended(
    aws: Callable[..., Recorded], how: str
) -> None:
    twin = MACHINE | {"InstanceId": "i-twin"} | OTHERS[how]
    made = put(aws, {"DescribeInstances": [described(twin), state("running"), state("stopped")]})
    assert len(made.of("RunInstances")) == 1
    assert made.of("TerminateInstances") == []
    made = aws(DescribeInstances=described(twin), DescribeSecurityGroups={"SecurityGroups": []})
    assert image_builder.delete(request(NAME, PROPERTIES)) == ""
    assert made.of("TerminateInstances") == []


def test_a_builder_of_another_request_is_ended_and_not_believed(aws: Callable[..., Recorded]) -> None:
    left = described(MACHINE | {"InstanceId": "i-left", "ClientToken": "earlier-0"})
    made = put(aws, {"DescribeInstances": [left, left, state("running"), state("stopped")]})
    assert made.of("TerminateInstances") == [{"InstanceIds": ["i-left"]}]
    assert len(made.of("RunInstances")) == 1


def test_success_that_another_machine_could_print_is_no_success(aws: Callable[..., Recorded]) -> None:
    lines = {"Output": base64.b64encode(f"annex-bootstrap-image {NAME} ok condor=1\n".encode()).decode()}
    aws(**answers(GetConsoleOutput=lines, DescribeInstances=[described(), *[state("stopped")] * 100]))
    with pytest.raises(ResourceError, match="shut down half-way"):
        image_builder.put(request(NAME, PROPERTIES))


def test_the_console_of_a_running_builder_is_read_as_it_is_now(aws: Callable[..., Recorded]) -> None:
    asked = put(aws).of("GetConsoleOutput")
    assert asked == [{"InstanceId": "i-builder", "Latest": True}, {"InstanceId": "i-builder", "Latest": False}]


@pytest.mark.parametrize(
    ("states", "console", "reason"),
    [
        (
            [state("running")],
            said("failed installing ImagePackages"),
            "building the image failed: installing ImagePackages failed",
        ),
        (
            [state("shutting-down", StateReason={"Message": "Client.InternalError"})],
            {},
            "the builder i-builder was terminated: Client.InternalError",
        ),
        ([state("terminated")], {}, "the builder i-builder was terminated: AWS gives no reason"),
        (
            [state("stopped")] * 40,
            console_of("one\n\ntwo\nthree\nfour\n"),
            r"the builder i-builder shut down half-way; its console ends: two \| three \| four",
        ),
        ([state("stopped")] * 40, {}, "shut down half-way; its console ends: empty"),
    ],
)
def test_a_build_that_fails_says_why_and_ends_its_machine(
    aws: Callable[..., Recorded], states: list[dict[str, Any]], console: dict[str, Any], reason: str
) -> None:
    made = aws(**answers(GetConsoleOutput=console))
    listed = iter([described(), *states])
    made.answers["DescribeInstances"] = lambda arguments: (
        described(MACHINE) if "Filters" in arguments and made.of("RunInstances") else next(listed)
    )
    with pytest.raises(ResourceError, match=reason):
        image_builder.put(request(NAME, PROPERTIES))
    assert made.of("TerminateInstances") == [{"InstanceIds": ["i-builder"]}]


def test_a_builder_that_does_not_finish_in_time_is_terminated(aws: Callable[..., Recorded]) -> None:
    made = aws(**answers(GetConsoleOutput=console_of("still at it")))
    made.answers["DescribeInstances"] = lambda arguments: (
        state("running") if "InstanceIds" in arguments or made.of("RunInstances") else described()
    )
    asked = Request(STACK, "Thing", "r", NAME, PROPERTIES, 130.0, secret=SECRET)
    with pytest.raises(ResourceError, match="did not finish in time; its console ends: still at it"):
        image_builder.put(asked)
    assert made.of("TerminateInstances") == [{"InstanceIds": ["i-builder"]}]
    # Seconds 0, 1, 3, 7, 15, and then every 15 until 30 before the deadline.
    assert len(made.of("GetConsoleOutput")) == 10


def test_deleting_ends_the_builder_and_then_its_group(aws: Callable[..., Recorded]) -> None:
    made = aws(
        DescribeInstances=[described(MACHINE), described()],
        TerminateInstances={},
        DescribeSecurityGroups={"SecurityGroups": [{"GroupId": "sg-closed"}]},
        DeleteSecurityGroup={},
    )
    assert image_builder.delete(request(NAME, PROPERTIES)) == ""
    assert made.names == [
        "DescribeInstances",
        "TerminateInstances",
        "DescribeInstances",
        "DescribeSecurityGroups",
        "DeleteSecurityGroup",
    ]
    assert made.of("DescribeInstances")[1]["Filters"][-1] == {
        "Name": "instance-state-name",
        "Values": ["shutting-down", "pending", "running", "stopping", "stopped"],
    }


def test_a_builder_that_still_shuts_down_keeps_its_group(aws: Callable[..., Recorded]) -> None:
    made = aws(DescribeInstances=[described(), state("shutting-down")])
    with pytest.raises(ResourceError, match="the builder i-builder has not ended yet"):
        image_builder.delete(request(NAME, PROPERTIES))
    assert made.names == ["DescribeInstances", "DescribeInstances"]
