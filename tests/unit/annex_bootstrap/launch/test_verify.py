from __future__ import annotations

import base64
import bz2
import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from annex_bootstrap.errors import UserError
from annex_bootstrap.launch import verify
from template_gen.archive import ROOT
from template_gen.template import build_text

BUILT = build_text()


def _changed(name: str, code: Any) -> str:
    template: dict[str, Any] = json.loads(BUILT)
    template["Resources"][name]["Properties"]["Code"]["ZipFile"] = code
    return json.dumps(template, indent=1, sort_keys=True) + "\n"


def _code(name: str) -> str:
    return verify.read_code(BUILT)[name]


def _with_archive(content: bytes) -> str:
    return f'ARCHIVE = "{base64.b64encode(content).decode()}"\n'


def _repacked(name: str, files: dict[str, str]) -> str:
    """The code of a function with other files in its archive."""
    content = json.dumps(files).encode()
    old = next(line for line in _code(name).splitlines() if line.startswith("ARCHIVE"))
    return _code(name).replace(old, _with_archive(bz2.compress(content)).rstrip())


def test_the_modules_of_every_function_are_listed_with_the_hashes_of_our_sources() -> None:
    functions = verify.list_functions(BUILT)
    assert len(functions) == sum(
        resource["Type"] == "AWS::Lambda::Function" for resource in json.loads(BUILT)["Resources"].values()
    )
    for function in functions:
        ours = [module for module in function.modules if (ROOT / module.path).is_file()]
        assert ours
        for module in ours:
            assert module.sha256 == hashlib.sha256((ROOT / module.path).read_bytes()).hexdigest()


def test_what_this_version_builds_has_no_differences() -> None:
    assert verify.differences(BUILT, BUILT) == []


def test_other_spacing_is_not_byte_for_byte_the_same() -> None:
    assert verify.differences(json.dumps(json.loads(BUILT)), BUILT) == ["the same content, written differently"]


def test_a_changed_line_around_the_archive_is_found() -> None:
    changed = _changed("LeaseFunction", "import os\n" + _code("LeaseFunction"))
    assert verify.differences(changed, BUILT) == ["LeaseFunction: the code around the archive differs"]


def test_a_changed_a_missing_and_an_added_module_are_each_named() -> None:
    files = {"lambda_connectivity/handler.py": "", "lambda_connectivity/__init__.py": "", "extra.py": "made up"}
    found = verify.differences(_changed("ConnectivityFunction", _repacked("ConnectivityFunction", files)), BUILT)
    assert "ConnectivityFunction: extra.py is not in ours" in found
    assert "ConnectivityFunction: lambda_connectivity/cedar.py is missing" in found
    assert "ConnectivityFunction: lambda_connectivity/handler.py differs" in found


def test_a_second_archive_that_is_loaded_in_place_of_the_first_is_found() -> None:
    code = _code("ConnectivityFunction").replace("sys.meta_path", _with_archive(b"") + "sys.meta_path")
    assert verify.differences(_changed("ConnectivityFunction", code), BUILT) != []


def test_a_widened_policy_is_found() -> None:
    template = json.loads(BUILT)
    document = template["Resources"]["LeaseFunctionPolicy"]["Properties"]["PolicyDocument"]
    document["Statement"].append({"Effect": "Allow", "Action": "*", "Resource": "*"})
    assert verify.differences(json.dumps(template), BUILT) == ["Resources: LeaseFunctionPolicy differs"]


def test_an_added_and_a_removed_resource_are_found() -> None:
    template = json.loads(BUILT)
    template["Resources"]["Extra"] = template["Resources"].pop("LeaseAlarm")
    assert verify.differences(json.dumps(template), BUILT) == [
        "Resources: Extra is not in ours",
        "Resources: LeaseAlarm is missing",
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"no bzip2",
        bz2.compress(b"no json"),
        bz2.compress(b"[]") + b"more",
        bz2.compress(b'{"a.py": "", "a.py": "another"}'),
        bz2.compress(b'{"a.py": 1}'),
        bz2.compress(bytes(verify.MAX_ARCHIVE + 1)),
    ],
    ids=["not bzip2", "not JSON", "trailing bytes", "a file twice", "a file without text", "larger than allowed"],
)
def test_a_damaged_archive_is_refused_with_its_function(content: bytes) -> None:
    with pytest.raises(UserError, match="LeaseFunction"):
        verify.list_functions(_changed("LeaseFunction", _with_archive(content)))


@pytest.mark.parametrize(
    "code",
    [
        {"Fn::Join": ["", [{"Fn::FindInMap": ["Archives", "Another", "Base64"]}]]},
        {"Fn::Join": [",", ["import os", "import sys"]]},
        {"Fn::Join": ["", [{"Fn::FindInMap": ["Archives", "Lease", "Base64"]}] * 100]},
        {"Fn::Sub": "import os"},
        {"Ref": "BucketName"},
        1,
    ],
    ids=["of no archive", "with separators", "longer than allowed", "with a variable", "an input", "no text"],
)
def test_code_that_is_put_together_in_another_way_is_refused_with_its_function(code: Any) -> None:
    with pytest.raises(UserError, match="the code of LeaseFunction cannot be read"):
        verify.list_functions(_changed("LeaseFunction", code))


def test_a_changed_archive_is_found_in_every_function_that_shares_it() -> None:
    template = json.loads(BUILT)
    shared = template["Mappings"]["Archives"]["CustomResources"]
    shared["Base64"] = template["Mappings"]["Archives"]["Connectivity"]["Base64"]
    found = verify.differences(json.dumps(template), BUILT)
    assert "Mappings: Archives differs" in found
    for name in ("BucketFunction", "FleetRoleFunction", "InstanceRoleFunction", "SecurityGroupFunction"):
        assert f"{name}: crhelper/utils.py is missing" in found


@pytest.mark.parametrize(
    "beside",
    [
        {"S3Bucket": "theirs", "S3Key": "code.zip"},
        {"ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/theirs:latest"},
        {"Fn::Transform": {"Name": "AWS::Include", "Parameters": {"Location": "s3://theirs/code.json"}}},
        {"SourceKMSKeyArn": "arn:aws:kms:us-east-1:123456789012:key/theirs"},
    ],
    ids=lambda beside: next(iter(beside)),
)
def test_code_from_elsewhere_beside_ours_is_found(beside: dict[str, Any]) -> None:
    template = json.loads(BUILT)
    template["Resources"]["LeaseFunction"]["Properties"]["Code"] |= beside
    assert verify.differences(json.dumps(template), BUILT) == ["Resources: LeaseFunction differs"]


@pytest.mark.parametrize(
    ("ours", "doubled"),
    [
        ('"Resources":', '"Resources": {"Theirs": {"Type": "AWS::IAM::User"}}, "Resources":'),
        ('"Timeout":', '"Timeout": 900, "Timeout":'),
        ('"ZipFile":', '"ZipFile": "import os", "ZipFile":'),
        ('"Statement":', '"Statement": [], "Statement":'),
    ],
)
def test_a_key_that_is_written_twice_is_refused(ours: str, doubled: str) -> None:
    # CloudFormation does not say which of both it takes.
    text = BUILT.replace(ours, doubled, 1)
    assert json.loads(text) == json.loads(BUILT)
    with pytest.raises(UserError, match=f"has the key '{ours[1:-2]}' twice"):
        verify.differences(text, BUILT)


@pytest.mark.parametrize(("ours", "theirs"), [("true", "1"), ("9618", "9618.0")])
def test_a_value_of_another_type_is_found(ours: str, theirs: str) -> None:
    text = BUILT.replace(f": {ours}", f": {theirs}", 1)
    assert text != BUILT
    assert json.loads(text) == json.loads(BUILT)
    (line,) = verify.differences(text, BUILT)
    assert line.endswith(" differs")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Resources": 1}', "Resources:\n  yaml: {}"])
def test_what_is_not_a_template_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="not a template"):
        verify.list_functions(text)


def test_nothing_of_a_template_is_executed(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    verify.list_functions(_changed("LeaseFunction", f"open({str(witness)!r}, 'w')\n"))
    assert not witness.exists()


def test_a_file_larger_than_any_template_is_not_read_to_its_end(tmp_path: Path) -> None:
    large = tmp_path / "large.json"
    large.write_bytes(bytes(verify.MAX_TEMPLATE + 1))
    with pytest.raises(UserError, match="larger"):
        verify.read_source(str(large))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.json"):
        verify.read_source(str(tmp_path / "none.json"))


@pytest.mark.parametrize("source", ["http://127.0.0.1:9/t.json", "file:///etc/hostname", "ftp://127.0.0.1/t.json"])
def test_only_https_is_fetched(source: str) -> None:
    with pytest.raises(UserError, match="https"):
        verify.read_source(source)


class _Server(BaseHTTPRequestHandler):
    """Sends ``/away`` to a URL without TLS, ``/round`` to itself for ever, and serves the template elsewhere."""

    def do_GET(self) -> None:
        if self.path in ("/away", "/round"):
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:9/" if self.path == "/away" else "/round")
            self.end_headers()
        else:
            self.send_response(200 if self.path == "/template" else 404)
            self.end_headers()
            self.wfile.write(BUILT.encode() if self.path == "/template" else b"none")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the library's
        """Say nothing."""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a server with TLS on loopback."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with HTTPServer(("127.0.0.1", 0), _Server) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_template_is_fetched_over_https(site: str) -> None:
    assert verify.differences(verify.read_source(f"{site}/template"), BUILT) == []


@pytest.mark.parametrize("path", ["away", "round", "missing"])
def test_a_redirect_out_of_https_a_circle_and_an_error_are_refused(site: str, path: str) -> None:
    with pytest.raises(UserError, match="cannot be fetched"):
        verify.read_source(f"{site}/{path}")
