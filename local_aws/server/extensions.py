"""The extensions of MiniStack. Importing them changes nothing; calling them does.

No two of them replace the same function of MiniStack: what several need there has one owner, which the others call
or give their rules to. A test holds them to it.
"""

from __future__ import annotations

from collections.abc import Callable

from local_aws.server.cloudformation import (
    caller_rights,
    change_sets,
    conditions,
    deletion,
    early_validation,
    rollback,
    stack_names,
    template_url,
    validation,
)
from local_aws.server.ec2 import (
    attributes,
    encryption,
    endpoints,
    fleets,
    images,
    instance_types,
    instances,
    key_pairs,
    metadata,
    network_interfaces,
    regions,
    routes,
    scripts,
    security_groups,
    spot_fleets,
    spot_requests,
)
from local_aws.server.events import invocations, missing_rules, put_rule, schedule
from local_aws.server.iam import (
    authorization,
    decisions,
    deletions,
    messages,
    organisation,
    policy_sizes,
    role_boundaries,
    role_policies,
    service_linked_roles,
    users,
)
from local_aws.server.lambda_functions import environment, logs, networks, processes
from local_aws.server.logs import log_patterns
from local_aws.server.monitoring import alarm_dimensions
from local_aws.server.pricing import price_list
from local_aws.server.quotas import service_quotas
from local_aws.server.s3 import owners
from local_aws.server.s3 import permissions as s3_permissions
from local_aws.server.sts import sessions

EXTENSIONS: tuple[Callable[[], None], ...] = (
    alarm_dimensions.install,
    attributes.install,
    authorization.install,
    caller_rights.install,
    change_sets.install,
    conditions.install,
    images.install,
    decisions.install,
    deletion.install,
    deletions.install,
    early_validation.install,
    encryption.install,
    endpoints.install,
    environment.install,
    fleets.install,
    instance_types.install,
    instances.install,
    invocations.install,
    key_pairs.install,
    log_patterns.install,
    logs.install,
    messages.install,
    missing_rules.install,
    metadata.install,
    network_interfaces.install,
    networks.install,
    organisation.install,
    owners.install,
    policy_sizes.install,
    price_list.install,
    processes.install,
    put_rule.install,
    regions.install,
    role_boundaries.install,
    role_policies.install,
    rollback.install,
    routes.install,
    s3_permissions.install,
    schedule.install,
    scripts.install,
    security_groups.install,
    service_linked_roles.install,
    service_quotas.install,
    sessions.install,
    spot_fleets.install,
    spot_requests.install,
    stack_names.install,
    template_url.install,
    users.install,
    validation.install,
)
"""What ``app`` calls, in any order."""
