"""The deterministic archive inside each function, and the few lines of inline code that load it.

The archive is a zip without compression and without times, packed with bzip2 as a whole: the format has one encoder
whose output has not changed in decades, so every machine makes the same bytes. (zlib's output depends on its build.)
"""

from __future__ import annotations

import base64
import bz2
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from template_gen import third_party

ROOT = Path(__file__).parent.parent

POWERTOOLS = (
    "aws_lambda_powertools",
    "aws_lambda_powertools.exceptions",
    "aws_lambda_powertools.logging",
    "aws_lambda_powertools.logging.buffer",
    "aws_lambda_powertools.metrics",
    "aws_lambda_powertools.metrics.provider",
    "aws_lambda_powertools.metrics.provider.cloudwatch_emf",
    "aws_lambda_powertools.shared",
    "aws_lambda_powertools.tracing",
    "aws_lambda_powertools.utilities",
    "aws_lambda_powertools.utilities.jmespath_utils",
    "aws_lambda_powertools.warnings",
)
"""The packages of Powertools that its Logger and Metrics import."""

LOADER = '''\
"""annex-bootstrap {version}: the function {module}.

Its sources are ARCHIVE: a zip file, packed with bzip2, in base64; unpack() shows how to get at them.
Besides our own modules it holds: {licences}.
"""
import base64, bz2, os, sys, tempfile

def unpack():
    path = os.path.join(tempfile.mkdtemp(), "archive.zip")
    with open(path, "wb") as file:
        file.write(bz2.decompress(base64.b64decode(ARCHIVE)))
    sys.path.insert(0, path)

'''

PLAIN_TAIL = """\
unpack()
from {module} import handler
"""

ANSWERING_TAIL = '''\
try:
    unpack()
    from {module} import handler
except Exception as error:
    import json, urllib.request
    reason = f"the function cannot start: {{error!r}}"
    def handler(event, context):
        """Answer CloudFormation although nothing could be loaded."""
        keys = "StackId", "RequestId", "LogicalResourceId"
        answer = {{key: event[key] for key in keys}} | {{"Status": "FAILED", "Reason": reason}}
        answer["PhysicalResourceId"] = event.get("PhysicalResourceId", "never-made")
        if (event["RequestType"], answer["PhysicalResourceId"]) == ("Delete", "never-made"):
            answer["Status"] = "SUCCESS"
        url, body = event["ResponseURL"], json.dumps(answer).encode()
        urllib.request.urlopen(urllib.request.Request(url, body, {{"Content-Type": ""}}, method="PUT"))
'''


@dataclass(frozen=True)
class Sources:
    """What goes into one function's archive.

    Attributes:
        module: the dotted name of the module whose ``handler`` is called.
        own: our modules, dotted; ``package.*`` is the package with all its modules.
        packages: packages of libraries, dotted; their direct modules are taken, not their sub-packages.
        modules: single modules of libraries, dotted.
        data: folders of ours whose files the modules read, from the checkout.
        answers: whether the function must answer CloudFormation also when it cannot be loaded.
    """

    module: str
    own: tuple[str, ...]
    packages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    answers: bool = False


def inline_code(sources: Sources, version: str) -> str:
    """Return the Python source for the ``ZipFile`` property of a function.

    Args:
        sources: what to embed.
        version: of annex-bootstrap, for the reader.

    Returns:
        Source text; the archive is its last assignment but runs first.
    """
    archive = base64.b64encode(bz2.compress(pack(sources), 9)).decode()
    head = LOADER.format(version=version, module=sources.module, licences=_licences(sources))
    tail = (ANSWERING_TAIL if sources.answers else PLAIN_TAIL).format(module=sources.module)
    return f'{head}ARCHIVE = "{archive}"\n\n{tail}'


def pack(sources: Sources) -> bytes:
    """Return the zip file of one function: names sorted, no times, no compression."""
    files: dict[str, bytes] = {}
    for module in sources.own:
        for path in _own_paths(module):
            files[path.relative_to(ROOT).as_posix()] = path.read_bytes()
    for folder in sources.data:
        for path in (ROOT / folder).iterdir():
            files[path.relative_to(ROOT).as_posix()] = path.read_bytes()
    for distribution, name in third_party_files(sources):
        files[name] = third_party.read(distribution, name)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name)
            info.create_system = 3  # Unix, also where the build runs on Windows
            archive.writestr(info, files[name])
    return stream.getvalue()


def third_party_files(sources: Sources) -> Iterator[tuple[str, str]]:
    """Yield the files of libraries that a function embeds: the library, and the path below where it is installed."""
    for package in sources.packages:
        top, *_ = package.split(".")
        site = Path(str(metadata.distribution(top).locate_file(".")))
        for path in sorted((site / package.replace(".", "/")).glob("*.py")):
            yield top, path.relative_to(site).as_posix()
    for module in sources.modules:
        yield module, f"{module}.py"


def _own_paths(module: str) -> list[Path]:
    path = ROOT / module.removesuffix(".*").replace(".", "/")
    if module.endswith(".*"):
        return sorted(path.glob("*.py"))
    return [path / "__init__.py" if path.is_dir() else path.with_suffix(".py")]


def _licences(sources: Sources) -> str:
    names = {package.split(".")[0].replace("_", "-") for package in (*sources.packages, *sources.modules)}
    return ", ".join(f"{name} {metadata.version(name)}" for name in sorted(names)) or "nothing"
