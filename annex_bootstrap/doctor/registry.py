"""All checks of the doctor, in the order in which their findings are shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from annex_bootstrap.advice import name_policy
from annex_bootstrap.doctor import (
    account_checks,
    file_checks,
    function_checks,
    machine_checks,
    pool_checks,
    role_checks,
    stack_checks,
)
from annex_bootstrap.doctor.check import Check, Finding, Setup
from annex_bootstrap.errors import UserError

CHECKS: Sequence[type[Check]] = (
    account_checks.AwsCredentials,
    account_checks.Quota,
    stack_checks.StackCheck,
    stack_checks.Bucket,
    function_checks.LeaseFunction,
    function_checks.OrphanCheck,
    stack_checks.Parts,
    function_checks.ConnectivityFunction,
    role_checks.InstanceProfile,
    role_checks.FleetRole,
    stack_checks.SecurityGroup,
    stack_checks.Subnets,
    stack_checks.Image,
    account_checks.PolicyHolders,
    account_checks.RightToStart,
    stack_checks.EncryptionKey,
    function_checks.AlarmMail,
    file_checks.ConfigurationCheck,
    file_checks.Keys,
    pool_checks.HTCondor,
    pool_checks.AnnexFeature,
    pool_checks.AccessPointCollector,
    pool_checks.Token,
    pool_checks.AnnexPassword,
    pool_checks.AnnexDirectory,
    pool_checks.PoolUsers,
    pool_checks.PoolPassword,
    pool_checks.UsersImage,
    pool_checks.Collector,
    machine_checks.Machines,
    machine_checks.Replacements,
    file_checks.FleetFile,
    file_checks.FleetImages,
    file_checks.FleetTypes,
)


def examine(setup: Setup) -> Iterator[Finding]:
    """Run every check, one after another.

    Yields:
        The findings, as they come, of the checks that have something to say about this setup; for those who have set
        up nothing and start annexes, only of what they need.
    """
    for check in [each for each in CHECKS if each.for_starters] if setup.only_starts else CHECKS:
        try:
            facts = check.read(setup)
            finding = None if facts is None else facts.judge()
        except UserError as error:
            text = name_policy(str(error), "start") if setup.only_starts else str(error)
            finding = check.problem("it cannot be checked", text)
        if finding is not None:
            yield finding
