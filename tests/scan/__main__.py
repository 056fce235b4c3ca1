"""Have checkov judge the built template; fail where a finding has no reason, or a reason no finding.

Run as ``python -m tests.scan CHECKOV``, with the path of the program. Nothing is downloaded and nothing sent.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from annex_contract.stack import TEMPLATE_NAME

BUILT = Path(__file__).resolve().parents[2] / "dist" / TEMPLATE_NAME

OFFLINE = {"CKV_SKIP_PACKAGE_UPDATE_CHECK": "true"}
"""checkov would otherwise ask whether there is a newer version of itself."""


def scan(checkov: str, template: Path) -> dict[str, set[tuple[str, str]]]:
    """Return the checks that passed, failed or were skipped, each as logical ID and ID of the check.

    Args:
        checkov: the program.
        template: what to scan.

    Raises:
        ValueError: checkov reports on nothing, which it does without an error where it cannot read a template.
    """
    ran = subprocess.run(
        [checkov, "--framework", "cloudformation", "--skip-download", "--output", "json", "--file", str(template)],
        env=os.environ | OFFLINE,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        results = json.loads(ran.stdout)["results"]
    except (ValueError, KeyError) as error:
        raise ValueError(f"checkov could not read {template}: {ran.stdout[-500:]}{ran.stderr[-500:]}") from error
    return {
        result: {(check["resource"].rpartition(".")[2], check["check_id"]) for check in results[f"{result}_checks"]}
        for result in ("passed", "failed", "skipped")
    }


def main(checkov: str) -> int:
    """Scan the template with its reasons and without them, and return the exit code."""
    explained = scan(checkov, BUILT)
    template = json.loads(BUILT.read_text())
    for resource in template["Resources"].values():
        resource.get("Metadata", {}).pop("checkov", None)
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / TEMPLATE_NAME
        bare.write_text(json.dumps(template))
        found = scan(checkov, bare)["failed"]
    needless = explained["skipped"] - found
    for resource, check in sorted(explained["failed"]):
        sys.stderr.write(f"{resource}: {check} has no reason\n")
    for resource, check in sorted(needless):
        sys.stderr.write(f"{resource}: the reason for {check} has no finding\n")
    sys.stdout.write(
        f"checkov: {len(explained['passed'])} checks pass; "
        f"{len(explained['skipped'])} findings have a reason, {len(explained['failed'])} have none\n"
    )
    return 1 if explained["failed"] or needless else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
