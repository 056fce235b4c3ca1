"""``python -m tests.live``: says what it would do and cost, and does it where that is agreed to."""

from __future__ import annotations

import signal
import sys

from annex_bootstrap.aws import connect
from annex_bootstrap.errors import UserError
from tests.live.options import announcement, parse
from tests.live.run import live


def main(arguments: list[str]) -> int:
    """Run the command line.

    Returns:
        The exit code: 2 where it was not agreed to.
    """
    options = parse(arguments)
    try:
        deployer = connect(options.region, options.deployer)
        operator, auditor = (connect(deployer.region, profile) for profile in (options.operator, options.auditor))
        accounts = {profile.account_id for profile in (deployer, operator, auditor)}
        if len(accounts) > 1:
            raise UserError(f"the profiles are of several accounts: {', '.join(sorted(accounts))}")
    except UserError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    sys.stdout.write(announcement(options, deployer.partition, deployer.account_id, deployer.region))
    if not (options.agreed or options.clean_up):
        sys.stderr.write("\nNothing was done: it costs money. Give --yes-this-costs-money to go ahead.\n")
        return 2
    # Whoever ends the process wants what Ctrl-C wants.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return live(options, deployer, operator, auditor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
