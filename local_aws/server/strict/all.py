"""Everything that may go wrong. Importing it changes nothing; calling it does, on top of the extensions."""

from __future__ import annotations

from collections.abc import Callable

from local_aws.server.strict import late_events, late_iam, late_reads, late_resources, requests

STRICT: tuple[Callable[[], None], ...] = (
    late_events.install,
    late_iam.install,
    late_reads.install,
    late_resources.install,
    requests.install,
)
"""What ``app`` calls where AWS is at its worst."""
