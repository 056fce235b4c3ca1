"""The stacks of root's configuration, for all users of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from annex_bootstrap.pool import config_file
from annex_bootstrap.pool.blocks import Block, Section, render_block
from annex_bootstrap.pool.htcondor import Configuration
from annex_bootstrap.pool.shared import share, shared_sections

LINE = "ANNEX_BOOTSTRAP_STACKS = mine@eu-west-1 lab@us-east-1\n"


@pytest.fixture
def in_force(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The configuration of a machine whose root has named two stacks."""
    root = tmp_path / "user_config"
    block = Block((Section("mine", "1", "eu-west-1"), Section("lab", "1", "us-east-1")))
    root.write_text(render_block(block))
    (tmp_path / "config.d").mkdir()
    values = {"USER_CONFIG_FILE": str(root), "LOCAL_CONFIG_DIR": str(tmp_path / "config.d")}
    monkeypatch.setattr(Configuration, "ask", lambda _, knob: values.get(knob, ""))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    return values


def test_root_leaves_one_line_that_follows_its_own_configuration(in_force: dict[str, str], tmp_path: Path) -> None:
    shared = tmp_path / "config.d" / "90-annex-pool.config"
    assert share(None) == shared
    assert LINE in shared.read_text()
    assert share(None) is None
    config_file.update(Path(in_force["USER_CONFIG_FILE"]), lambda block: block.drop("eu-west-1", "mine"))
    assert share(None) == shared
    assert "ANNEX_BOOTSTRAP_STACKS = lab@us-east-1\n" in shared.read_text()
    config_file.update(Path(in_force["USER_CONFIG_FILE"]), lambda _: Block())
    assert share(None) == shared
    assert not shared.exists()
    assert share(None) is None


def test_what_pool_config_wrote_there_stays(in_force: dict[str, str], tmp_path: Path) -> None:
    shared = tmp_path / "config.d" / "90-annex-pool.config"
    shared.write_text("# BEGIN annex-pool: made up\n# END annex-pool\n")
    share(None)
    assert shared.read_text().startswith("# BEGIN annex-pool: made up\n# END annex-pool\n# BEGIN annex-stacks: ")
    config_file.update(Path(in_force["USER_CONFIG_FILE"]), lambda _: Block())
    share(None)
    assert shared.read_text() == "# BEGIN annex-pool: made up\n# END annex-pool\n"


def test_nobody_else_does_nor_for_a_file_that_was_named_nor_without_a_directory(
    in_force: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert share(tmp_path / "user_config") is None
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert share(None) is None
    monkeypatch.setattr("os.geteuid", lambda: 0)
    del in_force["LOCAL_CONFIG_DIR"]
    assert share(None) is None
    assert list((tmp_path / "config.d").iterdir()) == []


def test_other_users_read_the_stacks_there_the_default_regions_first(in_force: dict[str, str]) -> None:
    assert shared_sections() == []
    in_force["ANNEX_BOOTSTRAP_STACKS"] = "mine@eu-west-1, lab@us-east-1 what-is-this @"
    assert shared_sections() == [Section("mine", "", "eu-west-1"), Section("lab", "", "us-east-1")]
