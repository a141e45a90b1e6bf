"""A cable between the TUN devices ``cable`` of two network namespaces, named by the arguments, run as a script.

A JSON list on stdin, [loss, delay], is an order: lose that share of the packets from now on, and hold each up for that
many seconds. One line answers: how many packets were lost so far.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import struct
import sys
import time
from itertools import count

#: From <linux/if_tun.h>: the request, and a device of IP packets without a header.
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000

#: From <sched.h>.
_CLONE_NEWNET = 0x40000000

#: Most bytes of a packet.
_MOST = 65_536


def open_end(namespace: str) -> int:
    """Open the device of a namespace; the process goes into it for that."""
    with open(f"/run/netns/{namespace}", "rb") as place:
        if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), _CLONE_NEWNET):  # os.setns from Python 3.12 on
            raise OSError(ctypes.get_errno(), "setns", namespace)
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH", b"cable", _IFF_TUN | _IFF_NO_PI))
    return end


def main(namespaces: list[str]) -> None:
    ends = [open_end(name) for name in namespaces]
    other = dict(zip(ends, ends[::-1], strict=True))
    loss = delay = 0.0
    lost, numbers, rng = 0, count(), random.Random(0)
    waiting: list[tuple[float, int, int, bytes]] = []  # heap: when a packet is handed on, its number, to whom
    orders = b""
    while True:
        wait = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        ready, _, _ = select.select([0, *ends], [], [], wait)
        for end in ready:
            if end == 0:
                if not (given := os.read(0, 4096)):
                    return
                *lines, orders = (orders + given).split(b"\n")
                for line in lines:
                    loss, delay = json.loads(line)
                    print(lost, flush=True)
                continue
            packet = os.read(end, _MOST)
            if rng.random() < loss:
                lost += 1
            else:
                at = time.monotonic() + delay * rng.uniform(0.5, 1.5)
                heapq.heappush(waiting, (at, next(numbers), other[end], packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, end, packet = heapq.heappop(waiting)
            try:
                os.write(end, packet)
            except OSError:  # its queue is full
                lost += 1


if __name__ == "__main__":
    main(sys.argv[1:])
