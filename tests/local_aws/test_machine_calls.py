"""The calls that a machine signs itself, answered by the local AWS."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

import pytest

from local_aws.launcher import REGION, LocalAws
from machine_image import aws_calls
from machine_image.aws_calls import Keys, RefusedError, SignedRequests

USERS = b"Action=ListUsers&Version=2010-05-08"


class Ahead(datetime):
    """A clock that is an hour ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # a plain time, as others compare
        """Return the time by this clock."""
        return datetime.now(tz) + timedelta(hours=1)


@pytest.fixture
def requests(local: LocalAws, monkeypatch: pytest.MonkeyPatch) -> SignedRequests:
    """A machine's requests, which trust the local AWS."""
    monkeypatch.setattr(aws_calls, "TRUSTED", str(local.ca_file))
    return SignedRequests(Keys(local.root.access_key_id, local.root.secret_access_key, ""))


def test_a_machines_signature_is_taken(local: LocalAws, requests: SignedRequests) -> None:
    assert b"<ListUsersResponse" in requests.send(f"{local.endpoint}/", USERS, "iam", REGION, "iam ListUsers", "POST")


def test_a_machine_whose_clock_is_wrong_by_an_hour_learns_the_time_from_a_refusal(
    local: LocalAws, requests: SignedRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws_calls, "datetime", Ahead)
    with pytest.raises(RefusedError, match=r"^iam ListUsers: 403 .*Signature not yet current"):
        requests.send(f"{local.endpoint}/", USERS, "iam", REGION, "iam ListUsers", "POST")
    assert b"<ListUsersResponse" in requests.send(f"{local.endpoint}/", USERS, "iam", REGION, "iam ListUsers", "POST")
