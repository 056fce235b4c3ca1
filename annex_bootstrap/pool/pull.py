"""What the stacks' outputs make of the block in the pool's configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from annex_bootstrap.pool import blocks, config_file
from annex_bootstrap.pool.blocks import Block
from annex_bootstrap.pool.file_knobs import overridden_image, overridden_knobs
from annex_bootstrap.stack.read import Stack
from annex_contract.knobs import IMAGE_KNOB


@dataclass(frozen=True)
class Pulled:
    """A configuration that names the stacks.

    Attributes:
        config: the file.
        changed: whether it had to be written.
        warnings: what the file says without effect; a sentence each.
    """

    config: Path
    changed: bool
    warnings: tuple[str, ...] = ()


def put_stacks(stacks: Mapping[str, Stack], default_region: str | None = None) -> Callable[[Block], Block]:
    """Return what the stacks make of the block.

    Args:
        stacks: by their regions.
        default_region: the region of annexes for which condor_annex gets none; None keeps what the block has.

    Raises:
        UserError: a stack lacks an output that a knob needs.
    """
    sections = [blocks.section(stack.name, region, stack.outputs) for region, stack in stacks.items()]

    def change(block: Block) -> Block:
        for section in sections:
            block = block.put(section)
        return block.prefer(default_region) if default_region else block

    return change


def pull(stacks: Mapping[str, Stack], path: Path, default_region: str | None = None) -> Pulled:
    """Write the block into a configuration file; the arguments are those of ``put_stacks``.

    Raises:
        UserError: a stack lacks an output that a knob needs, or the file cannot be written.
    """
    changed = config_file.update(path, put_stacks(stacks, default_region))
    return Pulled(path, changed, (*knob_warnings(path, [*stacks]), *image_warnings(path, [*stacks])))


def knob_warnings(path: Path, regions: Sequence[str]) -> list[str]:
    """Return a sentence for every region in which other lines of a configuration file override the stack's block.

    Args:
        path: the file.
        regions: of the stacks.
    """
    content = path.read_bytes()
    overriding = {region: overridden_knobs(content, region) for region in regions}
    return [
        f"{path} has lines outside the stack's block that override it in {region}, as condor_annex -setup writes them:"
        f" delete {', '.join(names)}"
        for region, names in overriding.items()
        if names
    ]


def image_warnings(path: Path, regions: Sequence[str]) -> list[str]:
    """Return a sentence for every region in which the image that a configuration file names does not start.

    Args:
        path: the file.
        regions: of the stacks.
    """
    content = path.read_bytes()
    images = {region: overridden_image(content, region) for region in regions}
    return [
        f"{path} names the image {image}, which does not start in {region}, because the stack's or HTCondor's own image"
        f" overrides it: at the end of the file, write {blocks.local_name(region)}.{IMAGE_KNOB} = {image}"
        for region, image in images.items()
        if image is not None
    ]
