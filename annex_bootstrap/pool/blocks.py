"""The configuration block: what the stacks put out, as HTCondor knobs, in a file that belongs to somebody else.

Pure, from bytes to bytes; ``config_file`` puts them in place. Everything outside the block is kept to the byte.

How HTCondor reads knobs by region: a tool that is started for a region reads ``<local name>.<KNOB>`` before
``<KNOB>``, and the local name is the region with every character outside ``[A-Za-z0-9_./]`` replaced by ``_``. The
first that is found counts, also an empty one, which means that the knob is not set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from annex_bootstrap.errors import UserError
from annex_contract.knobs import KNOBS, REGION_KNOB
from annex_contract.outputs import OUTPUTS
from annex_contract.stack import Output

BEGIN = "# BEGIN annex-bootstrap: written by `annex-bootstrap pull-config`; do not edit between BEGIN and END."
END = "# END annex-bootstrap"
GUIDE = "# The same by the names that condor_annex 8.7.0 read"

STACK_BLOCK = "annex-bootstrap"
"""The name of the stacks' block; other blocks in the same file have other names."""

_STACK_LINE = re.compile(r"# Stack (\S+), version (\S+), region (\S+)")
_KNOB_LINE = re.compile(r"(?:([A-Za-z0-9_]+)\.)?(ANNEX_[A-Z0-9_]+) =(?: (.*))?")

_NEWLINES = b"# Newlines before this block that belong to it: %d\n"
_OWN_NEWLINES = re.compile(rb"# BEGIN [^\n]*\n# Newlines before this block that belong to it: (\d)\n")

_GUIDE_KNOBS = {knob.name for knob in KNOBS if knob.guide}
_REGIONAL_KNOBS = {knob.name for knob in KNOBS if knob.regional}


@dataclass(frozen=True)
class Section:
    """The knobs of one region.

    Attributes:
        stack_name: of the stack that they come from.
        version: of annex-bootstrap that made the stack.
        region: where the stack is.
        knobs: values by name, without a prefix.
    """

    stack_name: str
    version: str
    region: str
    knobs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """The whole block.

    Attributes:
        sections: one a region; the first is the default region's, whose knobs need no prefix.
    """

    sections: tuple[Section, ...] = ()

    @property
    def default_region(self) -> str:
        """The region of annexes for which the user names none; empty for an empty block."""
        return self.sections[0].region if self.sections else ""

    def find(self, region: str) -> Section | None:
        """Return the section of a region, or None."""
        return next((section for section in self.sections if section.region == region), None)

    def put(self, section: Section) -> Block:
        """Return the block with this section, in place of the region's old one, else last."""
        old = self.find(section.region)
        if old is None:
            return Block((*self.sections, section))
        return Block(tuple(section if kept is old else kept for kept in self.sections))

    def drop(self, region: str, stack_name: str) -> Block:
        """Return the block without what a stack put out in a region."""
        return Block(
            tuple(section for section in self.sections if (section.region, section.stack_name) != (region, stack_name))
        )

    def prefer(self, region: str) -> Block:
        """Return the block with this region, which it has, as the default.

        Raises:
            UserError: it has no such region.
        """
        chosen = self.find(region)
        if chosen is None:
            known = ", ".join(section.region for section in self.sections) or "none"
            raise UserError(f"{region} cannot be the default region: the configuration has {known}")
        return Block((chosen, *(section for section in self.sections if section is not chosen)))


def local_name(region: str) -> str:
    """Return the prefix under which HTCondor looks up a region's knobs."""
    return re.sub(r"[^A-Za-z0-9_./]", "_", region)


def section(stack_name: str, region: str, outputs: Mapping[str, str]) -> Section:
    """Return the section of one stack: today's knobs and those of the 8.7.0 guide.

    Args:
        stack_name: the stack's name.
        region: where it is.
        outputs: its outputs, by name.

    Raises:
        UserError: the stack lacks an output that a knob needs.
    """
    knobs = {}
    for knob in KNOBS:
        if knob.output in outputs:
            knobs[knob.name] = outputs[knob.output]
        elif not OUTPUTS[knob.output].optional:
            raise UserError(f"the stack {stack_name} has no output {knob.output}: run annex-bootstrap deploy")
    return Section(stack_name, outputs.get(Output.VERSION, "unknown"), region, knobs)


def render(stack_name: str, region: str, outputs: Mapping[str, str]) -> str:
    """Return the block for one stack alone, as text.

    Args:
        stack_name: the stack's name.
        region: where it is; it becomes the default region.
        outputs: its outputs, by name.

    Raises:
        UserError: the stack lacks an output that a knob needs.
    """
    return render_block(Block((section(stack_name, region, outputs),)))


def render_block(block: Block) -> str:
    """Return the block as text, from BEGIN to END; nothing for an empty block."""
    if not block.sections:
        return ""
    default = block.sections[0]
    lines = [BEGIN]
    for section in block.sections:
        lines.append(f"# Stack {section.stack_name}, version {section.version}, region {section.region}")
        regional = f"{local_name(section.region)}."
        prefix = "" if section is default else regional
        if section is default:
            lines.append(f"{REGION_KNOB} = {section.region}")
        # A knob that is missing here would be read from the default region, where it means another thing.
        missing = {name: "" for name in default.knobs if name not in section.knobs and name not in _REGIONAL_KNOBS}
        knobs = {**section.knobs, **missing}
        lines += [
            _line(regional if name in _REGIONAL_KNOBS else prefix, name, knobs[name])
            for name in knobs
            if name not in _GUIDE_KNOBS
        ]
        lines.append(GUIDE)
        lines += [_line(prefix, name, knobs[name]) for name in knobs if name in _GUIDE_KNOBS]
    return "".join(line + "\n" for line in [*lines, END])


def _line(prefix: str, name: str, value: str) -> str:
    return f"{prefix}{name} = {value}".rstrip()


def read_block(content: bytes) -> Block:
    """Return the block in a file's content; an empty one where there is none.

    Raises:
        UserError: its markers do not pair, or somebody edited it.
    """
    span = find_block(content)
    if span is None:
        return Block()
    first = content[: span[0]].count(b"\n") + 1
    sections: list[Section] = []
    for number, raw in enumerate(content[span[0] : span[1]].split(b"\n"), start=first):
        line = raw.decode(errors="replace").rstrip("\r")
        head, knob = _STACK_LINE.fullmatch(line), _KNOB_LINE.fullmatch(line)
        if head:
            sections.append(Section(head[1], head[2], head[3], {}))
        elif knob and sections and knob[1] in (None, local_name(sections[-1].region)):
            if knob[2] != REGION_KNOB and knob[3]:
                sections[-1] = replace(sections[-1], knobs={**sections[-1].knobs, knob[2]: knob[3]})
        elif line.strip() and not line.startswith("#"):
            raise UserError(
                f"line {number} in its annex-bootstrap block is not ours: move it out of the block, then try again"
            )
    return Block(tuple(sections))


def encode(text: str) -> bytes:
    """Return a text as it stands in a file; what was not UTF-8 there is what it was."""
    return text.encode(errors="surrogateescape")


def decode(content: bytes) -> str:
    """Return what a file holds as text, as Python has the names of files: also what is not UTF-8."""
    return content.decode(errors="surrogateescape")


def replace_block(content: bytes, text: str, name: str = STACK_BLOCK) -> bytes:
    """Put a block into a file's content: in place of the old one, else at the end.

    Args:
        content: the file as it is.
        text: all its lines; empty to remove the block.
        name: stands in its BEGIN and END lines. No name may begin with another.

    Returns:
        The new content; all bytes outside the block are those of ``content``.

    Raises:
        UserError: the markers of an old block do not pair.
    """
    span = find_block(content, name)
    if span is not None:
        added = _newlines_of(content[span[0] : span[1]])
        return content[: span[0]] + _with_newlines(encode(text), added) + content[span[1] :]
    # A last line that is unfinished or continued would swallow the first line of the block.
    unfinished = bool(content) and not content.endswith(b"\n")
    continued = content.removesuffix(b"\n").removesuffix(b"\r").endswith(b"\\")
    return content + _with_newlines(encode(text), unfinished + continued)


def _with_newlines(text: bytes, count: int) -> bytes:
    """Return a block with newlines before it that are removed with it, so that the file is what it was."""
    if not (text and count):
        return text
    first, newline, rest = text.partition(b"\n")
    return b"\n" * count + first + newline + _NEWLINES % count + rest


def _newlines_of(block: bytes) -> int:
    return len(block) - len(block.lstrip(b"\n"))


def find_block(content: bytes, name: str = STACK_BLOCK) -> tuple[int, int] | None:
    """Return where the block of that name begins and ends, or None.

    Raises:
        UserError: its markers do not pair.
    """
    begins, ends, position = [], [], 0
    # Only a newline ends a line for HTCondor; splitlines() knows more line ends than that.
    for line in content.split(b"\n"):
        if line.startswith(f"# BEGIN {name}".encode()):
            begins.append(position)
        position += len(line) + 1
        if line.startswith(f"# END {name}".encode()):
            ends.append(min(position, len(content)))
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or begins[0] >= ends[0]:
        raise UserError(
            f"its {name} block is damaged ({len(begins)} BEGIN and {len(ends)} END lines): "
            "repair or delete those lines, then try again"
        )
    own = _OWN_NEWLINES.match(content, begins[0])
    begin = begins[0] - int(own[1]) if own else begins[0]
    # Somebody may have put other lines there since.
    return begin if content[begin : begins[0]].strip(b"\n") == b"" else begins[0], ends[0]
