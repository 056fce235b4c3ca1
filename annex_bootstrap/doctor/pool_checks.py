"""What can be wrong on the pool's side, by its version of HTCondor.

Source of what each version wants: docs/htcondor.md.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from annex_bootstrap.annexes.overview import can_start
from annex_bootstrap.doctor.check import Check, Finding, Setup
from annex_bootstrap.local_user import expand_home, user_name
from annex_bootstrap.pool.blocks import find_block, local_name
from annex_bootstrap.pool.collector import ask_collector, parse_collectors
from annex_bootstrap.pool.file_knobs import overridden_image
from annex_bootstrap.pool.files import read_private, why_not_private
from annex_bootstrap.pool.htcondor import IN_FORCE, Version, run, starts_with_htcondor
from annex_bootstrap.pool.pool_config import BLOCK, find_pool_file, users_of
from annex_bootstrap.stack.connectivity import Reach, reach
from annex_contract.knobs import ACCESS_KEY_KNOB, IMAGE_KNOB, Macro

FIRST_SELF_SERVICE = (25, 14, 0)
"""The first HTCondor in which ``htcondor annex create`` means other systems than AWS by default."""

ANNEX_PASSWORD = Path("~/.condor/annex_password_file")
"""Where condor_annex reads the user's password from since 24.11, whatever ANNEX_PASSWORD_FILE says: it misspells that
knob. Source: docs/htcondor.md."""

ANNEX_DIRECTORY = Path("~/.hpc-annex")

TOKEN_SECONDS = 60
"""How long the token lives that is fetched to look at."""

_CONFIGURE = "run annex-bootstrap pool-config on this machine as the owner of the pool, then condor_reconfig"


@dataclass(frozen=True)
class HTCondor(Check):
    """Which HTCondor there is, and how annexes start with it.

    Attributes:
        version: None where this machine has none.
    """

    id = "htcondor"
    subject = "HTCondor"
    for_starters = True

    version: Version | None

    @classmethod
    def read(cls, setup: Setup) -> Self:
        return cls(setup.condor)

    def judge(self) -> Finding:
        if self.version is None:
            return self.skipped("there is none on this machine", "run doctor on the machine with the schedd")
        command = "htcondor annex create" if starts_with_htcondor(self.version) else "condor_annex"
        return self.ok(f"version {written(self.version)}, where {command} starts annexes")


@dataclass(frozen=True)
class AnnexFeature(Check):
    """``htcondor annex`` is switched on, and for AWS.

    Attributes:
        version: of HTCondor, one that has ``htcondor annex``.
        enabled: the value of HPC_ANNEX_ENABLED.
        for_aws: the value of ANNEX_USE_OLD_CREATE.
    """

    id = "htcondor-annex"
    subject = "htcondor annex"

    version: Version
    enabled: str
    for_aws: str

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        if setup.condor is None or not setup.has_htcondor_annex:
            return None
        return cls(setup.condor, IN_FORCE.ask(Macro.HPC_ANNEX_ENABLED), IN_FORCE.ask(Macro.ANNEX_USE_OLD_CREATE))

    @property
    def works(self) -> bool:
        """Whether annexes can start."""
        return _true(self.enabled) and (self.version < FIRST_SELF_SERVICE or _true(self.for_aws))

    @classmethod
    def works_in(cls, setup: Setup) -> bool:
        """Tell whether annexes can start with ``htcondor annex``."""
        feature = cls.read(setup)
        return feature is not None and feature.works

    def judge(self) -> Finding:
        if self.works:
            return self.ok("it is switched on, for AWS too")
        if not _true(self.enabled):
            return self.problem("it is not switched on: HPC_ANNEX_ENABLED is not true", _CONFIGURE)
        detail = f"in {written(self.version)} it starts nothing on AWS unless ANNEX_USE_OLD_CREATE is true"
        return self.problem(detail, _CONFIGURE)


@dataclass(frozen=True)
class AccessPointCollector(Check):
    """The collector that machines join knows exactly one schedd.

    Attributes:
        address: the value of ``ANNEX_COLLECTOR``.
        schedds: the names of the schedds that it knows; None where it does not answer.
    """

    id = "access-point-collector"
    subject = "access point's collector"

    address: str
    schedds: Sequence[str] | None

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        if not AnnexFeature.works_in(setup):
            return None
        address = IN_FORCE.ask(Macro.ANNEX_COLLECTOR)
        return cls(address, ask_collector(address, "Name", "-schedd"))

    def judge(self) -> Finding:
        address, schedds = self.address, self.schedds
        if not address or address.startswith((":", "?")):
            advice = (
                "run annex-bootstrap pool-config --collector with the public name of this machine, then condor_reconfig"
            )
            return self.problem(f"ANNEX_COLLECTOR names no host ({address or 'it is empty'})", advice)
        if schedds is None:
            advice = "see AP_Collector.log beside HTCondor's other logs, and that DAEMON_LIST has AP_COLLECTOR"
            return self.problem(f"{address} does not answer", advice)
        if not schedds:
            advice = "wait half a minute if HTCondor has just started; else see SchedLog"
            return self.problem(f"{address} knows no schedd", advice)
        if len(schedds) > 1:
            advice = "let every access point have its own: ANNEX_COLLECTOR must name the machine that it is set on"
            return self.problem(f"{address} knows {len(schedds)} schedds ({', '.join(sorted(schedds))})", advice)
        return self.ok(f"{address} knows the schedd {schedds[0]}")


@dataclass(frozen=True)
class Token(Check):
    """A token speaks for the user that fetches it.

    Attributes:
        user: ``name@domain``; empty for root, who starts no annexes.
        token_subject: whom the token speaks for; None where none could be fetched.
    """

    id = "token"
    subject = "token"

    user: str
    token_subject: str | None

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        if not AnnexFeature.works_in(setup):
            return None
        if os.geteuid() == 0:
            return cls("", None)
        return cls(f"{user_name()}@{IN_FORCE.ask(Macro.UID_DOMAIN)}", _subject_of_token())

    def judge(self) -> Finding:
        if not self.user:
            return self.skipped("root starts no annexes", "run doctor as the user who does")
        if self.token_subject is None:
            advice = "see what condor_token_fetch -key AP -authz WRITE prints"
            return self.problem(f"the schedd gives {self.user} none", advice)
        if self.token_subject != self.user:
            detail = (
                f"the schedd takes {self.user} for {self.token_subject}, so machines would join and never get a job"
            )
            return self.problem(detail, f"{_CONFIGURE}: it puts the authentication methods in the right order")
        return self.ok(f"the schedd knows {self.user} by name")


@dataclass(frozen=True)
class AnnexPassword(Check):
    """The user's password for annexes, which ``htcondor annex create`` makes, is private.

    Attributes:
        path: where it must be.
    """

    id = "annex-password"
    subject = "annex password"

    path: Path

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        return cls(expand_home(ANNEX_PASSWORD)) if AnnexFeature.works_in(setup) else None

    def judge(self) -> Finding:
        if not self.path.exists():
            make = f"head -c 16 /dev/urandom > {self.path}; chmod 400 {self.path}"
            advice = f"htcondor annex create makes it; before that, spot annexes need: {make}"
            return self.skipped(f"{self.path} is not there yet", advice)
        reason = why_not_private(self.path)
        if reason:
            return self.problem(reason, f"run chmod 400 {self.path} if it is yours; else delete it")
        return self.ok(f"{self.path} can be read by you only")


@dataclass(frozen=True)
class AnnexDirectory(Check):
    """The directory is there that ``htcondor annex`` wants and, before 25.14, does not make.

    Attributes:
        version: of HTCondor.
        path: of the directory.
    """

    id = "annex-directory"
    subject = "annex directory"

    version: Version
    path: Path

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        if setup.condor is None or setup.condor >= FIRST_SELF_SERVICE or not AnnexFeature.works_in(setup):
            return None
        return cls(setup.condor, expand_home(ANNEX_DIRECTORY))

    def judge(self) -> Finding:
        if not self.path.is_dir():
            detail = f"{self.path} is not a directory, and {written(self.version)} does not make it"
            return self.problem(detail, f"run mkdir {self.path}")
        return self.ok(f"{self.path} is there")


@dataclass(frozen=True)
class PoolUsers(Check):
    """The pool's configuration on this machine, as ``pool-config`` wrote it, lets somebody start annexes.

    Attributes:
        users: whom it lets.
        user: who runs this, and only starts annexes; empty for everybody else.
        has_keys: whether condor_annex can start annexes in any case.
    """

    id = "pool-users"
    subject = "users who may start annexes"
    for_starters = True

    users: Sequence[str]
    user: str = ""
    has_keys: bool = False

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        if setup.deployed is None or not can_start(setup.deployed, setup.condor) or setup.condor is None:
            return None
        content = read_private(find_pool_file(None, read_only=True)) or b""
        if find_block(content, BLOCK) is None:
            return None
        user = user_name() if setup.only_starts and os.geteuid() else ""
        return cls(users_of(content), user, bool(setup.knob(ACCESS_KEY_KNOB)))

    def judge(self) -> Finding:
        known = {user.partition("@")[0] for user in self.users}
        named = "".join(f" --user {user}" for user in [*self.users, self.user or "NAME"])
        advice = f"as root run annex-bootstrap pool-config{named}, then condor_reconfig"
        if self.user and self.user not in known:
            whom = " and ".join(self.users) or "nobody"
            return self.problem(f"the pool lets {whom} start annexes, not {self.user}", advice)
        if not self.users:
            detail = "the pool lets nobody use annex-bootstrap start"
            return self.skipped(detail, advice) if self.has_keys else self.problem(detail, advice)
        return self.ok(f"the pool lets {' and '.join(self.users)} start annexes")


@dataclass(frozen=True)
class PoolPassword(Check):
    """condor_annex can read the pool password, and no other user can.

    Attributes:
        named: the value of SEC_PASSWORD_FILE; empty where it is not known.
    """

    id = "pool-password"
    subject = "pool password"

    named: str

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        if setup.has_htcondor_annex:
            return None
        return cls(setup.knob(Macro.SEC_PASSWORD_FILE) or IN_FORCE.ask(Macro.SEC_PASSWORD_FILE))

    def judge(self) -> Finding:
        if not self.named:
            advice = "run doctor where condor_config_val is in the PATH"
            return self.skipped("no HTCondor on this machine says where it is", advice)
        reason = why_not_private(Path(self.named))
        if reason:
            advice = "give yourself a copy with mode 0600 and name it as SEC_PASSWORD_FILE in your user_config"
            return self.problem(reason, f"run annex-bootstrap pool-config; or {advice}")
        return self.ok(f"{self.named} can be read by you only")


@dataclass(frozen=True)
class UsersImage(Check):
    """The image that the user chose is the one that starts.

    Attributes:
        image: that does not start.
        region: of the annexes.
    """

    id = "own-image"
    subject = "image"

    image: str
    region: str

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        region = setup.account.region
        image = overridden_image(setup.content, region)
        return cls(image, region) if image is not None else None

    def judge(self) -> Finding:
        advice = f"at the end of the file, write {local_name(self.region)}.{IMAGE_KNOB} = {self.image}"
        detail = f"{self.image} is not what starts in {self.region}: the stack's or HTCondor's own image overrides it"
        return self.problem(detail, advice)


@dataclass(frozen=True)
class Collector(Check):
    """AWS reaches the pool's collector.

    Attributes:
        address: ``host:port``; empty where it is not known.
        reach: what the connectivity function says; None where it was not asked.
    """

    id = "collector"
    subject = "collector from AWS"
    for_starters = True

    address: str
    reach: Reach | None

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        if setup.deployed is None:
            return None
        found = parse_collectors(setup.given_collector or setup.collector)
        if not found or not found[0].host:
            return cls("", None)
        functions, outputs = setup.account.lambda_, setup.deployed.outputs
        asked = [(place, reach(functions, outputs, place.host, place.port, place.socket_name)) for place in found]
        # One that answers is enough to join; the first tells its name where none does.
        place, answer = next((pair for pair in asked if not pair[1].problem), asked[0])
        return cls(f"{place.host}:{place.port}", answer)

    def judge(self) -> Finding:
        if self.reach is None:
            advice = "give --collector HOST:PORT, or run doctor where condor_config_val is in the PATH"
            return self.skipped("no HTCondor on this machine says where it is", advice)
        if self.reach.problem:
            advice = "annexes can only join a pool that AWS reaches; run pool-config"
            return self.problem(f"{self.address}: {self.reach.problem}", advice)
        return self.ok(f"{self.address} answers as {self.reach.instance_id}")


def written(version: Version) -> str:
    """Return a version as people write it."""
    return ".".join(map(str, version))


def _true(value: str) -> bool:
    return value.strip().lower() in ("true", "yes", "t", "1")


def _subject_of_token() -> str | None:
    key = IN_FORCE.ask(Macro.ANNEX_TOKEN_KEY_NAME) or "AP"
    fetched = run(["condor_token_fetch", "-lifetime", str(TOKEN_SECONDS), "-key", key, "-authz", "WRITE"])
    try:
        _, claims, _ = fetched.stdout.strip().split(".")
        subject = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"]
    except (ValueError, KeyError, TypeError):
        return None
    return str(subject)
