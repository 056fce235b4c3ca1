"""``fleet-config``: which image, types and subnets go into the file, and which file and knobs name it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest

from annex_bootstrap.commands import fleet_config as module
from annex_bootstrap.commands.fleet_config import FleetConfig, OfferedType, fleet_config
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.machines.instance_types import InstanceType, Slot
from annex_bootstrap.machines.offers import Offer
from annex_bootstrap.machines.subnets import Subnet
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.target import Target
from tests.unit.annex_bootstrap.commands.conftest import OUTPUTS, a_stack
from tests.unit.recorded import Recorded

IMAGE = {"ImageId": "ami-0a1b", "Name": "pool-image", "Architecture": "x86_64", "CreationDate": "2026-01-01"}
OFFERS = [
    Offer(InstanceType("m7i.large", 2, 8192), 2, Decimal("0.10"), ("subnet-a", "subnet-b")),
    Offer(InstanceType("x1.large", 2, 6144), 2, None, ("subnet-a",)),
    Offer(InstanceType("m7i.xlarge", 4, 16384), 4, Decimal("0.30"), ("subnet-b",)),
]


class Steps:
    """What AWS offers.

    Attributes:
        stack: whose fleet it is.
        asked: for which subnets and offers.
    """

    def __init__(self) -> None:
        self.stack = a_stack()
        self.asked: list[tuple[Any, ...]] = []

    def find_deployed(self, *_: object) -> Stack:
        return self.stack

    def find_subnets(self, _account: object, group_id: str, subnet_ids: Any) -> list[Subnet]:
        self.asked.append(("subnets", group_id, list(subnet_ids)))
        return [Subnet(f"subnet-{zone}", zone, True, 9) for zone in ("a", "b")]

    def find_offers(self, _account: object, *given: Any, prices_needed: bool) -> list[Offer]:
        slot, architecture, types, excluded, subnets, limits = given
        assert limits == self.stack.limits
        self.asked.append(("offers", slot, architecture, types, excluded, sorted(subnets), prices_needed))
        return OFFERS


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    made = Steps()
    for name in ("find_deployed", "find_subnets", "find_offers"):
        monkeypatch.setattr(module, name, getattr(made, name))
    monkeypatch.setattr(module, "within_limits", lambda offers: offers[:2])
    return made


Run = Callable[..., FleetConfig]


@pytest.fixture
def run(screen: Screen, targeted: Callable[..., Target]) -> Run:
    def run(images: list[dict[str, Any]] | None = None, **options: Any) -> FleetConfig:
        aws = Recorded(DescribeImages={"Images": [IMAGE] if images is None else images})
        run.aws = aws  # type: ignore[attr-defined]  # for what was asked
        return fleet_config(screen, targeted(aws), **options)

    return run


def specification(kind: str, slots: int, price: str, subnet: str) -> dict[str, Any]:
    return {
        "ImageId": "ami-0a1b",
        "InstanceType": kind,
        "WeightedCapacity": str(slots),
        "SpotPrice": price,
        "SubnetId": subnet,
        "IamInstanceProfile": {"Arn": OUTPUTS["InstanceConfigurationProfile"]},
        "SecurityGroups": [{"GroupId": "sg-0a1b"}],
    }


def test_the_file_has_the_stacks_image_role_and_group_and_the_knobs_name_it(
    steps: Steps, run: Run, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run()
    assert steps.asked == [
        ("subnets", "sg-0a1b", []),
        ("offers", Slot(1, 2048), "x86_64", (), (), ["a", "b"], True),
    ]
    file, config = home / ".condor/annex-fleet-us-east-1.json", home / "user_config"
    assert json.loads(file.read_text()) == {
        "SpotPrice": "0.0500",
        "IamFleetRole": OUTPUTS["IamFleetRoleARN"],
        "AllocationStrategy": "lowestPrice",
        "TargetCapacity": 1,
        "LaunchSpecifications": [
            specification("m7i.large", 2, "0.0500", "subnet-a"),
            specification("m7i.large", 2, "0.0500", "subnet-b"),
            specification("x1.large", 2, "0.0500", "subnet-a"),
        ],
    }
    assert done == FleetConfig(
        "ami-0a1b",
        Decimal("0.0500"),
        (
            OfferedType("m7i.large", 2, 8192, 2, Decimal("0.0500"), ("subnet-a", "subnet-b")),
            OfferedType("x1.large", 2, 6144, 2, None, ("subnet-a",)),
        ),
        1,
        file,
        config,
        file.read_text(),
        (),
    )
    named = [line for line in config.read_text().splitlines() if line.startswith("ANNEX")]
    assert named == [
        f"ANNEX_DEFAULT_SFR_CONFIG_FILE = {file}",
        f"ANNEX_DEFAULT_SPOT_FLEET_CONFIG_FILE = {file}",
    ]
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["m7i.large", "2", "8", "GiB", "2", "0.0500", "2"]
    assert lines[2].split() == ["x1.large", "2", "6", "GiB", "2", "unknown", "1"]
    assert lines[4:] == [
        "Image    ami-0a1b pool-image",
        "Pays     at most $0.0500 per slot-hour",
        "Left out 1 more expensive types: a fleet has at most 300 pairs of type and subnet",
        f"Fleet    {file}",
        f"Knobs    {config}",
    ]


def test_every_option_reaches_what_is_looked_for(steps: Steps, run: Run, home: Path) -> None:
    done = run(
        cpus=2,
        memory=4096,
        types=("m7i.*",),
        exclude=("*.metal",),
        subnet_ids=("subnet-b",),
        max_price=Decimal("0.03"),
        path=home / "mine.json",
    )
    assert steps.asked == [
        ("subnets", "sg-0a1b", ["subnet-b"]),
        ("offers", Slot(2, 4096), "x86_64", ("m7i.*",), ("*.metal",), ["a", "b"], False),
    ]
    assert (done.dollars_per_slot_hour_most, done.file) == (Decimal("0.03"), home / "mine.json")
    assert {each["SpotPrice"] for each in json.loads(done.content)["LaunchSpecifications"]} == {"0.03"}


def test_the_stacks_own_subnets_and_key_pair_are_used(steps: Steps, run: Run) -> None:
    stack = a_stack(parameters={"SubnetIds": "subnet-a, subnet-b"})
    steps.stack = replace(stack, outputs={**stack.outputs, "KeyPairName": "mine"})
    done = run()
    assert steps.asked[0] == ("subnets", "sg-0a1b", ["subnet-a", "subnet-b"])
    assert json.loads(done.content)["LaunchSpecifications"][0]["KeyName"] == "mine"


def test_the_stacks_tags_are_options_of_condor_annex_as_far_as_it_takes_them(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.stack = a_stack(parameters={"Tag1": "cost-center=42", "Tag2": "project=a b", "Tag3": "note="})
    done = run()
    assert done.tag_options == ("-tag", "cost-center", "42", "-tag", "note", "")
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "Tags     give condor_annex -tag cost-center 42 -tag note ''"
    assert said.err == (
        "annex-bootstrap: condor_annex cannot give a spot fleet a tag whose value has a blank: project\n"
    )


def test_print_writes_nothing(steps: Steps, run: Run, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(print_only=True)
    assert (done.file, done.config, done.types_left_out) == (None, None, 1)
    assert capsys.readouterr().out == done.content
    assert list(home.iterdir()) == []
    assert steps.asked


def test_an_image_is_found_by_its_name_the_newest_first(steps: Steps, run: Run) -> None:
    newer = IMAGE | {"ImageId": "ami-newer", "CreationDate": "2026-02-01"}
    assert run([IMAGE, newer], image_name="pool-*", owners=("self",)).image_id == "ami-newer"
    assert run.aws.of("DescribeImages") == [  # type: ignore[attr-defined]  # as above
        {
            "Owners": ["self"],
            "Filters": [
                {"Name": "name", "Values": ["pool-*"]},
                {"Name": "architecture", "Values": ["x86_64"]},
                {"Name": "state", "Values": ["available"]},
            ],
        }
    ]
    assert steps.asked


def test_an_image_without_a_name_is_shown_by_its_id(steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run([{name: value for name, value in IMAGE.items() if name != "Name"}])
    assert "Image    ami-0a1b " in capsys.readouterr().out.splitlines()
    assert steps.asked


@pytest.mark.parametrize(
    ("images", "options", "text"),
    [
        ([], {"image": "ami-1"}, "there is no x86_64 image ami-1 in us-east-1"),
        ([], {"image_name": "a*"}, r"there is no x86_64 image 'a\*' of self, amazon in us-east-1"),
        ([IMAGE], {"arch": "arm64"}, "the image ami-0a1b is for x86_64: give --arch x86_64, or another image"),
    ],
)
def test_an_image_that_does_not_fit_is_said(
    steps: Steps, run: Run, images: list[dict[str, Any]], options: dict[str, Any], text: str
) -> None:
    with pytest.raises(UserError, match=text):
        run(images, **options)
    assert steps.asked == []


def test_without_any_image_there_is_no_fleet(steps: Steps, run: Run) -> None:
    bare = {name: value for name, value in OUTPUTS.items() if name != "ImageId"}
    steps.stack = replace(a_stack(), outputs=bare)
    with pytest.raises(UserError, match="the stack annex-bootstrap has no image: give --image or --image-name"):
        run()
    assert run(image="ami-0a1b").image_id == "ami-0a1b"
    with pytest.raises(click.UsageError, match="give either --image or --image-name"):
        run(image="ami-0a1b", image_name="a*")


def test_patterns_are_given_one_by_one_or_with_commas_between_them() -> None:
    (option,) = (option for option in module.command.params if option.name == "exclude")
    context = click.Context(module.command)
    assert option.type_cast_value(context, ("a",)) == ("a",)
    assert option.process_value(context, ("*.metal, t?.*", ",,", "c5.*")) == ("*.metal", "t?.*", "c5.*")
