"""The name server of machines, asked as a resolver asks it."""

from __future__ import annotations

import socket
import struct

import pytest

from local_aws.machines.names import answer

ADDRESSES = {"amazonaws.com": "198.51.100.1"}
A, AAAA = 1, 28


def _query(name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def _read(reply: bytes) -> tuple[int, int, bytes]:
    """Return the code of the reply, how many records it has, and its last four bytes."""
    number, flags, questions, answers, _, _ = struct.unpack_from("!HHHHHH", reply)
    assert (number, questions) == (7, 1)
    return flags & 0xF, answers, reply[-4:]


@pytest.mark.parametrize("name", ["amazonaws.com", "ec2.us-east-1.amazonaws.com", "A-Bucket.s3.amazonaws.com"])
def test_aws_names_lead_to_the_local_aws(name: str) -> None:
    assert _read(answer(_query(name, A), ADDRESSES)) == (0, 1, socket.inet_aton("198.51.100.1"))


def test_a_name_that_exists_has_no_address_of_another_kind() -> None:
    code, answers, _ = _read(answer(_query("ec2.amazonaws.com", AAAA), ADDRESSES))
    assert (code, answers) == (0, 0)


@pytest.mark.parametrize("name", ["made-up.invalid", "notamazonaws.invalid"])
def test_a_name_that_leads_nowhere_does_not_exist(name: str) -> None:
    code, answers, _ = _read(answer(_query(name, A), ADDRESSES))
    assert (code, answers) == (3, 0)
