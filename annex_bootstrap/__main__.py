"""``python -m annex_bootstrap``: the same as the command ``annex-bootstrap``."""

from annex_bootstrap.cli import main

main()
