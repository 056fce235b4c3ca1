"""The deterministic archives that hold the functions' code, and the few lines of inline code that load them.

An archive is the text of every file by its path, as JSON, packed with bzip2: that format has one encoder whose output
has not changed in decades, so every machine makes the same bytes. (zlib's output depends on its build.) Modules are
compiled right out of that text, because importing them from a zip file took a third of a cold start.

Archives stand in the template's ``Mappings``, since six functions share one. A mapping's value is a string or a list of
strings, without a limit but the template's own; the list keeps each string short all the same:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/mappings-section-structure.html and
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
"""

from __future__ import annotations

import base64
import bz2
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from troposphere import FindInMap, Join, Template

from template_gen import third_party

ROOT = Path(__file__).parent.parent

MAPPING = "Archives"
"""The mapping that holds the archives, by their titles."""

BASE64 = "Base64"
"""The key of an archive's text in the mapping: a list of strings that are one text."""

LINE = 4_000
"""Characters of one string of that list: less than the 4,096 that CloudFormation allows a parameter."""

POWERTOOLS = (
    "aws_lambda_powertools.logging",
    "aws_lambda_powertools.logging.constants",
    "aws_lambda_powertools.logging.exceptions",
    "aws_lambda_powertools.logging.filters",
    "aws_lambda_powertools.logging.formatter",
    "aws_lambda_powertools.logging.lambda_context",
    "aws_lambda_powertools.logging.logger",
    "aws_lambda_powertools.metrics.exceptions",
    "aws_lambda_powertools.metrics.functions",
    "aws_lambda_powertools.metrics.metrics",
    "aws_lambda_powertools.metrics.provider",
    "aws_lambda_powertools.metrics.provider.base",
    "aws_lambda_powertools.metrics.provider.cloudwatch_emf",
    "aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch",
    "aws_lambda_powertools.metrics.provider.cloudwatch_emf.constants",
    "aws_lambda_powertools.metrics.provider.cloudwatch_emf.exceptions",
    "aws_lambda_powertools.metrics.provider.cloudwatch_emf.metric_properties",
    "aws_lambda_powertools.metrics.provider.cold_start",
    "aws_lambda_powertools.shared",
    "aws_lambda_powertools.shared.constants",
    "aws_lambda_powertools.shared.functions",
    "aws_lambda_powertools.utilities",
    "aws_lambda_powertools.warnings",
)
"""The modules of Powertools that its Logger and Metrics load; ``template_gen.stand_ins`` has the rest."""

CRHELPER = ("crhelper", "crhelper.log_helper", "crhelper.resource_helper", "crhelper.utils")

HEAD = '''\
"""annex-bootstrap {version}: the function {module}.

Its sources are ARCHIVE: the text of every file by its path, as JSON, packed with bzip2, in base64.
Besides our own modules it holds: {licences}.
"""
import sys

class Archive:
    """Import modules from ARCHIVE."""
    def __init__(self):
        # Here, and not above: a function that must answer CloudFormation does so also where one of these is missing.
        import base64, bz2, json
        from importlib.machinery import ModuleSpec
        self.spec = ModuleSpec
        self.files = json.loads(bz2.decompress(base64.b64decode(ARCHIVE)))
    def find_spec(self, name, path=None, target=None):
        for end in "/__init__.py", ".py":
            origin = name.replace(".", "/") + end
            if origin in self.files:
                spec = self.spec(name, self, origin=origin, is_package=end != ".py")
                spec.has_location = True
                return spec
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        exec(compile(self.get_source(module.__name__), module.__file__, "exec", dont_inherit=True), vars(module))
    def get_source(self, name):
        return self.files[self.find_spec(name).origin]
    def get_data(self, path):
        return self.files[path].encode()

ARCHIVE = "'''

PLAIN_TAIL = """\
"

sys.meta_path.insert(0, Archive())
from {module} import handler
"""

ANSWERING_TAIL = '''\
"

try:
    sys.meta_path.insert(0, Archive())
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
class Archive:
    """What goes into one archive.

    Attributes:
        title: its key in the mapping.
        own: our modules, dotted; ``package.*`` is the package with all its modules.
        libraries: modules of libraries, dotted.
        stand_ins: what replaces modules of libraries, by their path in the archive.
        data: our folders whose files the modules read, from the checkout.
    """

    title: str
    own: tuple[str, ...]
    libraries: tuple[str, ...] = ()
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    data: tuple[str, ...] = ()


def add_archives(template: Template, archives: tuple[Archive, ...]) -> None:
    """Add the archives to the template's mappings."""
    packed = {archive.title: base64.b64encode(pack(archive)).decode() for archive in archives}
    template.add_mapping(
        MAPPING,
        {title: {BASE64: [text[at : at + LINE] for at in range(0, len(text), LINE)]} for title, text in packed.items()},
    )


def inline_code(archive: Archive, module: str, version: str, *, answers: bool) -> Join:
    """Return the Python source for the ``ZipFile`` property of a function.

    Args:
        archive: holds its modules.
        module: the dotted name of the module whose ``handler`` is called.
        version: of annex-bootstrap, for the reader.
        answers: whether the function must answer CloudFormation also when it cannot be loaded.
    """
    head = HEAD.format(version=version, module=module, licences=_licences(archive))
    tail = (ANSWERING_TAIL if answers else PLAIN_TAIL).format(module=module)
    return Join("", [head, Join("", FindInMap(MAPPING, archive.title, BASE64)), tail])


def pack(archive: Archive) -> bytes:
    """Return an archive's bytes."""
    return bz2.compress(json.dumps(files_of(archive), sort_keys=True, ensure_ascii=False).encode(), 9)


def files_of(archive: Archive) -> dict[str, str]:
    """Return the text of every file in an archive, by its path there."""
    files = dict(archive.stand_ins)
    for module in archive.own:
        for path in _own_paths(module):
            files[path.relative_to(ROOT).as_posix()] = path.read_bytes().decode()
    for folder in archive.data:
        for path in (ROOT / folder).iterdir():
            files[path.relative_to(ROOT).as_posix()] = path.read_bytes().decode()
    for distribution, name in third_party_files(archive):
        files[name] = third_party.read(distribution, name).decode()
    return files


def third_party_files(archive: Archive) -> Iterator[tuple[str, str]]:
    """Yield the files of libraries that an archive holds: the library, and the path below where it is installed."""
    for module in archive.libraries:
        top, *_ = module.split(".")
        site = Path(str(metadata.distribution(top).locate_file(".")))
        yield top, _module_path(site, module).relative_to(site).as_posix()


def _own_paths(module: str) -> list[Path]:
    path = ROOT / module.removesuffix(".*").replace(".", "/")
    if module.endswith(".*"):
        return sorted(path.glob("*.py"))
    return [_module_path(ROOT, module)]


def _module_path(root: Path, module: str) -> Path:
    path = root / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _licences(archive: Archive) -> str:
    names = {module.split(".")[0].replace("_", "-") for module in archive.libraries}
    return ", ".join(f"{name} {metadata.version(name)}" for name in sorted(names)) or "nothing"
