"""``python -m annex_bootstrap``: the same as the command ``annex-bootstrap``."""

from annex_bootstrap.main import main

main()
