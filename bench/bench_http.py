"""CPU of the HTTP listener and client per keep-alive request, plain and TLS.

Run `python bench/bench_http.py [requests] [connections]`.  The server is this process; the client is another
one, so that the server's own CPU (user + system, from getrusage) is what is divided by the number of
requests.  The last two rows are the client class of `world.real`, measured in its own process.
"""

import asyncio
import datetime as dt
import multiprocessing
import resource
import sys
import time

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ramson.world import Certificate, Endpoint, HttpLimits, HttpRequest, HttpResponse, Tls
from ramson.world.real.client import HttpClient
from ramson.world.real.dialer import DirectDialer
from ramson.world.real.listener import listen
from ramson.world.real.tls import client_context

REQUEST = (
    b"POST /storage_rpc/v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b'Content-Length: 29\r\n\r\n{"method":"info","params":{}}'
)
HEADERS = {"Content-Type": "application/json"}
BODY = b'{"hf":[19,4],"t":1700000000000,"timestamp":1700000000000,"version":[2,8,0]}'


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def certificate():
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=10))
    pem = serialization.Encoding.PEM
    return Certificate(
        built.sign(key, hashes.SHA256()).public_bytes(pem),
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def answer_at_once(_request):
    return HttpResponse(200, HEADERS, BODY)


async def answer_later(_request):
    return HttpResponse(200, HEADERS, BODY)


class Hammer(asyncio.Protocol):
    """Sends the next request when the reply to the last one has come."""

    def __init__(self, count):
        self.left, self.done = count, asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(REQUEST)

    def data_received(self, _data):  # a reply comes in one piece here
        self.left -= 1
        if self.left:
            self.transport.write(REQUEST)
        else:
            self.transport.close()
            self.done.set_result(None)


async def hammer(port, tls, count, connections):
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(
            lambda: Hammer(count // connections),
            "127.0.0.1",
            port,
            ssl=client_context(Tls()) if tls else None,
        )
        for _ in range(connections)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in made))


async def client_class(port, tls, count, connections):
    client = HttpClient(DirectDialer())
    request = HttpRequest("POST", "/storage_rpc/v1", HEADERS, b'{"method":"info","params":{}}')
    trust = Tls() if tls else None

    async def work():
        for _ in range(count // connections):
            await client.request(Endpoint("127.0.0.1", port), request, tls=trust, timeout=30, max_reply=1 << 20)

    await asyncio.gather(*(work() for _ in range(connections)))
    before = cpu()
    await asyncio.gather(*(work() for _ in range(connections)))
    used = cpu() - before
    await client.close()
    return used


def process(work, pipe, *args):
    pipe.send(uvloop.run(work(*args)))


async def measure(name, handler, tls, work, count, connections):
    listener = await listen(
        Endpoint("127.0.0.1", 0),
        handler,
        certificate=certificate() if tls else None,
        limits=HttpLimits(server="Oxen Storage Server/2.8.0"),
    )
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(
        target=process, args=(work, theirs, listener.endpoint.port, tls, count, connections)
    )
    before, began = cpu(), time.monotonic()
    child.start()
    start = cpu() - before  # what starting the child cost us
    await asyncio.to_thread(ours.recv_bytes) if work is hammer else None
    client = None
    if work is client_class:
        client = await asyncio.to_thread(ours.recv)
    used, took = cpu() - before - start, time.monotonic() - began
    child.join()
    await listener.close()
    each = client if client is not None else used
    print(f"{name:34} {each / count * 1e6:8.1f} µs {count / took:10.0f} /s")


async def main(count, connections):
    print(f"{'':34} {'CPU each':>11} {'rate':>12}")
    for tls, way in ((False, "plain"), (True, "TLS")):
        await measure(f"listener, {way}, at once", answer_at_once, tls, hammer, count, connections)
        await measure(f"listener, {way}, coroutine", answer_later, tls, hammer, count, connections)
    for tls, way in ((False, "plain"), (True, "TLS")):
        await measure(f"client, {way}", answer_at_once, tls, client_class, count // 2, connections)


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    uvloop.run(main(*(arguments or [100_000]), *([16] if len(arguments) < 2 else [])))
