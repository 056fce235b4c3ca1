"""MiniStack's ASGI ``app`` with what condor_annex, the lease and our policies need and MiniStack lacks.

Serve ``local_aws.server:app`` where one would serve ``ministack.app:app``. Importing this package
changes MiniStack's modules, so import it in the server's process only. ``AUTH=true`` decides whether IAM is
enforced, as ever.

``ANNEX_BOOTSTRAP_SCHEDULE_SPEED`` (a number above 0, default 1) makes ``rate()`` rules fire that many times
faster: with 60, ``rate(5 minutes)`` fires every 5 seconds.
"""

from __future__ import annotations

import importlib.metadata
import os
import signal
import sys
import threading

MINISTACK_VERSION = "1.5.33"
SCHEDULE_SPEED = "ANNEX_BOOTSTRAP_SCHEDULE_SPEED"

_installed = importlib.metadata.version("ministack")
if _installed != MINISTACK_VERSION:
    raise ImportError(
        f"local_aws.server needs exactly MiniStack {MINISTACK_VERSION}, not {_installed}: "
        f"pip install ministack=={MINISTACK_VERSION}"
    )

# After the check, because these modules reach into MiniStack as soon as they are imported.
from ministack.app import app  # noqa: E402

from local_aws.server.cloudformation import change_sets, rollback, stack_names, template_url  # noqa: E402
from local_aws.server.ec2 import (  # noqa: E402
    instance_types,
    instances,
    key_pairs,
    metadata,
    security_groups,
    spot_fleets,
)
from local_aws.server.ec2 import permissions as ec2_permissions  # noqa: E402
from local_aws.server.events import permissions as events_permissions  # noqa: E402
from local_aws.server.events import schedule  # noqa: E402
from local_aws.server.iam import authorization, role_policies, service_linked_roles  # noqa: E402
from local_aws.server.iam import permissions as iam_permissions  # noqa: E402
from local_aws.server.logs import log_patterns  # noqa: E402
from local_aws.server.pricing import price_list  # noqa: E402

__all__ = ["app"]

instances.install()
instance_types.install()
price_list.install()
metadata.install()
spot_fleets.install()
security_groups.install()
authorization.install({"ec2": ec2_permissions.RULES, "iam": iam_permissions.RULES})
events_permissions.install()
service_linked_roles.install()
key_pairs.install()
log_patterns.install()
role_policies.install()
rollback.install()
stack_names.install()
change_sets.install()
template_url.install()
schedule.install(float(os.environ.get(SCHEDULE_SPEED, "1")))


def _end_with_starter() -> None:
    """End this process and its functions when the starter closes our standard input, or dies."""
    sys.stdin.buffer.read()
    # The group holds the functions; a starter that gave the server no group of its own would go with it.
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(0)


threading.Thread(target=_end_with_starter, name="end-with-starter", daemon=True).start()
