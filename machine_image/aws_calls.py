"""Signed calls of AWS with the keys of a machine's role, by Python's standard library. Runs on the machine.

The AWS command line takes seconds of processor time for each call, of which a machine makes five before it can work.

Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html,
https://docs.aws.amazon.com/general/latest/gr/rande.html
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple, TypeAlias
from urllib.parse import quote, unquote, urlencode, urlsplit
from xml.etree import ElementTree

TRUSTED: str | None = "/etc/ssl/certs/ca-certificates.crt"
"""Whom programs on Debian trust."""

Send: TypeAlias = Callable[[str, bytes, str, str, str, str], bytes]
"""Returns the answer to a request: given its URL, its form, the service and region that sign, what the call is, for the
error, and its method."""

_IAM = {
    "aws": ("iam.amazonaws.com", "us-east-1"),
    "aws-cn": ("iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    "aws-us-gov": ("iam.us-gov.amazonaws.com", "us-gov-west-1"),
}


class RefusedError(Exception):
    """AWS refused a call, or does not answer; the text says which and why."""


class Keys(NamedTuple):
    """What a role's machine signs with."""

    access_key_id: str
    secret_access_key: str
    token: str


class Place(NamedTuple):
    """Where a machine is.

    Attributes:
        region: such as us-east-1.
        domain: of AWS's host names there.
        partition: such as aws.
    """

    region: str
    domain: str = "amazonaws.com"
    partition: str = "aws"


def signed(url: str, form: bytes, service: str, region: str, keys: Keys, now: datetime, method: str) -> dict[str, str]:
    """Return the headers of a signed request.

    Args:
        url: with its path encoded, and no query.
        form: the body.
        service: that signs, such as ec2.
        region: that signs.
        keys: of the role.
        now: the time, in UTC.
        method: of HTTP.
    """
    parts = urlsplit(url)
    moment, day = f"{now:%Y%m%dT%H%M%SZ}", f"{now:%Y%m%d}"
    digest = hashlib.sha256(form).hexdigest()
    headers = {
        "host": parts.netloc,
        "x-amz-content-sha256": digest,
        "x-amz-date": moment,
        "x-amz-security-token": keys.token,
    }
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = f"{method}\n{parts.path or '/'}\n\n{lines}\n{names}\n{digest}"
    scope = f"{day}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{keys.secret_access_key}".encode()
    for part in (day, region, service, "aws4_request", text):
        key = hmac.digest(key, part.encode(), "sha256")
    said = f"Credential={keys.access_key_id}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    return {**headers, "Authorization": f"AWS4-HMAC-SHA256 {said}"}


class SignedRequests:
    """Requests signed with a role's keys, and with AWS's time where the machine's is wrong."""

    def __init__(self, keys: Keys) -> None:
        """Ask nothing yet."""
        self._keys = keys
        self._late = timedelta()
        self._tls = ssl.create_default_context(cafile=TRUSTED)

    def send(self, url: str, form: bytes, service: str, region: str, what: str, method: str) -> bytes:
        """Return the answer to a request.

        Raises:
            RefusedError: AWS refused it, or does not answer.
        """
        headers = signed(url, form, service, region, self._keys, datetime.now(UTC) + self._late, method)
        try:
            request = urllib.request.Request(url, form or None, headers, method=method)
            with urllib.request.urlopen(request, timeout=60, context=self._tls) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            # AWS takes no signature of another time, and says what time it is: a clock may be wrong at boot.
            if date := error.headers.get("Date"):
                self._late = parsedate_to_datetime(date) - datetime.now(UTC)
            said = " ".join(error.read().decode(errors="replace").split())
            raise RefusedError(f"{what}: {error.code} {said[:500]}") from error
        except (OSError, http.client.HTTPException) as error:
            raise RefusedError(f"{what}: {error}") from error


class AwsCalls:
    """The calls that a machine makes at boot."""

    def __init__(self, place: Place, keys: Keys, send: Send | None = None) -> None:
        """Call nothing yet.

        Args:
            place: where the machine is.
            keys: of its role.
            send: another way to AWS than a signed request.
        """
        self._place = place
        self._send = send or SignedRequests(keys).send

    def describe_instance(self, instance_id: str) -> tuple[dict[str, str], str] | None:
        """Return the tags and the client token of an instance, or None where EC2 does not know it yet."""
        answer = self._ec2("DescribeInstances", {"InstanceId.1": instance_id})
        found = answer.find(".//instancesSet/item")
        if found is None:
            return None
        tags = {item.findtext("key", ""): item.findtext("value", "") for item in found.iterfind("tagSet/item")}
        return tags, found.findtext("clientToken", "")

    def fleet_token(self, fleet: str) -> str:
        """Return the client token of a spot fleet request."""
        answer = self._ec2("DescribeSpotFleetRequests", {"SpotFleetRequestId.1": fleet})
        return answer.findtext(".//spotFleetRequestConfig/clientToken", "")

    def role_policies(self, role: str) -> list[Mapping[str, object]]:
        """Return the inline policies of a role."""
        names = [item.text or "" for item in self._iam("ListRolePolicies", {"RoleName": role}).iterfind(".//member")]
        answers = [self._iam("GetRolePolicy", {"PolicyName": name, "RoleName": role}) for name in names]
        return [json.loads(unquote(answer.findtext(".//PolicyDocument", ""))) for answer in answers]

    def read_object(self, bucket: str, key: str) -> bytes:
        """Return an object of S3."""
        return self._object("GET", "GetObject", bucket, key)

    def delete_object(self, bucket: str, key: str) -> None:
        """Delete an object of S3; one that is gone is fine."""
        self._object("DELETE", "DeleteObject", bucket, key)

    def _object(self, method: str, action: str, bucket: str, key: str) -> bytes:
        host = f"s3.{self._place.region}.{self._place.domain}"
        # A bucket's own host name has no certificate where the bucket's name has dots.
        url = f"https://{host}/{bucket}" if "." in bucket else f"https://{bucket}.{host}"
        what = f"s3 {action} s3://{bucket}/{key}"
        return self._send(f"{url}/{quote(key)}", b"", "s3", self._place.region, what, method)

    def _ec2(self, action: str, parameters: Mapping[str, str]) -> ElementTree.Element:
        host = f"ec2.{self._place.region}.{self._place.domain}"
        return self._query(host, "ec2", self._place.region, {"Action": action, "Version": "2016-11-15", **parameters})

    def _iam(self, action: str, parameters: Mapping[str, str]) -> ElementTree.Element:
        host, region = _IAM[self._place.partition]
        return self._query(host, "iam", region, {"Action": action, "Version": "2010-05-08", **parameters})

    def _query(self, host: str, service: str, region: str, parameters: Mapping[str, str]) -> ElementTree.Element:
        form = urlencode(parameters).encode()
        what = f"{service} {parameters['Action']}"
        root = ElementTree.fromstring(self._send(f"https://{host}/", form, service, region, what, "POST"))
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return root
