"""What listens on this machine, and whom it answers: HTTP and Ray's services, without a token and with it.

Run as a script on a machine with arguments USER TOKEN, it prints as JSON what the ports of that user answer.
"""

from __future__ import annotations

import json
import pwd
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any, NamedTuple

import grpc

#: One call of each of Ray's services; who has the token is let in.
SERVICES = (
    "NodeInfoGcsService/CheckAlive",
    "NodeManagerService/GetNodeStats",
    "ObjectManagerService/Pull",
    "CoreWorkerService/GetCoreWorkerStats",
    "ReporterService/HealthCheck",
)

#: The call of ray://, of a cluster's head.
CLIENT = "RayletDriver/ClusterInfo"

_NO_ANSWER = (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class Entry(NamedTuple):
    """A socket of TCP: where it is, whether it listens, the host at its other end, its user and its inode."""

    host: str
    port: int
    listens: bool
    peer: str
    user: int
    inode: str


def entries() -> Iterator[Entry]:
    """Yield the sockets of this network namespace."""
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            _, local, remote, state, _, _, _, user, _, inode = line.split()[:10]
            port = int(local.split(":")[1], 16)
            yield Entry(_address(local), port, state == "0A", _address(remote), int(user), inode)


def _address(entry: str) -> str:
    """Return the address in an entry of /proc/net/tcp: words of four bytes in the order of the machine."""
    text = bytes.fromhex(entry.split(":")[0])
    packed = b"".join(text[i : i + 4][:: 1 if sys.byteorder == "big" else -1] for i in range(0, len(text), 4))
    found = ip_address(packed)
    return str(found.ipv4_mapped if isinstance(found, IPv6Address) and found.ipv4_mapped else found)


def answers_http(host: str, port: int, path: str) -> bool:
    """Whether an HTTP server gives ``path`` to someone without a token."""
    connection = HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path)
        with connection.getresponse() as response:
            return response.status not in (401, 403)
    except (HTTPException, OSError):  # gRPC
        return False
    finally:
        connection.close()


def calls(host: str, port: int, token: str | None, services: Sequence[str] = SERVICES) -> dict[str, bool]:
    """Service → whether it lets us in, of those that this port has."""
    metadata = [("authorization", f"Bearer {token}")] if token else []
    found = {}
    with grpc.insecure_channel(f"{host}:{port}") as channel:
        # All at once: a process that stands still lets each of them wait.
        asked = {
            service: channel.unary_unary(f"/ray.rpc.{service}").future(b"", timeout=5, metadata=metadata)
            for service in services
        }
        for service, answer in asked.items():
            try:
                answer.result()
                found[service] = True
            except grpc.RpcError as error:
                if error.code() not in _NO_ANSWER:
                    found[service] = error.code() is not grpc.StatusCode.UNAUTHENTICATED
    return found


def main(user: str, token: str) -> None:
    def answers(entry: Entry) -> dict[str, Any]:
        host, all_services = "127.0.0.1" if ip_address(entry.host).is_unspecified else entry.host, (*SERVICES, CLIENT)
        return {
            "http": answers_http(host, entry.port, "/") or answers_http(host, entry.port, "/metrics"),
            "without": calls(host, entry.port, None, all_services),
            "wrong": calls(host, entry.port, "0" * 64, all_services),
            "with": calls(host, entry.port, token, all_services),
        }

    uid = pwd.getpwnam(user).pw_uid
    open_ports = [entry for entry in entries() if entry.listens and entry.user == uid]
    with ThreadPoolExecutor(max(1, len(open_ports))) as threads:
        found = threads.map(answers, open_ports)
        print(json.dumps({f"{of.host}:{of.port}": answer for of, answer in zip(open_ports, found, strict=True)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
