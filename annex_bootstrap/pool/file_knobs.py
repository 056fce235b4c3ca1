"""The knobs that name files: a block of its own in the user's configuration, beside the stack's block.

Several commands write into it, each its own knobs. Knobs of a region have its local name as prefix. Those of
the default region are repeated without it, for the tools of 8.7.0, which know no local names.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from pathlib import Path

from annex_bootstrap.pool.blocks import decode, find_block, local_name, read_block, replace_block
from annex_bootstrap.pool.config_file import rewrite_file
from annex_bootstrap.pool.htcondor import Daemon, version, with_content
from annex_contract.knobs import IMAGE_KNOB, KNOBS, REGION_KNOB, REGIONS_WITH_IMAGE

BLOCK = "annex-files"

_BEGIN = f"# BEGIN {BLOCK}: written by `annex-bootstrap credentials` and `fleet-config`; do not edit up to END."
_END = f"# END {BLOCK}"
_CONTINUED = re.compile(rb"\\[ \t]*\n")
_ONLY_HTCONDOR = re.compile(rb"^[ \t]*(?:if|use|include)\b|@=|\$[A-Za-z_]*\(", re.MULTILINE | re.IGNORECASE)
_KNOB = re.compile(rb"^([A-Za-z0-9_./]+) = (.*)$", re.MULTILINE)
_DEFAULT_REGION = re.compile(rb"^[ \t]*" + REGION_KNOB.encode() + rb"[ \t]*=[ \t]*(\S+)", re.MULTILINE | re.IGNORECASE)


def set_knobs(content: bytes, region: str, changes: Mapping[str, str | None]) -> bytes:
    """Set knobs of one region in the block, and keep those of others.

    Args:
        content: the configuration file as it is.
        region: such as ``us-east-1``.
        changes: values by the knobs' plain names; None removes a knob.

    Returns:
        The new content; all bytes outside the block are those of ``content``.

    Raises:
        UserError: the markers of the block do not pair.
    """
    span = find_block(content, BLOCK)
    knobs = {decode(name): decode(value) for name, value in _KNOB.findall(content, *span)} if span else {}
    for name, value in changes.items():
        for key in (f"{local_name(region)}.{name}", *([name] if _is_default(content, region) else [])):
            if value is not None:
                knobs[key] = value
            else:
                knobs.pop(key, None)
    lines = [f"{key} = {knobs[key]}" for key in sorted(knobs)]
    return replace_block(content, "\n".join([_BEGIN, *lines, _END, ""]) if lines else "", BLOCK)


def _is_default(content: bytes, region: str) -> bool:
    named = _DEFAULT_REGION.findall(content)
    return not named or decode(named[-1]) == region


def write_knobs(path: Path, region: str, changes: Mapping[str, str | None]) -> bool:
    """Set knobs of one region in a configuration file.

    Args:
        path: the file.
        region: such as ``us-east-1``.
        changes: values by the knobs' plain names; None removes a knob.

    Returns:
        Whether anything changed.

    Raises:
        UserError: the file cannot be read or written, or its block is damaged; nothing was changed.
    """
    return rewrite_file(path, lambda content: set_knobs(content, region, changes))


def read_knob(content: bytes, region: str, name: str) -> str:
    """Return a file's value of a region's knob as HTCondor reads it: the last definition, the region's own first.

    Args:
        content: of the configuration file.
        region: such as ``us-east-1``.
        name: the knob's plain name.

    Returns:
        The value without macros expanded; nothing where it is not defined.
    """
    own = _last_value(content, f"{local_name(region)}.{name}")
    return (own if own is not None else _last_value(content, name)) or ""


def _last_value(content: bytes, key: str) -> str | None:
    pattern = rb"^[ \t]*" + re.escape(key.encode()) + rb"[ \t]*=[ \t]*(.*?)[ \t]*$"
    found: list[bytes] = re.findall(pattern, _lines(content), re.MULTILINE | re.IGNORECASE)
    return decode(found[-1]) if found else None


def _lines(content: bytes) -> bytes:
    """Return a file with what HTCondor passes over in it: a mark of its encoding, other line ends, continued lines."""
    return _CONTINUED.sub(b"", content.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n"))


def evaluate(path: Path, content: bytes, region: str) -> dict[str, str] | None:
    """Return the knobs of a region as HTCondor's tools read them with a configuration file.

    Args:
        path: of the file, which is read last where HTCondor does not read it yet.
        content: of it.
        region: such as ``us-east-1``.

    Returns:
        Values by names in capitals; None where there is no HTCondor to ask.

    Raises:
        UserError: HTCondor cannot read the file.
    """
    if version() is None:
        return None
    with with_content(path, content, only_user=True) as configuration:
        return configuration.values(Daemon("TOOL", local_name(region)))


def needs_htcondor(content: bytes) -> bool:
    """Tell whether only HTCondor knows what a file says: it has macros, conditions or other files in it."""
    return _ONLY_HTCONDOR.search(_lines(content)) is not None


def overridden_image(content: bytes, region: str) -> str | None:
    """Return the user's image that does not start in a region, because the stack's or HTCondor's own overrides it.

    Args:
        content: of the configuration file.
        region: such as ``us-east-1``.

    Returns:
        None where the user's image starts, or the file names none outside the stack's block.

    Raises:
        UserError: the markers of the stack's block do not pair.
    """
    prefixed = f"{local_name(region)}.{IMAGE_KNOB}"
    own = replace_block(content, "")
    image = _last_value(own, prefixed) or _last_value(own, IMAGE_KNOB)
    starts = _last_value(content, prefixed)
    beaten = region in REGIONS_WITH_IMAGE if starts is None else starts != image
    return image if image and beaten else None


def overridden_knobs(content: bytes, region: str) -> list[str]:
    """Return what the file defines outside the stack's block and HTCondor takes instead of the block's values.

    `condor_annex -setup` leaves such lines: it writes every knob with the region's prefix.

    Args:
        content: of the configuration file.
        region: such as ``us-east-1``.

    Returns:
        The names as the file has them, with their prefix. Never the image and the machines' type: a user may choose.

    Raises:
        UserError: the stack's block is damaged.
    """
    section = read_block(content).find(region)
    if section is None:
        return []
    beaten = []
    for knob in KNOBS:
        value = section.knobs.get(knob.name)
        if value and not knob.guide and not knob.regional and read_knob(content, region, knob.name) != value:
            prefixed = f"{local_name(region)}.{knob.name}"
            beaten.append(knob.name if _last_value(content, prefixed) is None else prefixed)
    return beaten
