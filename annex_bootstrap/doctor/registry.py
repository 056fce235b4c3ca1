"""All checks of the doctor, in the order in which their findings are shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from annex_bootstrap.doctor import aws_checks, file_checks, machine_checks, pool_checks
from annex_bootstrap.doctor.check import Check, Finding, Setup
from annex_bootstrap.errors import UserError

CHECKS: Sequence[type[Check]] = (
    aws_checks.AwsCredentials,
    aws_checks.Quota,
    aws_checks.StackCheck,
    aws_checks.Bucket,
    aws_checks.LeaseFunction,
    aws_checks.OrphanCheck,
    aws_checks.Parts,
    aws_checks.ConnectivityFunction,
    aws_checks.InstanceProfile,
    aws_checks.FleetRole,
    aws_checks.SecurityGroup,
    aws_checks.Subnets,
    aws_checks.Image,
    aws_checks.PolicyHolders,
    aws_checks.EncryptionKey,
    aws_checks.AlarmMail,
    file_checks.ConfigurationCheck,
    file_checks.Keys,
    pool_checks.HTCondor,
    pool_checks.AnnexFeature,
    pool_checks.AccessPointCollector,
    pool_checks.Token,
    pool_checks.AnnexPassword,
    pool_checks.AnnexDirectory,
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
        The findings, as they come, of the checks that have something to say about this setup.
    """
    for check in CHECKS:
        try:
            facts = check.read(setup)
            finding = None if facts is None else facts.judge()
        except UserError as error:
            finding = check.problem("it cannot be checked", str(error))
        if finding is not None:
            yield finding
