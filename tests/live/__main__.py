"""``python -m tests.live``: says what it would do and cost, and does it where that is agreed to."""

from __future__ import annotations

import json
import signal
import sys

from annex_bootstrap.aws import connect
from annex_bootstrap.errors import UserError
from tests.live.options import announcement, helper_policy, parser, read
from tests.live.run import live


def main(arguments: list[str]) -> int:
    """Run the command line.

    Returns:
        The exit code: 2 where it was not agreed to.
    """
    given = parser().parse_args(arguments)
    options = read(given)
    try:
        deployer = connect(options.region, options.deployer)
        if given.helper_policy:
            sys.stdout.write(json.dumps(helper_policy(deployer.partition, deployer.account_id), indent=2) + "\n")
            return 0
        others = (options.operator, options.auditor, options.helper)
        operator, auditor, helper = (connect(deployer.region, profile) for profile in others)
        accounts = {each.account_id for each in (deployer, operator, auditor, helper)}
        if len(accounts) > 1:
            raise UserError(f"the profiles are of several accounts: {', '.join(sorted(accounts))}")
    except UserError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    sys.stdout.write(announcement(options, deployer.partition, deployer.account_id, deployer.region))
    if not (options.agreed or options.clean_up):
        sys.stderr.write("\nNothing was done: it costs money. Give --yes-this-costs-money to go ahead.\n")
        return 2
    # Anyone who ends the process wants what Ctrl-C wants.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return live(options, deployer, operator, auditor, helper)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
