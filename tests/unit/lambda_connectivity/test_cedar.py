from __future__ import annotations

import string
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_connectivity import cedar

INSTANCE_IDS = st.text(string.hexdigits, min_size=16, max_size=16)


def test_the_query_is_the_documented_thirteen_bytes() -> None:
    assert cedar.query_instance() == bytes.fromhex("01 00000008 000000000000ea8d")


@given(st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=200), st.integers(0, 2**31 - 1))
def test_a_shared_port_reads_back_the_name_and_the_deadline(name: str, seconds: int) -> None:
    request = cedar.shared_port_request(name, seconds)
    last, length = struct.unpack(">BI", request[:5])
    assert (last, length) == (1, len(request) - 5)
    command, rest = struct.unpack(">q", request[5:13])[0], request[13:]
    socket_name, client_name, numbers = rest.split(b"\0", 2)
    assert command == 75
    assert socket_name.decode() == name
    # A shared port takes a "<" in the client's name for an address, and may refuse.
    assert client_name.isascii()
    assert b"<" not in client_name
    assert struct.unpack(">qq", numbers) == (seconds, 0)


@given(INSTANCE_IDS)
def test_an_answer_gives_its_instance_id(instance_id: str) -> None:
    assert cedar.instance_id(b"\x01\0\0\0\x10" + instance_id.encode()) == instance_id


@given(INSTANCE_IDS, st.integers(0, cedar.ANSWER_BYTES))
def test_no_beginning_of_an_answer_is_refused(instance_id: str, length: int) -> None:
    cedar.check_prefix((b"\x01\0\0\0\x10" + instance_id.encode())[:length])


@given(INSTANCE_IDS, st.integers(0, cedar.ANSWER_BYTES - 1))
def test_a_part_of_an_answer_is_not_an_answer(instance_id: str, length: int) -> None:
    with pytest.raises(cedar.NotCedarError):
        cedar.instance_id((b"\x01\0\0\0\x10" + instance_id.encode())[:length])


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x01\0\0\0\x0f" + b"0" * 16,
        b"\x01\xff\xff\xff\xff" + b"0" * 16,
        b"\0\0\0\0\x10" + b"0" * 16,
    ],
)
def test_a_wrong_header_is_refused_at_its_first_wrong_byte(answer: bytes) -> None:
    with pytest.raises(cedar.NotCedarError):
        cedar.check_prefix(answer[:5])


@pytest.mark.parametrize("payload", [b"0123456789abcdeg", b"0123456789abcde\n", b"\xff" * 16])
def test_a_payload_that_is_not_hexadecimal_is_refused(payload: bytes) -> None:
    with pytest.raises(cedar.NotCedarError):
        cedar.instance_id(b"\x01\0\0\0\x10" + payload)
