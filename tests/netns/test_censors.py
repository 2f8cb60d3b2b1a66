"""The censors really censor: before anything is claimed to get past them, each is seen to do what it says."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from censors import Censor, Drop
from countries import BLOCK, NOT_CENSORED, NOWHERE, RESOLVER, SEED, SITE, Countries, Seen

pytestmark = [pytest.mark.netns, pytest.mark.timeout(120)]

NAMES = {"seed1.onion.example": SEED, "www.flowers.example": SITE}
NODE = f"{BLOCK}.1.1"

# Servers that say back what they hear, after 100 bytes of it; on UDP each datagram.
ECHO = """
import asyncio, sys
class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport): self.transport = transport
    def datagram_received(self, data, peer): self.transport.sendto(data, peer)
async def serve(reader, writer):
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()
    writer.close()
async def main():
    for address in sys.argv[1:]:
        await asyncio.start_server(serve, address, 443)
        await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, (address, 443))
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""

# A client: connects, sends what it is told in pieces, and says how it went.
TRY = """
import json, socket, sys
kind, host, *pieces = sys.argv[1:]
pieces = [piece.encode() if not piece.isdigit() else bytes(int(piece)) for piece in pieces]
sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
sock.settimeout(1.5)
heard = 0
try:
    address = socket.gethostbyname(host)
    sock.connect((address, 443))
    if kind == "tcp": sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for piece in pieces:
        sock.sendall(piece)
        left = len(piece)
        while left:
            got = len(sock.recv(left))
            left, heard = left - got, heard + got
    how = "answered"
except (TimeoutError, ConnectionError, OSError) as error:
    address, how = locals().get("address", ""), type(error).__name__
print(json.dumps({"how": how, "heard": heard, "address": address}))
"""


@pytest.fixture(scope="module")
def countries() -> Iterator[Countries]:
    with (
        Countries(2, NAMES) as countries,
        countries.running(countries.abroad, sys.executable, "-c", ECHO, SEED, NODE, SITE),
    ):
        yield countries


def attempt(countries: Countries, kind: str, host: str, *pieces: str) -> dict:
    command = countries.inside(countries.home, sys.executable, "-c", TRY, kind, host, *pieces)
    return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout)


def test_without_a_censor_everything_is_reached(countries):
    countries.censor(NOT_CENSORED)
    for host in NAMES:
        assert attempt(countries, "tcp", host, "40000")["how"] == "answered"
        assert attempt(countries, "udp", host, "1000")["how"] == "answered"
    assert countries.blocked() == 0


@pytest.mark.parametrize(("drop", "gone", "stays"), [(Drop.SEEDS, SEED, NODE), (Drop.NODES, NODE, SEED)])
def test_drops_a_group_of_addresses(countries, drop, gone, stays):
    countries.censor(Censor("drops", drops=frozenset({drop})))
    assert attempt(countries, "tcp", gone, "10") == {"how": "TimeoutError", "heard": 0, "address": gone}
    assert attempt(countries, "tcp", stays, "10")["how"] == "answered"
    assert countries.blocked() > 0


@pytest.mark.parametrize("before", [40, 200, 400])
def test_resets_on_a_name_wherever_it_stands(countries, before):
    countries.censor(Censor("resets", resets=frozenset({"seed1.onion.example"})))
    assert attempt(countries, "tcp", SITE, "x" * before + "seed1.onion.example")["how"] == "ConnectionResetError"
    assert attempt(countries, "tcp", SITE, "x" * before + "seed2.onion.example")["how"] == "answered"


def test_a_name_cut_in_two_segments_is_not_seen(countries):
    countries.censor(Censor("resets", resets=frozenset({"seed1.onion.example"})))
    assert attempt(countries, "tcp", SITE, "x" * 60 + "seed1.on", "ion.example")["how"] == "answered"


def test_freezes_a_connection_after_so_many_bytes(countries):
    countries.censor(Censor("freezes", freeze_after=16_384))
    assert attempt(countries, "tcp", SITE, "3000", "3000")["how"] == "answered"
    frozen = attempt(countries, "tcp", SITE, "3000", "3000", "3000", "3000")
    assert frozen["how"] == "TimeoutError"
    assert frozen["heard"] <= 9000
    assert attempt(countries, "tcp", SITE, "3000")["how"] == "answered"  # another connection
    assert countries.blocked() > 0


def test_poisons_names(countries):
    countries.censor(Censor("poisons", poisoned=frozenset({"seed1.onion.example"})))
    assert attempt(countries, "tcp", "seed1.onion.example", "10")["address"] == NOWHERE
    assert attempt(countries, "tcp", "www.flowers.example", "10")["how"] == "answered"
    assert countries.blocked() > 0


def test_drops_udp_but_not_questions_to_resolvers(countries):
    countries.censor(Censor("no udp", no_udp=True))
    assert attempt(countries, "udp", "www.flowers.example", "100")["how"] == "TimeoutError"
    assert attempt(countries, "tcp", "www.flowers.example", "100")["how"] == "answered"


def test_counts_where_packets_went(countries):
    countries.censor(Censor("drops", drops=frozenset({Drop.NODES})))
    assert countries.seen() == []
    attempt(countries, "tcp", NODE, "10")
    attempt(countries, "udp", "www.flowers.example", "10")
    seen = countries.seen()
    assert {(s.address, s.protocol, s.port) for s in seen} == {
        (NODE, "tcp", 443),
        (SITE, "udp", 443),
        (RESOLVER, "udp", 53),
    }
    assert all(isinstance(s, Seen) and s.packets > 0 for s in seen)


def test_a_censor_strikes_connections_that_stand(countries):
    countries.censor(NOT_CENSORED)
    command = countries.inside(countries.home, sys.executable, "-c", STAND, NODE)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"answered\n"
        countries.censor(Censor("drops", drops=frozenset({Drop.NODES})))
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"silent\n"


STAND = """
import socket, sys
sock = socket.create_connection((sys.argv[1], 443), 1.5)
for _ in range(2):
    sock.sendall(b"x")
    try:
        sock.recv(1)
        print("answered", flush=True)
    except TimeoutError:
        print("silent", flush=True)
    sys.stdin.readline()
"""
