"""One-to-one encryption v1: who may read, who has written, and what is refused."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from ramson.crypto import sealing
from ramson.crypto.account import AccountKeys
from ramson.crypto.keys import KeySizeError
from ramson.errors import ParseError

ALICE = AccountKeys.generate(random.Random(1))
BOB = AccountKeys.generate(random.Random(2))
MALLORY = AccountKeys.generate(random.Random(3))


def box(content: bytes) -> bytes:
    """Seal anything to Bob, signed or not, as a stranger can."""
    return bindings.crypto_box_seal(content, BOB.x25519.public)


@given(st.binary(max_size=500), st.binary(min_size=32, max_size=32))
def test_the_recipient_learns_message_and_sender(message, ephemeral_secret):
    for sealed in (
        sealing.seal(ALICE.ed25519, BOB.x25519.public, message, ephemeral_secret),
        sealing.seal_deterministic(ALICE.ed25519, BOB.x25519.public, message),
    ):
        assert len(sealed) == len(message) + sealing.OVERHEAD
        opened = sealing.open_sealed(BOB.x25519, sealed)
        assert opened.message == message
        assert opened.sender == ALICE.id
        assert opened.sender_ed25519 == ALICE.ed25519.public


@given(st.binary(max_size=50), st.data())
def test_a_flipped_bit_is_always_noticed(message, data):
    sealed = bytearray(sealing.seal_deterministic(ALICE.ed25519, BOB.x25519.public, message))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ParseError):
        sealing.open_sealed(BOB.x25519, bytes(sealed))


@given(st.binary(max_size=300))
def test_any_other_bytes_are_refused(ciphertext):
    with pytest.raises(ParseError):
        sealing.open_sealed(BOB.x25519, ciphertext)


def test_nobody_else_can_open_it_not_even_the_sender():
    sealed = sealing.seal_deterministic(ALICE.ed25519, BOB.x25519.public, b"hello")
    for other in (ALICE, MALLORY):
        with pytest.raises(ParseError):
            sealing.open_sealed(other.x25519, sealed)


def test_a_message_passed_on_is_refused():
    # Mallory re-seals to Bob what Alice wrote to Mallory: the signature names Mallory.
    to_mallory = sealing.sign_for(ALICE.ed25519, MALLORY.x25519.public, b"you are a thief")
    with pytest.raises(ParseError, match="signature"):
        sealing.open_sealed(BOB.x25519, box(to_mallory))


def test_a_sender_cannot_be_made_up():
    content = b"I owe you" + ALICE.ed25519.public
    forged = content + MALLORY.ed25519.sign(content + BOB.x25519.public)
    with pytest.raises(ParseError, match="signature"):
        sealing.open_sealed(BOB.x25519, box(forged))


def test_a_sender_key_of_small_order_is_refused():
    # identity point as key and commitment, zero as scalar: a lax verifier accepts it for any message
    identity = b"\x01" + bytes(31)
    with pytest.raises(ParseError):
        sealing.open_sealed(BOB.x25519, box(b"message" + identity + identity + bytes(32)))


def test_a_sealed_message_is_shortest_when_empty():
    sealed = sealing.seal_deterministic(ALICE.ed25519, BOB.x25519.public, b"")
    assert len(sealed) == sealing.OVERHEAD == 144
    with pytest.raises(ParseError, match="too short"):
        sealing.open_sealed(BOB.x25519, sealed[:-1])


def test_the_deterministic_form_depends_on_sender_recipient_and_message():
    forms = {
        sealing.seal_deterministic(ALICE.ed25519, BOB.x25519.public, b"m"),
        sealing.seal_deterministic(ALICE.ed25519, BOB.x25519.public, b"n"),
        sealing.seal_deterministic(ALICE.ed25519, MALLORY.x25519.public, b"m"),
        sealing.seal_deterministic(MALLORY.ed25519, BOB.x25519.public, b"m"),
    }
    assert len({form[:32] for form in forms}) == 4
    assert sealing.seal_deterministic(ALICE.ed25519, BOB.x25519.public, b"m") in forms


def test_a_bad_recipient_is_refused():
    with pytest.raises(ParseError, match="low order"):
        sealing.seal(ALICE.ed25519, bytes(32), b"m", bytes(range(32)))
    with pytest.raises(KeySizeError):
        sealing.sign_for(ALICE.ed25519, BOB.id.raw, b"m")


def test_an_opened_message_does_not_show_its_text():
    opened = sealing.open_sealed(
        BOB.x25519, sealing.seal_deterministic(ALICE.ed25519, BOB.x25519.public, b"meet me at nine")
    )
    assert "nine" not in repr(opened)
    assert "nine" not in str(opened)
