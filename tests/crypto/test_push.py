"""Push notifications."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from ramson.crypto import push
from ramson.crypto.keys import KeySizeError
from ramson.errors import ParseError

KEY = bytes(range(32))
NONCE = bytes(range(24))


def encrypted(plaintext: bytes) -> bytes:
    return NONCE + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, None, NONCE, KEY)


@given(st.binary(max_size=100).filter(lambda text: not text.endswith(b"\0")), st.integers(0, 300))
def test_padding_is_taken_off(plaintext, zeros):
    assert push.decrypt(encrypted(plaintext + bytes(zeros)), KEY) == plaintext


@given(st.integers(0, (24 + 16 + 5) * 8 - 1))
def test_a_flipped_bit_is_always_noticed(bit):
    payload = bytearray(encrypted(b"hello"))
    payload[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ParseError):
        push.decrypt(bytes(payload), KEY)


@given(st.binary(max_size=80))
def test_any_other_bytes_are_refused(payload):
    with pytest.raises(ParseError):
        push.decrypt(payload, KEY)


def test_a_key_of_another_size_is_the_callers_mistake():
    with pytest.raises(KeySizeError):
        push.decrypt(encrypted(b""), KEY[:-1])
