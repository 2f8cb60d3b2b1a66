"""Raw public keys in a TLS 1.3 handshake: the messages, byte by byte, and what is refused.

The bytes are written out from RFC 8446 §4 and RFC 7250 §3–4, RFC 8410 §4 for the key.
"""

from __future__ import annotations

import contextlib

import pytest
from aioquic import tls
from aioquic.buffer import Buffer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import Hash
from hypothesis import given
from hypothesis import strategies as st

from ramson.crypto.keys import Ed25519KeyPair, verify
from ramson.world.real.quic_tls import RawKey, RawKeyConnection, RawKeyContext, configuration

NODE = Ed25519KeyPair.from_seed(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
CLIENT = Ed25519KeyPair.from_seed(b"c" * 32)
NODE_PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"  # RFC 8032 §7.1 TEST 1


def end(*, is_client, key, expected=None):
    context = RawKeyContext(is_client=is_client, expected=expected)
    context.certificate = RawKey(key.public)
    context.certificate_private_key = Ed25519PrivateKey.from_private_bytes(key.seed)
    return context


def client(expected=NODE.public):
    return end(is_client=True, key=CLIENT, expected=expected)


def server():
    return end(is_client=False, key=NODE)


def say(context, data=b""):
    """Give a context bytes; return what it writes."""
    out = {epoch: Buffer(capacity=65536) for epoch in tls.Epoch}
    context.handle_message(data, out)
    return b"".join(out[epoch].data for epoch in (tls.Epoch.INITIAL, tls.Epoch.HANDSHAKE, tls.Epoch.ONE_RTT))


def messages(data):
    """Split a flight into (kind, body)."""
    found = []
    while data:
        size = int.from_bytes(data[1:4])
        found.append((data[0], data[4 : 4 + size]))
        data = data[4 + size :]
    return found


def extensions(body):
    """Return the extensions at the end of a hello or in EncryptedExtensions, after their length."""
    found = {}
    while body:
        size = int.from_bytes(body[2:4])
        found[int.from_bytes(body[:2])] = body[4 : 4 + size]
        body = body[4 + size :]
    return found


def hello_extensions(hello):
    at = 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at : at + 2])
    at += 1 + hello[at]
    assert int.from_bytes(hello[at : at + 2]) == len(hello) - at - 2
    return extensions(hello[at + 2 :])


def rewritten(data, old, new):
    """Replace the same number of bytes in a message."""
    assert data.count(old) == 1
    assert len(old) == len(new)
    return data.replace(old, new)


def test_the_clients_hello_offers_raw_keys_and_one_signature():
    [(kind, hello)] = messages(say(client()))
    found = hello_extensions(hello)
    assert kind == 1
    assert found[19] == bytes.fromhex("0102")  # client_certificate_type: a list of one byte, RawPublicKey
    assert found[20] == bytes.fromhex("0102")  # server_certificate_type
    assert found[13] == bytes.fromhex("00020807")  # signature_algorithms: ed25519
    assert found[16] == bytes.fromhex("000c0b") + b"oxenstorage"  # ALPN
    assert found[43] == bytes.fromhex("020304")  # supported_versions: TLS 1.3
    assert 41 not in found  # no session is resumed
    assert 42 not in found  # no early data
    assert 0 not in found  # no name in the clear


def test_the_servers_flight_byte_by_byte():
    context = server()
    flight = messages(say(context, say(client())))
    assert [kind for kind, _ in flight] == [2, 8, 11, 15, 20]
    _, encrypted, certificate, proof, _ = (body for _, body in flight)
    # 23 bytes: ALPN with one name, and server_certificate_type, which is a single byte
    assert encrypted == bytes.fromhex("00170010000e000c0b") + b"oxenstorage" + bytes.fromhex("0014000102")
    assert certificate == bytes.fromhex(
        "00"  # no request context
        "000031"  # a list of 49 bytes
        "00002c"  # one entry of 44 bytes
        "302a300506032b6570032100"
        + NODE_PUBLIC  # SubjectPublicKeyInfo
        + "0000"  # and no extensions
    )
    assert proof[:4] == bytes.fromhex("08070040")  # ed25519, 64 bytes
    assert len(proof) == 68


def test_the_signature_is_the_nodes_over_what_was_said():
    context = server()
    hello = say(client())
    parts = messages(say(context, hello))
    transcript = hello + b"".join(bytes([kind]) + len(body).to_bytes(3) + body for kind, body in parts[:3])
    hashed = Hash(tls.cipher_suite_hash(context.key_schedule.cipher_suite))
    hashed.update(transcript)
    signed = b" " * 64 + b"TLS 1.3, server CertificateVerify\0" + hashed.finalize()
    assert verify(NODE.public, signed, parts[3][1][4:])


def test_both_ends_come_to_an_end():
    asking, answering = client(), server()
    say(answering, say(asking, say(answering, say(asking))))
    assert asking.state is tls.State.CLIENT_POST_HANDSHAKE
    assert answering.state is tls.State.SERVER_POST_HANDSHAKE
    assert asking.alpn_negotiated == answering.alpn_negotiated == "oxenstorage"


def test_another_key_is_refused():
    asking = client(expected=CLIENT.public)
    flight = say(server(), say(asking))
    with pytest.raises(tls.AlertBadCertificate):
        say(asking, flight)


def test_the_expected_key_without_its_signature_is_refused():
    """A liar that shows the node's key but can sign only with its own."""
    liar = server()
    liar.certificate_private_key = Ed25519PrivateKey.from_private_bytes(CLIENT.seed)
    asking = client()
    flight = say(liar, say(asking))
    with pytest.raises(tls.AlertDecryptError):
        say(asking, flight)


@pytest.mark.parametrize("kinds", ["0100", "0101", "0202", "0002"])
def test_a_client_that_takes_no_raw_key_is_refused(kinds):
    hello = rewritten(say(client()), bytes.fromhex("001400020102"), bytes.fromhex("00140002" + kinds))
    with pytest.raises(tls.AlertUnsupportedCertificate):
        say(server(), hello)


def test_a_client_that_names_no_kinds_is_refused():
    hello = rewritten(say(client()), bytes.fromhex("001400020102"), bytes.fromhex("ffa500020102"))
    with pytest.raises(tls.AlertUnsupportedCertificate):
        say(server(), hello)


def test_a_client_that_takes_other_kinds_as_well_gets_a_raw_key():
    asking = client()
    hello = bytearray(say(asking))
    at = hello.index(bytes.fromhex("001400020102"))
    hello[at : at + 6] = bytes.fromhex("00140003020002")  # X.509, RawPublicKey
    hello[1:4] = (len(hello) - 4).to_bytes(3)
    lengths = 4 + 2 + 32 + 1
    lengths += 2 + int.from_bytes(hello[lengths : lengths + 2])
    lengths += 1 + hello[lengths]
    hello[lengths : lengths + 2] = (len(hello) - lengths - 2).to_bytes(2)
    flight = messages(say(server(), bytes(hello)))
    assert extensions(flight[1][1][2:])[20] == b"\x02"


@pytest.mark.parametrize("spki", [b"", b"\x30", bytes(44), bytes.fromhex("302a300506032b656e032100") + bytes(32)])
def test_what_is_no_raw_ed25519_key_is_refused(spki):
    with pytest.raises(tls.AlertUnsupportedCertificate):
        RawKey.parse(spki)


def test_an_unfinished_message_is_bounded():
    context = server()
    say(context, bytes.fromhex("01ffffff"))
    for _ in range(3):
        say(context, bytes(4096))
    with pytest.raises(tls.AlertDecodeError):
        say(context, bytes(4096))


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_changed_hello_leads_to_an_alert_or_an_answer(at, value):
    hello = bytearray(say(client()))
    hello[at % len(hello)] = value
    with contextlib.suppress(tls.Alert):
        say(server(), bytes(hello))


def test_a_client_must_expect_a_key_and_a_server_cannot():
    with pytest.raises(ValueError):
        RawKeyConnection(configuration(CLIENT, is_client=True, idle_seconds=1), expected=None)
    with pytest.raises(ValueError):
        RawKeyConnection(configuration(NODE, is_client=False, idle_seconds=1), expected=NODE.public)
