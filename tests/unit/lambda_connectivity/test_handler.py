from __future__ import annotations

import json
import logging
import math
import socket
from collections.abc import Iterator
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_connectivity.handler import IN_VPC, MARGIN_SECONDS, MalformedEventError, handler, read_event
from tests.unit.lambda_connectivity.peer import Peer, Script, daemon, frame, receive, saying, shared_port

COLLECTOR = "c0ffee00c0ffee00"
SHARED_PORT = "0123456789abcdef"


class Clock:
    """Lambda's context with a given time left."""

    aws_request_id = "6bc28136-xmpl-4365-b021-0ce6b2e64ab0"

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return round(self._seconds * 1000)


def event(port: object, host: object = "127.0.0.1", timeout: object = 5) -> dict[str, object]:
    return {"timeout": timeout, "condor_port": port, "condor_host": host}


@pytest.fixture(autouse=True)
def local_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts AWS on this machine, where the pools of these tests are."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:4566")


def failure(answer: dict[str, str]) -> str:
    """Return the description of an answer that must be a failure."""
    assert answer.keys() == {"success", "result", "description"}
    assert (answer["success"], answer["result"]) == ("0", "")
    return answer["description"]


@pytest.fixture
def refusing_port() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    # The kernel completes connections that nobody ever accepts.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def unreachable_port() -> Iterator[int]:
    # A full backlog: the kernel drops every further attempt, as a firewall does.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as waiting:
        waiting.connect(listener.getsockname())
        yield listener.getsockname()[1]


def has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "127.8.8.8", "0.0.0.0", "0", "2130706433", "localhost"),
        *("169.254.169.254", "169.254.100.1", "224.0.0.1"),
        *("::1", "::", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "fe80::1", "ff02::1"),
    ],
)
@pytest.mark.parametrize(
    "endpoint", [None, "https://lambda.us-east-1.amazonaws.com", "https://127.0.0.1.example.org:1"]
)
def test_the_function_asks_nothing_of_its_own_machine(
    host: str, endpoint: str | None, refusing_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    if endpoint is not None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with Peer(daemon(COLLECTOR)) as peer:
        answers = {failure(handler(event(port, host), Clock())) for port in (peer.port, refusing_port)}
    (answer,) = answers
    assert answer.startswith(f"At {host} the function would only ask its own machine in AWS. Give the pool a public ")


def test_a_collector_that_owns_its_port_gives_its_instance_id() -> None:
    with Peer(daemon(COLLECTOR)) as peer:
        answer = handler(event(peer.port), Clock())
    assert answer == {
        "success": "1",
        "result": COLLECTOR,
        "description": f"The collector at 127.0.0.1 port {peer.port} answered.",
    }


def test_behind_a_shared_port_it_is_the_collectors_instance_id() -> None:
    with Peer(shared_port(SHARED_PORT, {"collector": COLLECTOR})) as peer:
        answer = handler(event(peer.port), Clock())
    assert (answer["success"], answer["result"]) == ("1", COLLECTOR)
    assert "behind the shared port" in answer["description"]


def test_a_shared_port_without_a_collector_is_not_taken_for_one() -> None:
    with Peer(shared_port(SHARED_PORT, {"schedd": "5c4edd005c4edd00"})) as peer:
        assert "no collector behind it" in failure(handler(event(peer.port), Clock()))


def test_another_collector_behind_the_same_shared_port_is_asked_by_its_name() -> None:
    daemons = {"collector": COLLECTOR, "ap_collector": "aaaaaaaaaaaaaaaa"}
    with Peer(shared_port(SHARED_PORT, daemons)) as peer:
        answer = handler({**event(peer.port), "condor_socket": "ap_collector"}, Clock())
    assert (answer["success"], answer["result"]) == ("1", "aaaaaaaaaaaaaaaa")


@pytest.mark.parametrize("script", [shared_port(SHARED_PORT, {"collector": COLLECTOR}), daemon(COLLECTOR)])
def test_a_collector_of_another_name_is_not_taken_for_the_one_asked_for(script: Script) -> None:
    with Peer(script) as peer:
        said = failure(handler({**event(peer.port), "condor_socket": "ap_collector"}, Clock()))
    assert "no collector behind it" in said
    assert "named ap_collector" in said


@pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no ::1")
def test_an_ipv6_address_is_reached() -> None:
    with Peer(daemon(COLLECTOR), socket.AF_INET6) as peer:
        assert handler(event(peer.port, "::1"), Clock())["result"] == COLLECTOR


def test_a_port_where_nothing_listens_is_reported(refusing_port: int) -> None:
    assert failure(handler(event(refusing_port), Clock())).startswith(
        f"Nothing listens on 127.0.0.1 port {refusing_port}. Start HTCondor there"
    )


def test_an_address_without_a_route_is_reported() -> None:
    description = failure(handler(event(9618, "255.255.255.255"), Clock()))
    assert description.startswith("AWS has no way to 255.255.255.255.")


def test_a_firewall_that_drops_packets_is_reported(unreachable_port: int) -> None:
    description = failure(handler(event(unreachable_port, timeout=0.3), Clock()))
    assert description.startswith(f"No connection to 127.0.0.1 port {unreachable_port} within 0.3 s. Open this")


def test_in_the_subnets_it_says_what_is_wrong_with_their_way_to_the_pool(
    monkeypatch: pytest.MonkeyPatch, unreachable_port: int, refusing_port: int
) -> None:
    monkeypatch.setenv(IN_VPC, "yes")
    closed = failure(handler(event(unreachable_port, timeout=0.3), Clock()))
    assert closed.startswith(
        f"No connection from the stack's subnets to 127.0.0.1 port {unreachable_port} within 0.3 s."
    )
    assert "VPN, Direct Connect or NAT, because the function has no public address" in closed
    routed = failure(handler(event(9618, "255.255.255.255"), Clock()))
    assert routed.startswith("The stack's subnets have no way to 255.255.255.255.")
    named = failure(handler(event(9618, "collector.invalid"), Clock()))
    assert named.startswith("The DNS of the stack's VPC found no address for the name collector.invalid.")
    linked = failure(handler(event(9618, "169.254.169.254"), Clock()))
    assert linked.endswith("only ask its own machine in AWS. Correct COLLECTOR_HOST.")
    # The rest is the same wherever the function runs.
    assert failure(handler(event(refusing_port), Clock())).startswith("Nothing listens on 127.0.0.1 port")


def test_a_peer_that_never_answers_is_reported(silent_port: int) -> None:
    assert "did not answer within 0.3 s" in failure(handler(event(silent_port, timeout=0.3), Clock()))


def test_the_budget_stays_inside_what_the_function_has_left(silent_port: int) -> None:
    clock = Clock(MARGIN_SECONDS + 0.25)
    assert "did not answer within 0.25 s" in failure(handler(event(silent_port, timeout=600), clock))


def test_a_function_without_time_left_still_answers() -> None:
    assert " 0 s." in failure(handler(event(9618), Clock(MARGIN_SECONDS / 2)))


def test_a_peer_that_just_closes_is_reported() -> None:
    with Peer(lambda _: None) as peer:
        assert "closes the connection without an answer" in failure(handler(event(peer.port), Clock()))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        frame(b"0123456789abcde"),
        frame(b"0123456789abcdef0"),
        frame(b"not hexadecimal!"),
        frame(COLLECTOR.encode())[:-1],
        b"\x01",
    ],
)
def test_an_answer_that_is_not_htcondors_is_reported(answer: bytes) -> None:
    with Peer(saying(answer)) as peer:
        assert failure(handler(event(peer.port), Clock())).startswith("Something other than HTCondor listens")


def test_a_huge_length_is_refused_without_waiting_for_its_payload() -> None:
    def script(connection: socket.socket) -> None:
        connection.sendall(b"\x01\xff\xff\xff\xff")
        peer.leaving.wait()

    with Peer(script) as peer:
        try:
            description = failure(handler(event(peer.port), Clock()))
        finally:
            peer.leaving.set()
    assert description.startswith("Something other than HTCondor listens")


def dribble(connection: socket.socket, pause: float) -> None:
    receive(connection)
    for byte in frame(COLLECTOR.encode()):
        connection.sendall(bytes([byte]))
        Event().wait(pause)


def test_a_slow_answer_within_the_budget_counts() -> None:
    with Peer(lambda connection: dribble(connection, 0.01)) as peer:
        assert handler(event(peer.port), Clock())["result"] == COLLECTOR


def test_the_budget_is_for_the_whole_answer_and_not_for_each_byte() -> None:
    with Peer(lambda connection: dribble(connection, 0.1)) as peer:
        assert "did not answer within 0.5 s" in failure(handler(event(peer.port, timeout=0.5), Clock()))


@pytest.mark.parametrize("host", ["collector.invalid", "pool..example.org", "a" * 64 + ".example.org"])
def test_a_name_that_does_not_exist_is_reported(host: str) -> None:
    assert failure(handler(event(9618, host), Clock())).startswith(f"AWS found no address for the name {host}.")


def test_a_name_server_that_does_not_answer_cannot_use_up_more_than_the_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked_enough = Event()

    def never_found(*_: object, **__: object) -> None:
        asked_enough.wait()
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", never_found)
    description = failure(handler(event(9618, "pool.example.org", 0.2), Clock()))
    asked_enough.set()
    assert description.startswith("Looking up the name pool.example.org took longer than 0.2 s.")


def resolve_to(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """Give every name one loopback address for each port, as if each were a machine of its own."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


def test_a_dead_address_does_not_keep_the_next_one_from_being_asked(
    monkeypatch: pytest.MonkeyPatch, refusing_port: int, unreachable_port: int
) -> None:
    with Peer(daemon(COLLECTOR)) as peer:
        resolve_to(monkeypatch, refusing_port, unreachable_port, peer.port)
        assert handler(event(9618, "pool.example.org", 1), Clock())["result"] == COLLECTOR


def test_of_many_failing_addresses_the_one_that_got_farthest_is_reported(
    monkeypatch: pytest.MonkeyPatch, refusing_port: int
) -> None:
    with Peer(saying(b"220 mail.example.org ESMTP\r\n")) as peer:
        resolve_to(monkeypatch, peer.port, refusing_port)
        description = failure(handler(event(9618, "pool.example.org"), Clock()))
    assert description.startswith("Something other than HTCondor listens")


@pytest.mark.parametrize(
    ("malformed", "said"),
    [
        (None, "it is not a JSON object"),
        ([], "it is not a JSON object"),
        ({}, "condor_host must be"),
        (event(9618, host=""), "condor_host must be"),
        (event(9618, host=7), "condor_host must be"),
        (event(9618, host="two words"), "condor_host must be"),
        (event(9618, host="pool\0.example.org"), "condor_host must be"),
        (event(9618, host="a" * 254), "condor_host must be"),
        (event(None), "condor_port must be"),
        (event(True), "condor_port must be"),
        (event("9618"), "condor_port must be"),
        (event(0), "condor_port must be"),
        (event(65536), "condor_port must be"),
        (event(9618, timeout=None), "timeout must be"),
        (event(9618, timeout=True), "timeout must be"),
        (event(9618, timeout="5"), "timeout must be"),
        (event(9618, timeout=0), "timeout must be"),
        (event(9618, timeout=-1), "timeout must be"),
        (event(9618, timeout=math.nan), "timeout must be"),
        (event(9618, timeout=math.inf), "timeout must be"),
        ({**event(9618), "condor_socket": 7}, "condor_socket must be"),
        ({**event(9618), "condor_socket": ""}, "condor_socket must be"),
        ({**event(9618), "condor_socket": "../x"}, "condor_socket must be"),
    ],
)
def test_a_malformed_event_is_answered_with_what_is_wrong_in_it(malformed: object, said: str) -> None:
    assert said in failure(handler(malformed, Clock()))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {}, optional={"condor_host": JSON, "condor_port": JSON, "timeout": JSON, "condor_socket": JSON}
    )
    | JSON
)
def test_any_event_is_either_understood_or_named_malformed(anything: object) -> None:
    try:
        request = read_event(anything)
    except MalformedEventError:
        failure(handler(anything, Clock()))
    else:
        assert request.host
        assert 0 < request.port < 65536
        assert request.timeout > 0


BYTES = st.binary(max_size=64)
INSTANCE_ID = st.from_regex(rb"[0-9a-f]{16}", fullmatch=True)


def test_whatever_a_peer_says_the_answer_is_three_strings() -> None:
    said = b""

    def script(connection: socket.socket) -> None:
        saying(said)(connection)

    with Peer(script) as peer:

        @given(BYTES | BYTES.map(frame) | INSTANCE_ID.map(frame) | BYTES.map(lambda rest: b"\x01\0\0\0\x10" + rest))
        def check(answer: bytes) -> None:
            nonlocal said
            said = answer
            strings = handler(event(peer.port), Clock())
            assert strings.keys() == {"success", "result", "description"}
            assert all(isinstance(value, str) for value in strings.values())
            if strings["success"] == "1":
                assert answer[:21] == frame(strings["result"].encode())
            else:
                failure(strings)

        check()


def test_a_call_logs_one_line_of_json_with_the_answer(caplog: pytest.LogCaptureFixture, refusing_port: int) -> None:
    with caplog.at_level(logging.INFO):
        answer = handler(event(refusing_port), Clock())
    (record,) = caplog.records
    logged = json.loads(record.getMessage())
    assert logged.pop("milliseconds") >= 0
    assert logged.pop("function_request_id") == Clock.aws_request_id
    assert logged == answer


class BrokenClock:
    """A context that cannot tell the time."""

    aws_request_id = Clock.aws_request_id

    def get_remaining_time_in_millis(self) -> int:
        raise RuntimeError("no time")


def test_a_fault_of_our_own_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    description = failure(handler(event(9618), BrokenClock()))
    assert "itself failed (RuntimeError)" in description
    assert "no time" in caplog.text
