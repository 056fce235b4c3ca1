"""What ``make demo`` prints, in ``docs/demo.md``, and a picture of it. ``python -m docs_gen.terminal`` writes both.

It runs the demo, which takes half a minute. The picture is drawn from the page alone, and checked without a run.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from template_gen.archive import ROOT

PAGE = ROOT / "docs" / "demo.md"
COMMAND = "$ make demo"

COLUMNS = 80
LINES = 7
"""Most lines of one step in the picture, beside those that say how it ended."""

LIGHT = TerminalTheme((251, 251, 250), (29, 37, 41), [(29, 37, 41)] * 2 + [(26, 112, 58)] + [(29, 37, 41)] * 5)
DARK = TerminalTheme((20, 25, 28), (230, 234, 236), [(230, 234, 236)] * 2 + [(111, 214, 130)] + [(230, 234, 236)] * 5)
THEMES: Mapping[str, TerminalTheme] = {"light": LIGHT, "dark": DARK}

SVG = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img" aria-label="make demo in a terminal">
<style>
.{unique_id}-matrix {{
  font: {char_height}px/{line_height}px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
}}
.{unique_id}-title {{ font: 18px system-ui, sans-serif }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""Rich's own has fonts from elsewhere."""

EVENT = re.compile(r"  \d\d:\d\d:\d\d  ")
ROW = re.compile(r"\d\d:\d\d:\d\d  annex=\S+  (?!gone)")
HEADING = re.compile(r"\S.*?(?=  )")
GOOD = ("CREATE_COMPLETE: ", "DELETE_COMPLETE: ", "No problems found", "Started ", "Resources left over: 0")
"""How the lines begin that say that a step has succeeded."""


def record() -> list[str]:
    """Run the demo and return what it printed, with most events of the stacks left out."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    demo = [sys.executable, "-m", "annex_bootstrap", "demo"]
    # A dumb terminal shows no live tables and no colours.
    with subprocess.Popen(demo, env={**os.environ, "TERM": "dumb"}, stdin=theirs, stdout=theirs, stderr=theirs) as ran:
        os.close(theirs)
        got = b""
        # The last reader of a terminal whose other side is closed gets an error.
        with contextlib.suppress(OSError):
            while part := os.read(ours, 65536):
                got += part
        os.close(ours)
    if ran.returncode:
        raise subprocess.CalledProcessError(ran.returncode, demo, got)
    printed = got.decode().replace("\r\n", "\n").strip()
    return list(_shorten(re.sub(r"(annex-demo-)\w+", r"\1xxxxxxxx", printed).splitlines()))


def _shorten(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines without most events of the stacks, and without the rows of an annex between its first and last.

    How many of those there are depends on how fast the machine is.
    """
    lines = _without_rows(lines)
    for is_event, group in groupby(lines, lambda line: bool(EVENT.match(line))):
        several = list(group)
        if is_event and len(several) > 2:
            yield from (several[0], f"  ... ({len(several) - 2} more)", several[-1])
        else:
            yield from several


def _without_rows(lines: Iterable[str]) -> Iterator[str]:
    rows = 0
    for line in lines:
        if ROW.match(line):
            rows += 1
        elif not line.startswith("  "):
            rows = 0
        if rows < 2:
            yield line


def read() -> list[str]:
    """Return what the page says that the demo prints."""
    block = re.search(rf"^```console\n{re.escape(COMMAND)}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert block is not None, "docs/demo.md has no block of the demo"
    return block[1].splitlines()


def lasting(lines: Iterable[str]) -> list[str]:
    """Return lines without what differs between two runs: numbers, IDs, and which resource is first or last."""
    numberless = (re.sub(r"\b[0-9a-fA-F]*\d[0-9a-fA-F]*\b", "0", line) for line in lines)
    return [re.sub(r"(  0:0:0  \w+) .*", r"\1", line) for line in numberless]


def write(lines: Iterable[str]) -> None:
    """Put what the demo printed into the page."""
    block = "\n".join(["```console", COMMAND, *lines, "```"])
    PAGE.write_text(re.sub(r"^```console\n.*?^```$", lambda _: block, PAGE.read_text(), flags=re.DOTALL | re.MULTILINE))


def draw(lines: Iterable[str], scheme: str) -> str:
    """Return the picture of a terminal as SVG.

    Args:
        lines: that the demo printed.
        scheme: ``light`` or ``dark``.
    """
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text(COMMAND, "bold"))
    for line in _excerpt(lines):
        console.print(_styled(line), no_wrap=True, overflow="ellipsis")
    svg = console.export_svg(title="make demo", theme=THEMES[scheme], code_format=SVG, unique_id="demo")
    return "".join(f"{line.rstrip()}\n" for line in svg.splitlines() if line.strip())


def _excerpt(lines: Iterable[str]) -> Iterator[str]:
    """Return the first lines of every step, and how it ended. An empty line ends a part of a step."""
    for is_part, group in groupby(lines, bool):
        part = list(group)
        ends = [line for line in part if line.startswith(GOOD)]
        if is_part:
            yield ""
            yield from part if len(part) <= LINES else [*part[: LINES - 1], "  ...", *ends]


def _styled(line: str) -> Text:
    text = Text(line)
    heading = HEADING.match(line)
    if line.startswith("$ "):
        text.stylize("bold")
    elif line.startswith(GOOD):
        text.stylize("green")
    elif heading:
        text.stylize("bold", end=heading.end())
    return text


def main() -> None:
    """Run the demo, and write the page, where it prints something else than before, and the pictures."""
    recorded = record()
    if lasting(recorded) != lasting(read()):
        write(recorded)
    for scheme in THEMES:
        (PAGE.parent / f"demo-{scheme}.svg").write_text(draw(read(), scheme))


if __name__ == "__main__":
    main()
