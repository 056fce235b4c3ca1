"""The account's quotas of vCPUs of running standard machines: how large they are, and how to ask for more."""

from __future__ import annotations

from annex_bootstrap.aws import Account, explained

QUOTAS = {False: "L-1216C47A", True: "L-34B43A08"}
"""The codes of the quotas on demand and on the spot market:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-quotas.html"""


def read_quota(account: Account, *, spot: bool) -> int:
    """Return how many vCPUs may run at once in the account's region.

    Args:
        account: where.
        spot: whether on the spot market.

    Raises:
        DeniedError: the credentials may not read quotas.
        UserError: AWS refused for another reason.
    """
    with explained("reading the quota of vCPUs"):
        return int(account.quotas.get_service_quota(ServiceCode="ec2", QuotaCode=QUOTAS[spot])["Quota"]["Value"])


def increase_command(region: str, vcpus: int | str, *, spot: bool) -> str:
    """Return the command that asks AWS for a larger quota.

    Args:
        region: where.
        vcpus: how many, or a word for somebody to replace.
        spot: whether on the spot market.
    """
    return (
        f"aws service-quotas request-service-quota-increase --region {region} "
        f"--service-code ec2 --quota-code {QUOTAS[spot]} --desired-value {vcpus}"
    )
