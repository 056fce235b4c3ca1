"""What the machines of an annex that ``start`` starts get: HTCondor's configuration and a token, as a tarball.

Its members are those of the tarballs of HTCondor 24.11 and later, which the boot step of the stack's image unpacks.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from dataclasses import dataclass

CONFIG_MEMBER = "config.d/50-annex-bootstrap.config"
TOKEN_MEMBER = "tokens.d/annex-bootstrap"


def start_expression(owner: str, only: str = "") -> str:
    """Return which jobs a machine runs, as HTCondor's START.

    Args:
        owner: whose; empty for everybody's.
        only: besides those that name the annex or may use AWS, an expression; empty for none.
    """
    kinds = [
        "TARGET.TargetAnnexName =?= MY.AnnexName",
        # As condor_annex up to 24.10 has it; such a job names the annex in its requirements.
        "TARGET.TargetAnnexName =?= undefined && TARGET.MayUseAWS =?= True",
        *([only] if only else []),
    ]
    which = " || ".join(f"({kind})" for kind in kinds)
    return f'({which}) && TARGET.Owner =?= "{owner}"' if owner else f"({which})"


@dataclass(frozen=True)
class MachineConfig:
    """What all machines of one request have in common.

    Attributes:
        annex_id: of the annex.
        collector: ``host:port`` of the pool's collector, as machines reach it.
        owner: whose jobs they run; empty for everybody's.
        idle: seconds without a job after which a machine goes.
        request_id: of the request that starts them.
        only: which jobs they run besides those that name the annex or may use AWS, an expression; empty for none.
    """

    annex_id: str
    collector: str
    owner: str
    idle: int
    request_id: str
    only: str = ""

    def render(self) -> str:
        """Return HTCondor's configuration."""
        lines = [
            f"COLLECTOR_HOST = {self.collector}",
            "# Nobody has to reach this machine: the collector passes on who wants to talk to it.",
            "CCB_ADDRESS = $(COLLECTOR_HOST)",
            "# Also where the machine has a public address, which the boot step names and a security group may close.",
            "TCP_FORWARDING_HOST =",
            "# By default a host's own name, which machines of other networks may have too, and then nobody asks the",
            "# collector.",
            f"PRIVATE_NETWORK_NAME = annex-{self.request_id}",
            "SEC_CLIENT_AUTHENTICATION_METHODS = IDTOKENS",
            f'AnnexName = "{self.annex_id}"',
            "IsAnnex = True",
            "STARTD_ATTRS = $(STARTD_ATTRS) AnnexName IsAnnex",
            "MASTER_ATTRS = $(MASTER_ATTRS) AnnexName IsAnnex",
            f"STARTD_NOCLAIM_SHUTDOWN = {self.idle}",
            f"START = {start_expression(self.owner, self.only)}",
        ]
        return "".join(f"{line}\n" for line in lines)

    def pack(self, token: str) -> bytes:
        """Return the tarball, with a token; the same bytes for the same content."""
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for name, text, mode in ((CONFIG_MEMBER, self.render(), 0o644), (TOKEN_MEMBER, f"{token}\n", 0o600)):
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(text.encode()), mode
                archive.addfile(member, io.BytesIO(text.encode()))
        return gzip.compress(stream.getvalue(), mtime=0)
