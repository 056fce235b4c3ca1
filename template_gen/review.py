"""``python -m template_gen.review``: write the list of reviewed files of libraries again, from what is installed."""

from __future__ import annotations

import hashlib

from template_gen.archive import third_party_files
from template_gen.functions import ARCHIVES
from template_gen.third_party import LIST, read_unchecked


def main() -> None:
    """Write the list."""
    installed = {file for archive in ARCHIVES for file in third_party_files(archive)}
    LIST.write_text(
        "".join(f"{hashlib.sha256(read_unchecked(*file)).hexdigest()}  {file[1]}\n" for file in sorted(installed))
    )


if __name__ == "__main__":
    main()
