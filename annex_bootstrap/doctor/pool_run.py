"""Ask the HTCondor on this machine what the checks of the pool's side need to know."""

from __future__ import annotations

import base64
import getpass
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from annex_bootstrap.doctor import checks, pool_checks
from annex_bootstrap.doctor.checks import Finding
from annex_bootstrap.doctor.pool_checks import Machine
from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.collector import ask_collector
from annex_bootstrap.pool.file_knobs import read_knob
from annex_bootstrap.pool.htcondor import IN_FORCE, Version, run, starts_with_htcondor
from annex_contract.knobs import Macro

ANNEX_PASSWORD = Path("~/.condor/annex_password_file")
"""Where condor_annex reads the user's password from since 24.11, whatever ANNEX_PASSWORD_FILE says: it misspells that
knob. Source: docs/htcondor.md."""

ANNEX_DIRECTORY = Path("~/.hpc-annex")

TOKEN_SECONDS = 60
"""How long the token lives that is fetched to look at."""


@dataclass(frozen=True)
class PoolRun:
    """One run of the checks of the pool's side.

    Attributes:
        version: of HTCondor on this machine; None where there is none.
        content: of the user's configuration file.
        region: of the annexes.
    """

    version: Version | None
    content: bytes
    region: str

    def run(self) -> Iterator[Finding]:
        """Run the checks of the version that there is.

        Yields:
            Their findings, as they come.
        """
        yield pool_checks.check_version(self.version)
        if self.version is not None and starts_with_htcondor(self.version):
            yield from self._htcondor_annex(self.version)
        else:
            knob = Macro.SEC_PASSWORD_FILE
            yield checks.check_password(read_knob(self.content, self.region, knob) or IN_FORCE.ask(knob))
        try:
            image = pool_checks.check_image(self.content, self.region)
        except UserError as error:
            image = checks.problem("image", "the configuration cannot be read", str(error))
        if image is not None:
            yield image

    def check_joined(self, machines: Sequence[Machine]) -> Finding:
        """Check that machines have joined the pool.

        Args:
            machines: of all annexes in the region.
        """
        joined = ask_collector(self.collector, "EC2InstanceID") if machines else []
        return pool_checks.check_joined(self.version, machines, joined)

    @property
    def collector(self) -> str:
        """The collector that machines of annexes join; empty where it is not known."""
        modern = self.version is not None and starts_with_htcondor(self.version)
        return (IN_FORCE.ask(Macro.ANNEX_COLLECTOR) if modern else "") or IN_FORCE.ask(Macro.COLLECTOR_HOST)

    def _htcondor_annex(self, version: Version) -> Iterator[Finding]:
        knobs: dict[str, str] = {
            knob: IN_FORCE.ask(knob) for knob in (Macro.HPC_ANNEX_ENABLED, Macro.ANNEX_USE_OLD_CREATE)
        }
        feature = pool_checks.check_feature(version, knobs)
        yield feature
        if feature.level is not checks.Level.OK:
            return
        address = IN_FORCE.ask(Macro.ANNEX_COLLECTOR)
        yield pool_checks.check_schedds(address, ask_collector(address, "Name", "-schedd"))
        if os.geteuid() == 0:
            yield checks.skipped("token", "root starts no annexes", "run doctor as the user who does")
        else:
            user = f"{getpass.getuser()}@{IN_FORCE.ask(Macro.UID_DOMAIN)}"
            yield pool_checks.check_token(user, _subject_of_token())
        yield pool_checks.check_annex_password(ANNEX_PASSWORD.expanduser())
        directory = pool_checks.check_directory(version, ANNEX_DIRECTORY.expanduser())
        if directory is not None:
            yield directory


def _subject_of_token() -> str | None:
    key = IN_FORCE.ask(Macro.ANNEX_TOKEN_KEY_NAME) or "AP"
    fetched = run(["condor_token_fetch", "-lifetime", str(TOKEN_SECONDS), "-key", key, "-authz", "WRITE"])
    try:
        _, claims, _ = fetched.stdout.strip().split(".")
        subject = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"]
    except (ValueError, KeyError, TypeError):
        return None
    return str(subject)
