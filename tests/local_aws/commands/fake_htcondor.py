"""HTCondor's commands that ``annex-bootstrap start`` runs, in a directory: enough for a pool that is only named."""

from __future__ import annotations

import sys
from pathlib import Path

POOL = "pool.example.org"

QUEUE, SLOTS = "queue.json", "slots.json"
"""The files of the directory that say which jobs and which slots there are; without them nobody answers."""

HISTORY = "history.json"
"""The file of the jobs that are done; none without it."""

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
    known = {{"COLLECTOR_HOST": "{pool}:9618", "UID_DOMAIN": "{pool}"}} | {knobs}
    if arguments[-1] not in known:
        sys.exit(1)
    print(known[arguments[-1]])
elif name == "condor_token_create":
    given = dict(zip(arguments, arguments[1:]))
    scopes = [after for before, after in zip(arguments, arguments[1:]) if before == "-authz"]
    claims = {{"sub": given["-identity"], "scope": " ".join("condor:/" + scope for scope in scopes)}}
    print(".".join([part({{"alg": "none"}}), part(claims), "made-up"]))
elif name == "condor_history":
    history = Path({history!r})
    print(history.read_text() if history.exists() else "[]")
elif name == "condor_status" and "-json" in arguments:
    slots = Path({slots!r})
    if not slots.exists():
        sys.exit("Error: communication error")
    print(slots.read_text())
elif name == "condor_q" and "-jobads" in arguments:
    given = dict(zip(arguments, arguments[1:]))
    ads = [
        dict(line.split(" = ", 1) for line in ad.splitlines())
        for ad in Path(given["-jobads"]).read_text().split("\\n\\n")
    ]
    kinds = Path(given["-slotads"]).read_text() if "-slotads" in given else ""
    for ad in ads:
        fits = ad.get("Nowhere") != "true" and "Cpus = " in kinds
        print(f"{{ad['ClusterId']}}.{{ad['ProcId']}}           1        0        0       0        {{int(fits)}} alice")
    print("[0]           0  TARGET.Colour == \\"blue\\"")
elif name == "condor_q":
    queue = Path({queue!r})
    if not queue.exists():
        sys.exit("Error: Can't find address of local schedd")
    wanted = {{word for word in arguments if word[0].isdigit()}}
    jobs = [
        job
        for job in json.loads(queue.read_text())
        if not wanted or wanted & {{f"{{job['ClusterId']}}.{{job['ProcId']}}", str(job["ClusterId"])}}
        if wanted or (job["JobStatus"] == 1 and (job.get("MayUseAWS") is True or "TargetAnnexName" in job))
    ]
    print(json.dumps(jobs))
"""


def install(directory: Path, **knobs: str) -> None:
    """Put the commands into a directory of the PATH.

    Args:
        directory: which.
        knobs: of the pool's configuration, besides the usual ones.
    """
    files = {"queue": str(directory / QUEUE), "slots": str(directory / SLOTS)}
    files["history"] = str(directory / HISTORY)
    names = ("config_val", "history", "q", "status", "token_create", "version")
    for name in (f"condor_{each}" for each in names):
        path = directory / name
        path.write_text(_TOOL.format(python=sys.executable, pool=POOL, knobs=knobs, **files))
        path.chmod(0o755)
