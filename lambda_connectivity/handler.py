"""The Lambda function that condor_annex asks whether AWS can reach the pool's collector.

condor_annex sends ``{"timeout": 5, "condor_port": 9618, "condor_host": "pool.example.org"}`` and wants three
strings: ``success`` (``1`` or ``0``), ``result`` (the collector's instance ID, which must be the one that the
collector tells condor_annex) and ``description`` (which it shows). Source: HTCondor's ``src/condor_annex``.

From 24.11 on condor_annex asks no more, and machines join a collector of the access point's own. So ``doctor`` asks for
that one, with one field more: ``"condor_socket": "ap_collector"``.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import time
from dataclasses import dataclass
from typing import Protocol

from lambda_connectivity.collector import COLLECTOR_SOCKET, Failure, UnansweredError, ask_collector

MARGIN_SECONDS = 1.0
"""What stays of the function's own time for answering."""

IN_VPC = "IN_VPC"
"""The variable that says that the function runs in the stack's subnets."""

_LONGEST_HOST = 253

# HTCondor makes a file of that name. Source: SharedPortEndpoint in its src/condor_daemon_core.V6.
_SOCKET_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_EXPLANATIONS = {
    Failure.OWN_MACHINE: (
        "At {host} the function would only ask its own machine in AWS. Give the pool a public IPv4 address, or correct"
        " COLLECTOR_HOST."
    ),
    Failure.NAME_NOT_FOUND: (
        "AWS found no address for the name {host}. Give the pool a name in public DNS, or correct COLLECTOR_HOST."
    ),
    Failure.NAME_TIMED_OUT: (
        "Looking up the name {host} took longer than {seconds:g} s. Try again; if it stays so, check the DNS"
        " servers of that name."
    ),
    Failure.NO_ROUTE: ("AWS has no way to {host}. Give the pool a public IPv4 address, or correct COLLECTOR_HOST."),
    Failure.CONNECT_TIMED_OUT: (
        "No connection to {host} port {port} within {seconds:g} s. Open this TCP port to the internet in"
        " every firewall in front of the pool, and check that the address is public."
    ),
    Failure.REFUSED: (
        "Nothing listens on {host} port {port}. Start HTCondor there, check that NETWORK_INTERFACE is not"
        " 127.0.0.1, or correct the port in COLLECTOR_HOST."
    ),
    Failure.CLOSED: (
        "What listens on {host} port {port} closes the connection without an answer. Check that it is"
        " HTCondor; if so, its SharedPortLog and CollectorLog say why."
    ),
    Failure.SILENT: (
        "{host} port {port} takes connections, but did not answer within {seconds:g} s. Check that it is"
        " HTCondor, and that its collector is not hung or overloaded."
    ),
    Failure.NOT_HTCONDOR: (
        "Something other than HTCondor listens on {host} port {port}. Correct the port in COLLECTOR_HOST."
    ),
    Failure.NO_COLLECTOR: (
        "A condor_shared_port listens on {host} port {port}, but has no collector behind it. Check that the"
        " collector runs, and that its socket is named {socket}."
    ),
}

_EXPLANATIONS_IN_VPC = _EXPLANATIONS | {
    Failure.OWN_MACHINE: "At {host} the function would only ask its own machine in AWS. Correct COLLECTOR_HOST.",
    Failure.NAME_NOT_FOUND: (
        "The DNS of the stack's VPC found no address for the name {host}. Let it know the pool's names, or correct"
        " COLLECTOR_HOST."
    ),
    Failure.NO_ROUTE: (
        "The stack's subnets have no way to {host}. Add a route there to the pool, or correct COLLECTOR_HOST."
    ),
    Failure.CONNECT_TIMED_OUT: (
        "No connection from the stack's subnets to {host} port {port} within {seconds:g} s. Check that they lead there"
        " by VPN, Direct Connect or NAT, because the function has no public address, and open this TCP port to them in"
        " every firewall in front of the pool."
    ),
}

_LOGGER = logging.getLogger(__name__)
_LOGGER.setLevel(logging.INFO)


class Context(Protocol):
    """The part of Lambda's context object that is used.

    Attributes:
        aws_request_id: the ID of this invocation.
    """

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds that are left until Lambda ends the function."""
        ...


class MalformedEventError(ValueError):
    """The event is not what condor_annex or doctor sends; the message says why."""


@dataclass(frozen=True)
class Request:
    """What condor_annex or doctor asks for.

    Attributes:
        host: the collector's name or address.
        port: the TCP port of the collector or of its shared port.
        timeout: seconds for the whole check.
        socket_name: the collector's name behind a shared port.
    """

    host: str
    port: int
    timeout: float
    socket_name: str = COLLECTOR_SOCKET


def handler(event: object, context: Context) -> dict[str, str]:
    """Answer condor_annex. Never raise: a failure is an answer too.

    Args:
        event: see the module's docstring.
        context: Lambda's context; the check ends a second before the function's time does.
    """
    began = time.monotonic()
    success, result = False, ""
    try:
        request = read_event(event)
        left = max(context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS, 0.0)
        success, result, description = _check(request, min(request.timeout, left))
    except MalformedEventError as error:
        description = f"The connectivity function got an event that it cannot use: {error}."
    except Exception as error:
        _LOGGER.exception("unexpected")
        cause = type(error).__name__
        description = f"The connectivity function itself failed ({cause}). Its log in CloudWatch says more."
    answer = {"success": "1" if success else "0", "result": result, "description": description}
    milliseconds = round((time.monotonic() - began) * 1000)
    _LOGGER.info(json.dumps({**answer, "milliseconds": milliseconds, "function_request_id": context.aws_request_id}))
    return answer


def read_event(event: object) -> Request:
    """Check an event.

    Raises:
        MalformedEventError: a field is missing or invalid.
    """
    if not isinstance(event, dict):
        raise MalformedEventError("it is not a JSON object")
    host, port, timeout = event.get("condor_host"), event.get("condor_port"), event.get("timeout")
    if not isinstance(host, str) or not 0 < len(host) <= _LONGEST_HOST or not all("!" <= c <= "~" for c in host):
        raise MalformedEventError("condor_host must be a host name or an IP address")
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        raise MalformedEventError("condor_port must be a whole number from 1 to 65535")
    if not isinstance(timeout, int | float) or isinstance(timeout, bool) or not 0 < timeout < math.inf:
        raise MalformedEventError("timeout must be a number of seconds above 0")
    socket_name = event.get("condor_socket", COLLECTOR_SOCKET)
    if not isinstance(socket_name, str) or not _SOCKET_NAME.fullmatch(socket_name):
        raise MalformedEventError("condor_socket must be the name of a daemon behind a shared port")
    return Request(host, port, timeout, socket_name)


def _check(request: Request, seconds: float) -> tuple[bool, str, str]:
    try:
        answer = ask_collector(request.host, request.port, seconds, request.socket_name)
    except UnansweredError as error:
        explanation = (_EXPLANATIONS_IN_VPC if IN_VPC in os.environ else _EXPLANATIONS)[error.failure]
        names = {"host": request.host, "port": request.port, "socket": request.socket_name}
        return False, "", explanation.format(**names, seconds=seconds)
    where = "behind the shared port of" if answer.shared_port else "at"
    return True, answer.instance_id, f"The collector {where} {request.host} port {request.port} answered."
