"""``python -m tests.machines.local_command``: ``annex-bootstrap local --machines``, in a network without a way out.

There it gets Debian's packages from where all of these tests do, and the image where an earlier test has built it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

from annex_bootstrap.main import main
from local_aws.machines import here, packages
from local_aws.machines.settings import MachineSettings
from tests.machines.given import read
from tests.machines.laboratory import built_image

given = read()
assert given is not None
socket = Path(given.packages)


@contextmanager
def _offered(path: Path, origins: Mapping[str, str]) -> Iterator[None]:
    assert origins == {}
    path.symlink_to(socket)
    yield


if __name__ == "__main__":
    sys.argv[1:] = ["local", "--machines"]
    with_image = partial(MachineSettings, built=built_image(given))
    with (
        patch.multiple(packages, sources=dict, offered=_offered),
        patch.object(here, "MachineSettings", with_image),
    ):
        main()
