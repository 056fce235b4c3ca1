"""HTCondor's commands that ``annex-bootstrap start`` runs, for a pool that is only named: no machine joins it."""

from __future__ import annotations

import sys
from pathlib import Path

POOL = "pool.example.org"

_TOOL = """\
#!{python}
import base64, json, sys
from pathlib import Path

def part(content):
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
if name == "condor_version":
    print("$CondorVersion: 23.9.6 2024-08-08 BuildID: Debian-23.9.6 $")
elif name == "condor_config_val":
    known = {{"COLLECTOR_HOST": "{pool}:9618", "UID_DOMAIN": "{pool}"}}
    if arguments[-1] not in known:
        sys.exit(1)
    print(known[arguments[-1]])
else:
    given = dict(zip(arguments, arguments[1:]))
    scopes = [after for before, after in zip(arguments, arguments[1:]) if before == "-authz"]
    claims = {{"sub": given["-identity"], "scope": " ".join("condor:/" + scope for scope in scopes)}}
    print(".".join([part({{"alg": "none"}}), part(claims), "made-up"]))
"""


def install(directory: Path) -> None:
    """Put the commands into a directory of the PATH."""
    for name in ("condor_config_val", "condor_token_create", "condor_version"):
        path = directory / name
        path.write_text(_TOOL.format(python=sys.executable, pool=POOL))
        path.chmod(0o755)
