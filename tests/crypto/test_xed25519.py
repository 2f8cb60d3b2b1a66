"""Signatures with an X25519 key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.crypto import xed25519
from ramson.crypto.keys import Ed25519KeyPair, KeySizeError, X25519KeyPair
from ramson.errors import ParseError

SECRET = bytes(range(32))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.binary(min_size=64, max_size=64))
def test_a_signature_verifies_under_the_x25519_key(secret, message, randomness):
    public = X25519KeyPair.from_secret(secret).public
    signature = xed25519.sign(secret, message, randomness)
    assert xed25519.verify(signature, public, message)
    assert not xed25519.verify(signature, public, message + b"!")
    assert not xed25519.verify(signature, X25519KeyPair.from_secret(b"\x07" * 32).public, message)


@given(st.binary(min_size=32, max_size=32))
def test_the_way_to_x25519_and_back_loses_only_the_sign(seed):
    pair = Ed25519KeyPair.from_seed(seed)
    back = xed25519.ed25519_public(pair.to_x25519().public)
    assert back == pair.public[:31] + bytes([pair.public[31] & 0x7F])


def test_randomness_changes_the_signature_but_not_its_truth():
    public = X25519KeyPair.from_secret(SECRET).public
    one, two = (xed25519.sign(SECRET, b"m", bytes([n]) * 64) for n in (1, 2))
    assert one[:32] != two[:32]
    assert xed25519.verify(one, public, b"m")
    assert xed25519.verify(two, public, b"m")


def test_malformed_input_does_not_verify():
    public = X25519KeyPair.from_secret(SECRET).public
    signature = xed25519.sign(SECRET, b"m", bytes(64))
    assert not xed25519.verify(signature[:-1], public, b"m")
    assert not xed25519.verify(signature, public[:-1], b"m")
    assert not xed25519.verify(signature, b"\xec" + b"\xff" * 30 + b"\x7f", b"m")


def test_minus_one_has_no_counterpart():
    with pytest.raises(ParseError, match="no Ed25519 counterpart"):
        xed25519.ed25519_public((2**255 - 20).to_bytes(32, "little"))


def test_wrong_sizes_are_the_callers_mistake():
    with pytest.raises(KeySizeError):
        xed25519.sign(SECRET[:-1], b"m", bytes(64))
    with pytest.raises(KeySizeError):
        xed25519.sign(SECRET, b"m", bytes(32))
