"""What the stacks' outputs make of the block in the pool's configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from annex_bootstrap.aws import Account
from annex_bootstrap.pool import blocks, config_file
from annex_bootstrap.pool.blocks import Block
from annex_bootstrap.pool.file_knobs import beaten_image, beaten_knobs
from annex_bootstrap.stack.read import find_deployed
from annex_contract.knobs import IMAGE_KNOB


@dataclass(frozen=True)
class Pulled:
    """A configuration that names the stacks.

    Attributes:
        path: the file.
        changed: whether it had to be written.
        stack_name: the stacks' name.
        regions: where they are.
        warnings: what the file says without effect; a sentence each.
    """

    path: Path
    changed: bool
    stack_name: str
    regions: Sequence[str]
    warnings: Sequence[str] = ()

    def __str__(self) -> str:
        """Say it in one sentence."""
        named = "now names" if self.changed else "already names"
        return f"{self.path} {named} the stack {self.stack_name} in {' and '.join(self.regions)}."

    def document(self) -> Mapping[str, object]:
        """Return it as a part of a JSON document."""
        return {"path": str(self.path), "changed": self.changed}


def read_change(
    accounts: Sequence[Account], stack_name: str, default_region: str | None = None
) -> Callable[[Block], Block]:
    """Read the stacks, and return what they make of the block.

    Args:
        accounts: where the stacks are.
        stack_name: their name.
        default_region: the region of annexes for which condor_annex gets none; None keeps what the block has.

    Raises:
        UserError: a stack cannot be read.
    """
    sections = [
        blocks.section(stack_name, account.region, find_deployed(account, stack_name).outputs) for account in accounts
    ]

    def change(block: Block) -> Block:
        for section in sections:
            block = block.put(section)
        return block.prefer(default_region) if default_region else block

    return change


def pull(
    accounts: Sequence[Account], stack_name: str, config: Path | None, default_region: str | None = None
) -> Pulled:
    """Write the block into the configuration.

    Args:
        accounts: where the stacks are.
        stack_name: their name.
        config: the pool's configuration file, or None for the one that HTCondor names.
        default_region: as for ``read_change``.

    Raises:
        UserError: a stack cannot be read, or the configuration cannot be written.
    """
    path = config_file.find_file(config)
    changed = config_file.update(path, read_change(accounts, stack_name, default_region))
    regions = [account.region for account in accounts]
    return Pulled(path, changed, stack_name, regions, [*knob_warnings(path, regions), *image_warnings(path, regions)])


def knob_warnings(path: Path, regions: Sequence[str]) -> list[str]:
    """Return a sentence for every region in which other lines of a configuration file go before the stack's block.

    Args:
        path: the file.
        regions: of the stacks.
    """
    content = path.read_bytes()
    beaten = {region: beaten_knobs(content, region) for region in regions}
    return [
        f"{path} has lines outside the stack's block that go before it in {region}, as condor_annex -setup writes them:"
        f" delete {', '.join(names)}"
        for region, names in beaten.items()
        if names
    ]


def image_warnings(path: Path, regions: Sequence[str]) -> list[str]:
    """Return a sentence for every region in which the image that a configuration file names does not start.

    Args:
        path: the file.
        regions: of the stacks.
    """
    content = path.read_bytes()
    images = {region: beaten_image(content, region) for region in regions}
    return [
        f"{path} names the image {image}, which does not start in {region}, because the stack's or HTCondor's own image"
        f" goes before it: at the end of the file, write {blocks.local_name(region)}.{IMAGE_KNOB} = {image}"
        for region, image in images.items()
        if image is not None
    ]
