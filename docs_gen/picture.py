"""The picture of the stack, drawn from the template. ``python -m docs_gen.picture`` writes it into ``docs/``.

Three columns: the functions, what they create or serve, and the outputs. A line means that one refers to the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from annex_bootstrap.words import TYPES
from annex_contract.knobs import KNOBS
from annex_contract.resources import BY_TYPE
from annex_contract.stack import Part
from docs_gen.permissions import chosen, statements_of
from template_gen.archive import ROOT
from template_gen.template import build

TARGET = ROOT / "docs" / "architecture.svg"

OWN: Mapping[str, str] = {
    "AnnexUserPolicy": "policy for users of condor_annex",
    "StartPolicy": "policy for users of start",
    "LeaseAlarm": "the lease function failed",
    "SilenceAlarm": "nothing called the lease function",
    "SweepAlarm": "EventBridge could not call it",
    "ThrottleAlarm": "AWS had no room to run it",
    "LeasePermission": "lets leases call the lease function",
}
"""What is said of a resource that the name of its type does not tell from the others, or is too long for."""

WIDTH = 1000
TOP = 96
STEP = 62
BOX_WIDTH, BOX_HEIGHT = 250, 46
COLUMNS = (30, 370, 710)
TITLES = ("Functions, each with its role and its log", "What they create or serve", "Outputs, for pull-config")

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1d2529 }
.title { font-size: 18px; font-weight: 700 } .head, .small { fill: #56626a }
.head { font-weight: 600 } .small { font-size: 11px }
.page { fill: #fbfbfa } .box { fill: #fff; stroke: #56626a } .function { stroke: #0b6157; stroke-width: 2 }
.maybe { stroke-dasharray: 5 4 } path { fill: none; stroke: #0b6157; stroke-opacity: .55; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
text { fill: #e6eaec } .head, .small { fill: #a4b0b7 } .page { fill: #14191c } .box { fill: #1c2327; stroke: #a4b0b7 }
.function { stroke: #6fd6c6 } path { stroke: #6fd6c6 } }
"""


@dataclass(frozen=True)
class Box:
    """One box.

    Attributes:
        name: its name in the template; an output's has a ``.`` before it.
        column: 0, 1 or 2.
        row: from 0, in steps; halves are possible.
        text: the second line.
        style: its classes.
    """

    name: str
    column: int
    row: float
    text: str
    style: str = "box"

    @property
    def left(self) -> int:
        """Return the x of its left side."""
        return COLUMNS[self.column]

    @property
    def middle(self) -> float:
        """Return the y of its middle."""
        return TOP + self.row * STEP + BOX_HEIGHT / 2


def draw(template: Mapping[str, Any]) -> str:
    """Return the picture as SVG, for light and dark."""
    resources: Mapping[str, Any] = template["Resources"]
    boxes = {box.name: box for box in _boxes(resources)}
    boxes |= {box.name: box for box in _outputs(template, boxes)}
    lines = [*_served(resources, boxes), *_put_out(template, boxes)]
    height = TOP + int(max(box.row for box in boxes.values()) + 1) * STEP + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="The stack: {len(resources)} resources, from functions to outputs">\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="12"/>\n'
        f'<text class="title" x="30" y="40">One CloudFormation stack, {len(resources)} resources</text>\n'
        + "".join(
            f'<text class="head" x="{x}" y="76">{escape(title)}</text>\n'
            for x, title in zip(COLUMNS, TITLES, strict=True)
        )
        + "".join(_line(boxes[start], boxes[end]) for start, end in lines)
        + "".join(_box(box) for box in boxes.values())
        + "</svg>\n"
    )


def _boxes(resources: Mapping[str, Any]) -> Iterator[Box]:
    functions = sorted(
        (name for name, resource in resources.items() if resource["Type"] == "AWS::Lambda::Function"),
        # Those of custom resources first: the stack needs them first.
        key=lambda name: (not _behind(resources, name), name),
    )
    theirs = {part.of(name) for name in functions for part in Part}
    others = sorted(set(resources) - theirs - set(functions))
    served = {name: [other for other in others if name in _named(resources[other])] for name in functions}
    row = 0.0
    placed: set[str] = set()
    for function in functions:
        mine = [other for other in served[function] if other not in placed]
        placed.update(mine)
        span = max(len(mine), 1)
        yield Box(function, 0, row + (span - 1) / 2, _allowed(statements_of(resources, function)), "box function")
        for number, other in enumerate(mine):
            yield _resource(other, resources, row + number)
        row += span
    for other in others:
        if other not in placed:
            yield _resource(other, resources, row)
            row += 1


def _outputs(template: Mapping[str, Any], origins: Mapping[str, Box]) -> Iterator[Box]:
    """Return the outputs, each as close as possible to what it comes from."""

    def origin(name: str) -> tuple[float, str]:
        rows = [origins[named].row for named in _named(template["Outputs"][name]["Value"]) if named in origins]
        return (min(rows, default=float("inf")), name)

    names = sorted(template["Outputs"], key=origin)
    step = max(box.row + 1 for box in origins.values()) / len(names)
    for number, name in enumerate(names):
        knobs = sum(knob.output == name for knob in KNOBS)
        text = f"{knobs} HTCondor {'knob' if knobs == 1 else 'knobs'}" if knobs else "for people and tools"
        style = "box maybe" if "Condition" in template["Outputs"][name] else "box"
        yield Box(f".{name}", 2, number * step, text, style)


def _resource(name: str, resources: Mapping[str, Any], row: float) -> Box:
    what = TYPES[resources[name]["Type"]].summary
    # Who makes the roles is another matter than whether there is something.
    usual = resources[name].get("Condition") in (None, "MakesRoles")
    return Box(name, 1, row, OWN.get(name, what), "box" if usual else "box maybe")


def _allowed(statements: Iterable[Mapping[str, Any]]) -> str:
    actions = {action for statement in statements for action in chosen(statement)["Action"]}
    return f"allowed {len(actions)} AWS actions"


def _behind(resources: Mapping[str, Any], function: str) -> bool:
    return any(
        resource["Type"] in BY_TYPE and function in _named(resource["Properties"]["ServiceToken"])
        for resource in resources.values()
    )


def _served(resources: Mapping[str, Any], boxes: Mapping[str, Box]) -> Iterator[tuple[str, str]]:
    for name in sorted(boxes):
        if boxes[name].column == 1:
            functions = [
                named for named in sorted(_named(resources[name])) if named in boxes and not boxes[named].column
            ]
            yield from ((function, name) for function in functions)


def _put_out(template: Mapping[str, Any], boxes: Mapping[str, Box]) -> Iterator[tuple[str, str]]:
    for name in sorted(template["Outputs"]):
        yield from (
            (named, f".{name}") for named in sorted(_named(template["Outputs"][name]["Value"])) if named in boxes
        )


def _named(value: Any) -> set[str]:
    """Return what an expression of the template names by Ref or GetAtt."""
    if isinstance(value, dict):
        found: set[str] = set()
        for key, inner in value.items():
            if key == "Ref":
                found.add(inner)
            elif key == "Fn::GetAtt":
                found.add(inner[0])
            else:
                found |= _named(inner)
        return found
    if isinstance(value, list):
        return {name for inner in value for name in _named(inner)}
    return set()


def _line(start: Box, end: Box) -> str:
    x, to, from_y, to_y = start.left + BOX_WIDTH, end.left, start.middle, end.middle
    bend = (to - x) / 2 if end.column - start.column == 1 else 60
    return f'<path d="M{x} {from_y:g}C{x + bend:g} {from_y:g} {to - bend:g} {to_y:g} {to} {to_y:g}"/>\n'


def _box(box: Box) -> str:
    y = box.middle - BOX_HEIGHT / 2
    return (
        f'<rect class="{box.style}" x="{box.left}" y="{y:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8"/>\n'
        f'<text x="{box.left + 12}" y="{y + 19:g}">{escape(box.name.removeprefix("."))}</text>\n'
        f'<text class="small" x="{box.left + 12}" y="{y + 36:g}">{escape(box.text)}</text>\n'
    )


def main() -> None:
    """Write the picture."""
    TARGET.write_text(draw(build().to_dict()))


if __name__ == "__main__":
    main()
