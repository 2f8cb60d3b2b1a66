"""What the kernel knows of a TCP connection that ZeroMQ holds: its ends, what has come, what waits.

libzmq's threads close descriptors when they like, and the system gives the numbers to others.  Therefore nothing is
ever done to a number: it is duplicated, and the duplicate must have the two addresses that were seen before.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
import termios
from typing import Any, Final, TypeAlias

Addresses: TypeAlias = tuple[Any, Any]  # of the far end and of ours

COUNTS = sys.platform == "linux"  # elsewhere tcp_info is not the same
_BYTES_RECEIVED: Final = 128  # where tcp_info has them, an unsigned number of 64 bits


def addresses(one: socket.socket) -> Addresses:
    """Return the addresses of the far end and of ours.  Raises OSError."""
    return one.getpeername(), one.getsockname()


def duplicate(descriptor: int) -> socket.socket:
    """Return a duplicate of a socket, which stays what it is whatever becomes of the number.  Raises OSError."""
    number = os.dup(descriptor)
    try:
        return socket.socket(fileno=number)
    except OSError:
        os.close(number)
        raise


def grasp(descriptor: int, known: Addresses) -> socket.socket:
    """Return a duplicate of a connection.  Raises OSError when it has gone, whoever has its number now."""
    far = duplicate(descriptor)
    try:
        found = addresses(far)
    except OSError:
        far.close()
        raise
    if found != known:
        far.close()
        raise ConnectionResetError
    return far


def received(far: socket.socket) -> int | None:
    """Return how many bytes have come from the far end; None where the system does not tell."""
    if not COUNTS:
        return None
    info = far.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED + 8)
    if len(info) < _BYTES_RECEIVED + 8:
        return None
    return int(struct.unpack_from("=Q", info, _BYTES_RECEIVED)[0])


def waiting(far: socket.socket) -> int:
    """Return how many bytes the kernel holds that nobody has taken."""
    return int(struct.unpack("=i", fcntl.ioctl(far.fileno(), termios.FIONREAD, bytes(4)))[0])
