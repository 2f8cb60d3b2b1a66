"""A ClientHello is cut inside the name it carries, and means the same when it is joined again."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.world.client_hello import segments, server_name


def hello(name: str) -> bytes:
    """What OpenSSL wants to send first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    out = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name).do_handshake()
    return out.read()


def payloads(data: bytes) -> list[bytes]:
    """The payloads of a row of handshake records."""
    found = []
    while data:
        assert data[:3] == b"\x16\x03\x01"
        size = int.from_bytes(data[3:5])
        assert len(data) >= 5 + size > 5
        found.append(data[5 : 5 + size])
        data = data[5 + size :]
    return found


@pytest.mark.parametrize("name", ["seed1.example.org", "a.bc", "x" * 63 + ".example"])
def test_the_cut_goes_through_the_name(name):
    flight = hello(name)
    assert name.encode() in flight
    first, second = segments(flight)
    assert name.encode() not in first + b"\n" + second
    assert name.encode() not in first + second  # the second record's header stands between
    head, tail = payloads(first), payloads(second)
    assert (len(head), len(tail)) == (1, 1)
    assert head[0] + tail[0] == flight[5:]
    start, end = server_name(flight[5:])
    assert flight[5:][start:end] == name.encode()
    assert start < len(head[0]) < end


def test_without_a_name_the_cut_goes_through_the_middle():
    flight = hello("192.0.2.1")
    assert server_name(flight[5:]) is None
    first, second = segments(flight)
    assert payloads(first)[0] + payloads(second)[0] == flight[5:]
    assert abs(len(first) - len(second)) <= 1


def test_a_second_hello_in_the_same_flight_is_cut_too():
    change = b"\x14\x03\x03\x00\x01\x01"  # what goes before the hello that answers a HelloRetryRequest
    pieces = segments(change + hello("seed1.example.org"))
    assert len(pieces) == 2
    assert pieces[0].startswith(change)
    assert b"seed1.example.org" not in b"".join(pieces)


@pytest.mark.parametrize(
    "record",
    [
        b"\x16\x03\x03\x00\x28" + b"\x01" + bytes(39),  # encrypted, and begins with a one by chance
        b"\x17\x03\x03\x00\x05hello",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"",
    ],
)
def test_other_records_pass_as_they_are(record):
    assert segments(record) == [record]


@given(st.binary(max_size=300))
def test_whatever_it_is_fed_nothing_is_lost(payload):
    record = b"\x16\x03\x01" + len(payload).to_bytes(2) + payload
    assert len(b"".join(segments(record))) >= len(record)
    found = server_name(payload)
    assert found is None or 0 < found[0] < found[1] <= len(payload)


@given(st.data())
def test_a_damaged_hello_is_still_cut_into_two_records_of_the_same_message(data):
    flight = bytearray(hello("seed1.example.org"))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(5 + 38, len(flight) - 1))
        flight[place] = data.draw(st.integers(0, 255))
    pieces = segments(bytes(flight))
    assert len(pieces) == 2
    assert payloads(pieces[0])[0] + payloads(pieces[1])[0] == flight[5:]
