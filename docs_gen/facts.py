"""The tables of facts in ``docs/``: parameters, outputs, roles, limits. ``python -m docs_gen.facts`` writes them.

Each table stands between two comments that name it: the page is written by hand, its tables are generated.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from annex_bootstrap.launch.launch_links import CONSOLES, REGIONS
from annex_contract.knobs import KNOBS
from annex_contract.lease import ANNEX_ID_LENGTH, TICK_MINUTES
from annex_contract.stack import LogicalId, Output, Parameter, Part
from docs_gen.permissions import chosen, statements_of
from lambda_lease.sweeper import GRACE_SECONDS
from template_gen import custom, template
from template_gen.archive import ROOT
from template_gen.functions import ARCHITECTURE, RUNTIME
from template_gen.outputs import DESCRIPTIONS
from template_gen.parameters import GROUPS

DOCS = ROOT / "docs"


def parameters() -> str:
    """Return the stack's parameters."""
    rows = [
        (f"`{parameter.name}`", f"`{parameter.default}`" if str(parameter.default) else "empty", parameter.description)
        for _, inputs in GROUPS
        for parameter in inputs
    ]
    return _table(("Parameter", "Default", "Description"), rows)


def outputs() -> str:
    """Return the stack's outputs and the knobs that each one sets."""
    rows = []
    for output in Output:
        knobs = [f"`{knob.name}`" for knob in KNOBS if knob.output is output]
        rows.append((f"`{output}`", DESCRIPTIONS[output], "<br>".join(knobs) or "none"))
    return _table(("Output", "Description", "HTCondor knobs"), rows)


def roles() -> str:
    """Return what each role and policy of the stack allows, in the words of its Sids."""
    resources = _resources()
    rows = []
    for name, resource in resources.items():
        if resource["Type"] == "AWS::Lambda::Function":
            holder = resource["Properties"]["Description"].partition(": ")[2]
            rows.append((f"`{Part.ROLE.of(name)}`", holder, _purposes(statements_of(resources, name))))
    for name, holder in (
        (LogicalId.ANNEX_USER_POLICY, "for the user that runs condor_annex"),
        (LogicalId.START_POLICY, "for users of annex-bootstrap start"),
    ):
        rows.append((f"`{name}`", holder, _purposes(resources[name]["Properties"]["PolicyDocument"]["Statement"])))
    return _table(("Role or policy", "Holder", "May"), rows)


def open_ports() -> str:
    """Return what is open to the world by default, and the parameter that closes it."""
    given = {parameter.name: parameter for _, inputs in GROUPS for parameter in inputs}
    rows = [
        (f"{port}", what, f"`{given[name].default}`", f"`--param {name}=192.0.2.0/24`", f"`--param {name}=`")
        for port, what, name in (
            (given[Parameter.CONDOR_PORT].default, "HTCondor on the machines", Parameter.CONDOR_CIDRS),
            (22, "SSH on the machines", Parameter.SSH_CIDRS),
        )
    ]
    return _table(("Port", "What listens", "Open to by default", "Only your network", "Closed"), rows)


def limits() -> str:
    """Return the numbers that matter to operators of a stack."""
    resources = _resources()
    functions = [resource for resource in resources.values() if resource["Type"] == "AWS::Lambda::Function"]
    alarm = resources[LogicalId.LEASE_ALARM]["Properties"]
    rows = [
        ("Resources in the stack", str(len(resources))),
        ("Functions", f"{len(functions)}, on {RUNTIME} and {ARCHITECTURE}"),
        ("Lease check interval", f"{TICK_MINUTES} minutes, as condor_annex sets it"),
        ("Timeout of one tick of the lease function", f"{template.LEASE_TIMEOUT} seconds"),
        ("Orphan check interval", _every(resources[LogicalId.SWEEP_RULE])),
        ("Orphan grace period", f"{GRACE_SECONDS // 60} minutes"),
        ("Timeout of the connectivity check", f"{template.CONNECTIVITY_TIMEOUT} seconds"),
        ("Longest wait for machines when the security group is deleted", f"{custom.GROUP_TIMEOUT // 60} minutes"),
        ("Expiration of pool configurations left in the bucket", f"{custom.EXPIRATION_DAYS} days"),
        (
            "Lease function errors that raise `LeaseAlarm`",
            f"{alarm['Threshold']} in {alarm['Period'] // 60} minutes",
        ),
        ("Characters of an annex name that its ID keeps", str(ANNEX_ID_LENGTH)),
        ("Regions with a launch link", f"{len(REGIONS)}, in {len(CONSOLES)} partitions"),
    ]
    return _table(("What", "Value"), rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "parameters": parameters,
    "outputs": outputs,
    "roles": roles,
    "open-ports": open_ports,
    "limits": limits,
}


def fill(page: str) -> str:
    """Return a page with its tables regenerated.

    Raises:
        KeyError: the page names an unknown table.
    """
    return re.sub(
        r"(<!-- facts: ([a-z-]+) -->\n).*?(<!-- end -->)",
        lambda found: found[1] + TABLES[found[2]]() + found[3],
        page,
        flags=re.DOTALL,
    )


def _resources() -> dict[str, Any]:
    resources: dict[str, Any] = template.build().to_dict()["Resources"]
    return dict(sorted(resources.items()))


def _purposes(statements: Iterable[Mapping[str, Any]]) -> str:
    """Return the Sids of statements as words: ``TerminateTaggedMachines`` becomes ``terminate tagged machines``."""
    return "; ".join(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", chosen(statement)["Sid"]).lower() for statement in statements)


def _every(rule: Mapping[str, Any]) -> str:
    expression: str = rule["Properties"]["ScheduleExpression"]
    return expression.removeprefix("rate(").removesuffix(")")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main() -> None:
    """Write the tables into every page of ``docs/``."""
    for path in sorted(DOCS.glob("*.md")):
        old = path.read_text()
        new = fill(old)
        if new != old:
            path.write_text(new)
            sys.stdout.write(f"docs/{path.name}\n")


if __name__ == "__main__":
    main()
