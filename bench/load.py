"""A load client in a process of its own: HTTPS requests over kept connections, a given number at a time.

Every connection has a source address of its own, for a node limits the requests of one address.
"""

import asyncio
import multiprocessing
import resource
import ssl
import time
from collections import deque
from dataclasses import dataclass

import uvloop

CONNECTIONS = 128


@dataclass(frozen=True)
class Load:
    """What to send where: `bodies` in turn, over again with `repeat`, until they or the `seconds` are used up.

    With `fresh` each request has a connection of its own; with `resume` that one continues a TLS session.
    """

    host: str
    port: int
    path: str
    bodies: list[bytes]
    concurrency: int = 16
    seconds: float = 2.0
    repeat: bool = False
    fresh: bool = False
    resume: bool = False


@dataclass(frozen=True)
class Done:
    """How many were answered with 200, in how many seconds, and the median wait in ms."""

    count: int
    seconds: float
    median: float


def run(load: Load) -> Done:
    """Drive a load from another process.  Raises RuntimeError if a request was not answered with 200."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_child, args=(load, theirs))
    child.start()
    theirs.close()
    try:
        done, error = ours.recv()
    except EOFError:
        done, error = None, "the load client died"
    child.join()
    if error:
        raise RuntimeError(error)
    return done


def _child(load, pipe):
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    try:
        pipe.send((uvloop.run(_fresh(load) if load.fresh else _kept(load)), ""))
    except (OSError, RuntimeError, ExceptionGroup) as error:
        pipe.send((None, repr(error)))


class _Connection(asyncio.Protocol):
    """One request at a time; `answered` is a future of the wait in seconds."""

    def connection_made(self, transport):
        self.transport = transport
        self.received = b""
        self.answered = None

    def ask(self, request):
        self.answered = asyncio.get_running_loop().create_future()
        self.began = time.perf_counter()
        self.transport.write(request)
        return self.answered

    def data_received(self, data):
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]):
            return
        self.received = b""
        if head[9:12] == b"200":
            self.answered.set_result(time.perf_counter() - self.began)
        else:
            self.answered.set_exception(RuntimeError(f"answered {head[9:12].decode()}: {body[:100]!r}"))

    def connection_lost(self, _error):
        if self.answered is not None and not self.answered.done():
            self.answered.set_exception(ConnectionError("the node hung up"))


def _trusting():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _source(number):
    return (f"127.1.{number // 250}.{1 + number % 250}", 0)


def _requests(load):
    head = f"POST {load.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    requests = [f"{head}{len(body)}\r\n\r\n".encode() + body for body in load.bodies]
    while True:
        yield from requests
        if not load.repeat:
            return


def _until(load, requests):
    end = time.perf_counter() + load.seconds
    for request in requests:
        if time.perf_counter() > end:
            return
        yield request


async def _drive(load, ask):
    requests = _until(load, _requests(load))
    began = time.perf_counter()

    async def worker():
        return [await ask(request) for request in requests]

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(worker()) for _ in range(load.concurrency)]
    waits = [wait for worker in workers for wait in worker.result()]
    return Done(len(waits), time.perf_counter() - began, sorted(waits)[len(waits) // 2] * 1000)


async def _kept(load):
    loop, context = asyncio.get_running_loop(), _trusting()
    made = [
        await loop.create_connection(
            _Connection, load.host, load.port, ssl=context, local_addr=_source(number), server_hostname="localhost"
        )
        for number in range(CONNECTIONS)
    ]
    idle = deque(connection for _, connection in made)

    async def ask(request):
        connection = idle.popleft()
        wait = await connection.ask(request)
        idle.append(connection)
        return wait

    done = await _drive(load, ask)
    for transport, _ in made:
        transport.close()
    return done


async def _fresh(load):
    """Blocking sockets on threads: asyncio gives no access to TLS sessions."""
    context, numbers = _trusting(), iter(range(10**9))
    sessions = deque()

    def ask(request):
        import socket  # noqa: PLC0415 - only here

        began = time.perf_counter()
        raw = socket.create_connection((load.host, load.port), source_address=_source(next(numbers) % 2000))
        session = sessions.popleft() if load.resume and sessions else None
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as stream:
            stream.sendall(request)
            if stream.recv(65536)[9:12] != b"200":
                raise RuntimeError("a new connection was not answered with 200")
            sessions.append(stream.session)
        return time.perf_counter() - began

    return await _drive(load, lambda request: asyncio.to_thread(ask, request))
