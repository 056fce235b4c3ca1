"""The builder's user data: a script that turns a machine of the operating system into an image of an annex's machines.

The script reports on the machine's console alone, so that the builder needs no role; ``read_outcome`` reads it there.
"""

from __future__ import annotations

import gzip
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pkgutil import get_data
from types import MappingProxyType

from annex_contract.operating_system import SYSTEM

USER_DATA_LIMIT = 16_384
"""Bytes of user data before base64: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html"""

COMMANDS_LIMIT = 4_096
"""Characters of ``ImageInputs.commands``, and of its ``boot_commands``: what a parameter of a template may have:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""

TIME_LIMIT_MINUTES = 30
"""After this time a builder shuts itself down, whatever it is doing."""

REPORT_SECONDS = 20
"""How long a builder goes on after its last line, so that who reads the console of a running machine sees it."""

PROXY_PATTERN = r"http://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?/?"
"""The URL of a proxy, as apt, curl, Python and the AWS command line all take it; no user and no password, since
everybody who may describe the stack can read it."""

NO_PROXY_PATTERN = r"[A-Za-z0-9.:/_-]+(,[A-Za-z0-9.:/_-]+)*"
"""The hosts that are reached without it. Each of these programs takes names, ``.suffixes`` and addresses; ranges of
addresses not all of them."""

NEVER_PROXIED = ("localhost", "127.0.0.1", "::1", "169.254.169.254", "fd00:ec2::254")
"""The machine itself, and its metadata service:
https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-proxy.html"""

MARKER = "annex-bootstrap-image"
"""How every line of the script on the console begins; the ID of the build follows."""

_BUILD_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_PACKAGE = re.compile(SYSTEM.package_pattern)

_MODULES = ("__init__.py", "annex_machine.py", "aws_calls.py")
_LIBRARY = "/usr/local/lib/annex-bootstrap"

_INSTALLED: Mapping[str, str] = MappingProxyType(
    {
        "annex-boot.service": "/etc/systemd/system/annex-boot.service",
        "annex-spot-watch.service": "/etc/systemd/system/annex-spot-watch.service",
        "after-annex-boot.conf": "/etc/systemd/system/condor.service.d/after-annex-boot.conf",
        "metadata.nft": f"{_LIBRARY}/metadata.nft",
        # Read after 50ec2.config of the package condor-annex-ec2, where somebody installs that.
        "annex-machine.config": "/etc/condor/config.d/60-annex-machine.config",
    }
)
_GPU_CONFIG = {"gpu.config": "/etc/condor/config.d/61-annex-gpu.config"}
_BOOT_COMMANDS = "/etc/annex-bootstrap/boot-commands"
_PROXY = "/etc/annex-bootstrap/proxy"

_PROXIED_SERVICES = ("annex-boot", "condor", "docker")
"""Which services of a machine reach out: HTCondor's own file transfers do, and Docker fetches the images of jobs."""


class ImageInputError(ValueError):
    """What the image shall hold cannot be; the text says what is wrong with which input."""


@dataclass(frozen=True)
class ImageInputs:
    """What goes into an image besides HTCondor.

    Attributes:
        build_id: marks this build's lines on the console, so that those of another machine do not count: letters,
            digits and hyphens, 64 at most.
        packages: the system's packages, each with ``=version`` or ``/suite`` where it must be that one.
        commands: lines of shell that root runs in the builder, after the packages are installed.
        boot_commands: lines of shell that root runs on every machine at boot, before HTCondor starts.
        apt_source: one more apt source, as one ``deb`` line or as a deb822 paragraph; empty for none.
        gpu: whether the image gets the system's driver for NVIDIA GPUs.
        http_proxy: the URL of the proxy through which the builder, the machines' boot and their jobs reach others;
            empty for none.
        no_proxy: hosts that are reached without it, with commas between them, besides the machine and its metadata.
    """

    build_id: str
    packages: tuple[str, ...] = ()
    commands: str = ""
    boot_commands: str = ""
    apt_source: str = ""
    gpu: bool = False
    http_proxy: str = ""
    no_proxy: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a build ended.

    Attributes:
        succeeded: whether the image may be made.
        versions: of the packages that make the image what it is, by name; empty after a failure.
        reason: why it failed: the last lines that the script printed, and first of all what it was doing; empty after
            a success.
    """

    succeeded: bool
    versions: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""


def render_user_data(inputs: ImageInputs) -> bytes:
    """Return the user data of a builder: a shell script, packed with gzip, which cloud-init unpacks.

    Args:
        inputs: what goes into the image.

    Raises:
        ImageInputError: an input is malformed or too long, or all of them together exceed ``USER_DATA_LIMIT``.
    """
    packed = gzip.compress(render_script(inputs).encode(), mtime=0)
    if len(packed) > USER_DATA_LIMIT:
        raise ImageInputError(
            f"the image's commands and packages make {len(packed):,} bytes of user data, of which EC2 takes"
            f" {USER_DATA_LIMIT:,}; let ImageCommands fetch what is long"
        )
    return packed


def render_script(inputs: ImageInputs) -> str:
    """Return the script itself, readable.

    Args:
        inputs: what goes into the image.

    Raises:
        ImageInputError: an input is malformed or too long.
    """
    _check(inputs)
    values = {
        "SYSTEM": SYSTEM.name,
        "MARKER": MARKER,
        "BUILD_ID": inputs.build_id,
        "TIME_LIMIT_MINUTES": str(TIME_LIMIT_MINUTES),
        "REPORT_SECONDS": str(REPORT_SECONDS),
        "PACKAGES": " ".join(inputs.packages),
        "COMMANDS": inputs.commands,
        "APT_SOURCE": inputs.apt_source.strip(),
        "GPU": "yes" if inputs.gpu else "no",
    }
    proxy = _proxy(inputs.http_proxy, inputs.no_proxy)
    assignments = [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    assignments += [f"export {name}={shlex.quote(value)}" for name, value in proxy.items()]
    installed = {**_INSTALLED, **(_GPU_CONFIG if inputs.gpu else {})}
    puts = [_put("644", path, _read(f"files/{name}")) for name, path in installed.items()]
    puts += [_put("644", f"{_LIBRARY}/machine_image/{name}", _read(name)) for name in _MODULES]
    puts.append(_put("755", _BOOT_COMMANDS, f"{inputs.boot_commands}\n"))
    puts += [_put("644", path, text) for path, text in proxy_files(inputs.http_proxy, inputs.no_proxy).items()]
    head = ["#!/bin/bash", *assignments, "put_files() {", *puts, "}", ""]
    return "\n".join(head) + _read(f"files/{SYSTEM.script}") + _read("files/build.sh")


def _read(path: str) -> str:
    body = get_data("machine_image", path)
    if body is None:
        raise FileNotFoundError(path)
    return body.decode()


def read_outcome(console: str, build_id: str) -> Outcome | None:
    """Return how a build ended, read from the console of its builder.

    Args:
        console: its output, decoded.
        build_id: as in the build's ``ImageInputs``.

    Returns:
        The outcome, or ``None`` while there is none to be seen.
    """
    lines = re.findall(rf"{re.escape(MARKER)} {re.escape(build_id)} (log|failed|ok)\b ?([^\r\n]*)", console)
    for kind, text in reversed(lines):
        if kind == "ok":
            return Outcome(True, dict(pair.split("=", 1) for pair in text.split() if "=" in pair))
        if kind == "failed":
            printed = [line.strip() for said, line in lines if said == "log" and line.strip()]
            return Outcome(False, reason=" | ".join([f"{text.strip()} failed", *printed]))
    return None


def _check(inputs: ImageInputs) -> None:
    if not _BUILD_ID.fullmatch(inputs.build_id):
        raise ImageInputError(f"the ID of a build has letters, digits and hyphens, 64 at most, not {inputs.build_id!r}")
    for package in inputs.packages:
        if not _PACKAGE.fullmatch(package):
            raise ImageInputError(f"ImagePackages names {package!r}, which is not the name of a {SYSTEM.name} package")
    for name, text in (("ImageCommands", inputs.commands), ("BootCommands", inputs.boot_commands)):
        if len(text) > COMMANDS_LIMIT:
            raise ImageInputError(f"{name} has {len(text):,} characters, of {COMMANDS_LIMIT:,} that it may have")
        if "\0" in text:
            raise ImageInputError(f"{name} has a NUL character, which no shell takes; leave it out")
    if inputs.http_proxy and not re.fullmatch(PROXY_PATTERN, inputs.http_proxy):
        raise ImageInputError("HttpProxy is not a URL such as http://proxy.example.org:3128, without user and password")
    if inputs.no_proxy and not re.fullmatch(NO_PROXY_PATTERN, inputs.no_proxy):
        raise ImageInputError("NoProxy is not a list of hosts with commas between them, such as .example.org,192.0.2.1")
    source = inputs.apt_source.strip()
    if source and not re.match(r"deb\s|[A-Z][A-Za-z-]*:", source):
        raise ImageInputError(
            "ImageAptSource is neither a line that begins with 'deb' nor a paragraph such as 'Types: deb'; see"
            " sources.list(5)"
        )


def proxy_files(http_proxy: str, no_proxy: str) -> dict[str, str]:
    """Return the files of the image by which services and jobs know the proxy, each path with its text.

    Args:
        http_proxy: its URL; empty for none, which takes no files.
        no_proxy: hosts that are reached without it.
    """
    given = [f"{name}={value}" for name, value in _proxy(http_proxy, no_proxy).items()]
    if not given:
        return {}
    drop_in = f"[Service]\nEnvironmentFile={_PROXY}\n"
    return {
        _PROXY: "".join(f"{line}\n" for line in given),
        # https://htcondor.readthedocs.io/en/latest/admin-manual/configuration-macros.html#STARTER_JOB_ENVIRONMENT
        "/etc/condor/config.d/62-annex-proxy.config": f'STARTER_JOB_ENVIRONMENT = "{" ".join(given)}"\n',
        **{f"/etc/systemd/system/{name}.service.d/annex-proxy.conf": drop_in for name in _PROXIED_SERVICES},
    }


def _proxy(http_proxy: str, no_proxy: str) -> dict[str, str]:
    """Return the variables by which programs know a proxy: some read them in small letters, others in capitals."""
    if not http_proxy:
        return {}
    without = ",".join([*NEVER_PROXIED, *([no_proxy] if no_proxy else [])])
    known = {"http_proxy": http_proxy, "https_proxy": http_proxy, "no_proxy": without}
    return known | {name.upper(): value for name, value in known.items()}


def _put(mode: str, path: str, text: str) -> str:
    return f"put {mode} {path} {shlex.quote(text)}"
