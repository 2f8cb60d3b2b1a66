"""Group messages (groups-v2 §5.5); byte equality with other clients is in the vectors."""

import random

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl import bindings

from ramson.crypto.account import AccountId, AccountKeys
from ramson.crypto.keys import Ed25519KeyPair
from ramson.errors import LocalError, ParseError
from ramson.protocol import bt, group_envelope
from ramson.protocol.envelope import Incoming
from ramson.protocol.session_pb2 import Envelope

AUTHOR = AccountKeys.from_entropy(b"\x01" * 16)
GROUP = AccountId(0x03, Ed25519KeyPair.from_seed(b"\x02" * 32).public)
OLD, KEY = b"\x0f" * 32, b"\x1f" * 32
SENT = 1_700_000_000_123
NONCE = bytes(24)


def wrap(content: bytes = b"content") -> bytes:
    return group_envelope.wrap_group(content, AUTHOR.ed25519, GROUP, KEY, SENT, random.Random(3))


def encrypted(plaintext: bytes) -> bytes:
    return NONCE + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, None, NONCE, KEY)


def fields(**changes) -> dict:
    data = changes.pop("d", b"data")
    signed = changes.get("z") or data or b""
    signature = AUTHOR.ed25519.sign(signed + GROUP.key)
    plain = {"": 1, "a": AUTHOR.ed25519.public, "d": data, "s": signature} | changes
    return {name: value for name, value in plain.items() if value is not None}


def opened(ciphertext: bytes) -> bytes:
    return group_envelope.decrypt(ciphertext, GROUP.key, [KEY]).data


def test_members_read_content_author_and_time():
    expected = Incoming(b"content", AUTHOR.id, AUTHOR.ed25519.public, SENT)
    assert group_envelope.unwrap_group(wrap(), GROUP, [OLD, KEY]) == expected


def test_without_the_key_or_for_another_group_it_does_not_open():
    for group, keys in ((GROUP, [OLD]), (GROUP, []), (AccountId(0x03, AUTHOR.ed25519.public), [KEY])):
        with pytest.raises(ParseError):
            group_envelope.unwrap_group(wrap(), group, keys)


@pytest.mark.parametrize("size", [0, 1, 100, 1000, 10_000])
def test_sizes_are_multiples_of_256(size):
    ciphertext = group_envelope.encrypt(random.Random(1).randbytes(size), AUTHOR.ed25519, GROUP.key, KEY, NONCE)
    assert len(ciphertext) % 256 == 0
    assert opened(ciphertext) == random.Random(1).randbytes(size)


def test_compression_is_used_where_it_helps():
    assert len(group_envelope.encrypt(b"a" * 100_000, AUTHOR.ed25519, GROUP.key, KEY, NONCE)) == 256
    assert opened(group_envelope.encrypt(b"a" * 100_000, AUTHOR.ed25519, GROUP.key, KEY, NONCE)) == b"a" * 100_000


def test_a_hand_made_message_opens():
    assert opened(encrypted(bt.encode(fields()) + bytes(9))) == b"data"
    compressed = zstandard.ZstdCompressor().compress(b"data")
    assert opened(encrypted(bt.encode(fields(d=None, z=compressed)))) == b"data"


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b"le",
        b"de",
        bt.encode(fields()) + b"x",
        bt.encode(fields() | {"": 2}),
        bt.encode(fields(a=None)),
        bt.encode(fields(a=bytes(31))),
        bt.encode(fields(a=5)),
        bt.encode(fields(s=None)),
        bt.encode(fields(s=bytes(64))),
        bt.encode(fields(s=5)),
        bt.encode(fields(d=None)),
        bt.encode(fields(d=b"") | {"d": 5}),
        bt.encode(fields(d=b"x", z=zstandard.ZstdCompressor().compress(b"y"))),
        bt.encode(fields(d=None, z=b"not zstd")),
        bt.encode(fields(d=None, z=zstandard.ZstdCompressor().compress(b"x" * 100)[:-3] + b"zzz")),
        # A signature over the data alone, as an old library made it.
        bt.encode(fields() | {"s": AUTHOR.ed25519.sign(b"data")}),
    ],
)
def test_refused(plaintext):
    with pytest.raises(ParseError):
        group_envelope.decrypt(encrypted(plaintext), GROUP.key, [KEY])


def test_decompression_bombs():
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(50_000_000))
    assert len(bomb) < 10_000
    without_size = zstandard.ZstdCompressor(level=19, write_content_size=False).compress(bytes(50_000_000))
    for compressed in (bomb, without_size):
        with pytest.raises(ParseError, match="too large"):
            opened(encrypted(bt.encode(fields(d=None, z=compressed))))


def test_too_much():
    with pytest.raises(LocalError):
        group_envelope.encrypt(bytes(group_envelope.MAX_PLAINTEXT + 1), AUTHOR.ed25519, GROUP.key, KEY, NONCE)
    for size in (0, 39, group_envelope.MAX_PLAINTEXT + 1000):
        with pytest.raises(ParseError):
            opened(bytes(size))


def test_the_envelope_inside_must_be_a_groups():
    for letter in (
        b"",
        b"\xff",
        Envelope(type=Envelope.SESSION_MESSAGE, timestamp=1, content=b"x").SerializeToString(),
        Envelope(type=Envelope.CLOSED_GROUP_MESSAGE, timestamp=1).SerializeToString(),
    ):
        ciphertext = group_envelope.encrypt(letter, AUTHOR.ed25519, GROUP.key, KEY, NONCE)
        with pytest.raises(ParseError):
            group_envelope.unwrap_group(ciphertext, GROUP, [KEY])


values = st.none() | st.integers(0, 2) | st.binary(max_size=70) | st.just(AUTHOR.ed25519.public)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=80), st.dictionaries(st.sampled_from(["", "a", "d", "s", "z"]), values, max_size=5))
def test_fuzz(noise, changes):
    mixed = {name: value for name, value in (fields() | changes).items() if value is not None}
    for plaintext in (noise, bt.encode(mixed)):
        try:
            opened(encrypted(plaintext))
        except ParseError:
            continue
