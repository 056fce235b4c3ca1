"""The query for CloudTrail in docs/operations.md finds who started, extended and ended what, and nothing else.

SQLite runs it, with Athena's function for JSON and its field of a structure under names that SQLite takes.
"""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any

import boto3

from docs_gen.facts import DOCS

USER = "arn:aws:iam::123456789012:user/alice"
FUNCTION = (
    "arn:aws:sts::123456789012:assumed-role/annex-bootstrap-LeaseFunctionRole-1A/annex-bootstrap-LeaseFunction-2B"
)
TARGET = "arn:aws:lambda:us-east-1:123456789012:function:annex-bootstrap-LeaseFunction-2B"
STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/annex-bootstrap/00000000-0000-0000-0000-000000000000"


def query() -> str:
    found = re.search(r"```sql\n(.*?)```", (DOCS / "operations.md").read_text(), re.DOTALL)
    assert found
    return found[1]


def run(*events: tuple[str, str, dict[str, Any], str | None]) -> list[tuple[str, str, str | None]]:
    """Return who did what to which annex, of events with a name, a caller, arguments and perhaps an error."""
    with sqlite3.connect(":memory:") as memory:
        memory.create_function(
            "json_extract_scalar", 2, lambda text, path: json.loads(text).get(path.removeprefix("$."))
        )
        memory.execute(
            "CREATE TABLE cloudtrail_logs (eventtime, eventname, useridentity, requestparameters, errorcode)"
        )
        memory.executemany(
            "INSERT INTO cloudtrail_logs VALUES (?, ?, ?, ?, ?)",
            [
                (f"2026-11-02T00:00:{second:02}Z", name, who, json.dumps(arguments), error)
                for second, (name, who, arguments, error) in enumerate(events)
            ],
        )
        rows = memory.execute(query().replace("useridentity.arn", "useridentity")).fetchall()
    return [(who, what, annex) for _, who, what, annex, _ in rows]


def test_the_life_of_an_annex_is_there_in_its_order() -> None:
    lease = {"rule": "blast", "targets": [{"arn": TARGET, "id": "blast"}]}
    assert run(
        ("PutRule", USER, {"name": "blast"}, None),
        ("PutTargets", USER, lease, None),
        ("CreateFleet", USER, {"tags": [{"key": "annex-bootstrap:stack", "value": STACK}]}, None),
        ("PutTargets", USER, lease, None),
        ("TerminateInstances", FUNCTION, {"instancesSet": {}}, None),
        ("RemoveTargets", FUNCTION, {"rule": "blast", "ids": ["blast"]}, None),
    ) == [
        (USER, "set the end of a lease", "blast"),
        (USER, "started machines", None),
        (USER, "set the end of a lease", "blast"),
        (FUNCTION, "ended machines", None),
        (FUNCTION, "removed a lease that was over", "blast"),
    ]


def test_what_was_refused_and_what_others_do_is_not() -> None:
    other = {"rule": "backup", "targets": [{"arn": TARGET.replace("annex-bootstrap", "other"), "id": "1"}]}
    assert (
        run(
            ("CreateFleet", USER, {"tags": [{"value": STACK}]}, "Client.UnauthorizedOperation"),
            ("CreateFleet", USER, {}, None),
            ("PutTargets", USER, other, None),
            ("TerminateInstances", USER, {"instancesSet": {}}, None),
        )
        == []
    )


def test_every_name_in_it_is_a_call_of_aws() -> None:
    session = boto3.Session("testing", "testing", region_name="us-east-1")
    known = {
        name for service in ("ec2", "events") for name in session.client(service).meta.service_model.operation_names
    }
    assert set(re.findall(r"WHEN '(\w+)'", query())) <= known
