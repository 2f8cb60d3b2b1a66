"""Messages between blinded ids."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.crypto import blinding
from ramson.crypto.account import AccountId, AccountKeys
from ramson.crypto.blinding import NotBlinded
from ramson.crypto.keys import KeySizeError
from ramson.errors import ParseError

ALICE = AccountKeys.generate(random.Random(1))
BOB = AccountKeys.generate(random.Random(2))
MALLORY = AccountKeys.generate(random.Random(3))
SERVER = bytes(range(32))
NONCE = bytes(24)
KINDS = pytest.mark.parametrize("prefix", [0x15, 0x25])


def blinded(account: AccountKeys, prefix: int, server: bytes = SERVER) -> AccountId:
    return blinding.blinded_id(account.ed25519.public, server, prefix)


def positive(account: AccountId) -> AccountId:
    return AccountId(account.prefix, account.key[:31] + bytes([account.key[31] & 0x7F]))


@given(
    st.sampled_from([0x15, 0x25]),
    st.binary(max_size=200),
    st.tuples(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32)),
)
def test_both_ends_can_read_a_message(prefix, message, seeds):
    sender, recipient = (AccountKeys.from_seed(seed) for seed in seeds)
    kind, to = blinded(sender, prefix), blinded(recipient, prefix)
    sealed = blinding.encrypt(sender.ed25519, SERVER, to, message, NONCE)
    for reader in (sender, recipient):
        opened = blinding.decrypt(reader.ed25519, SERVER, kind, to, sealed)
        assert opened.message == message
        assert opened.sender == sender.id
        assert opened.sender_ed25519 == sender.ed25519.public


@given(st.sampled_from([0x15, 0x25]), st.data())
def test_a_flipped_bit_is_always_noticed(prefix, data):
    sealed = bytearray(blinding.encrypt(ALICE.ed25519, SERVER, blinded(BOB, prefix), b"message", NONCE))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ParseError):
        blinding.decrypt(BOB.ed25519, SERVER, blinded(ALICE, prefix), blinded(BOB, prefix), bytes(sealed))


@given(st.binary(max_size=150))
def test_any_other_bytes_are_refused(ciphertext):
    with pytest.raises(ParseError):
        blinding.decrypt(BOB.ed25519, SERVER, blinded(ALICE, 0x15), blinded(BOB, 0x15), ciphertext)


@KINDS
def test_a_third_account_cannot_read(prefix):
    sealed = blinding.encrypt(ALICE.ed25519, SERVER, blinded(BOB, prefix), b"message", NONCE)
    with pytest.raises(ParseError):
        blinding.decrypt(MALLORY.ed25519, SERVER, blinded(ALICE, prefix), blinded(BOB, prefix), sealed)


@KINDS
def test_another_community_is_another_person(prefix):
    other = bytes(32)
    assert blinded(ALICE, prefix) != blinded(ALICE, prefix, other)
    sealed = blinding.encrypt(ALICE.ed25519, SERVER, blinded(BOB, prefix), b"message", NONCE)
    with pytest.raises(ParseError):
        blinding.decrypt(BOB.ed25519, other, blinded(ALICE, prefix), blinded(BOB, prefix), sealed)


@KINDS
def test_the_real_sender_inside_must_blind_to_the_id_outside(prefix, monkeypatch):
    sender, recipient = blinded(MALLORY, prefix), blinded(BOB, prefix)
    aead = blinding.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt

    def claiming_alice(content, aad, nonce, key):
        return aead(content[:-32] + ALICE.ed25519.public, aad, nonce, key)

    with monkeypatch.context() as patched:
        patched.setattr(blinding.bindings, "crypto_aead_xchacha20poly1305_ietf_encrypt", claiming_alice)
        forged = blinding.encrypt(MALLORY.ed25519, SERVER, recipient, b"it is me, Alice", NONCE)
    with pytest.raises(ParseError, match="not from the id"):
        blinding.decrypt(BOB.ed25519, SERVER, sender, recipient, forged)


def test_a_25_blinded_key_has_no_sign_but_a_15_one_keeps_it():
    signs = {prefix: set() for prefix in (0x15, 0x25)}
    for number in range(20):
        account = AccountKeys.generate(random.Random(number))
        flipped = account.ed25519.public[:31] + bytes([account.ed25519.public[31] ^ 0x80])
        for prefix, seen in signs.items():
            seen.add(blinded(account, prefix) == blinding.blinded_id(flipped, SERVER, prefix))
    assert signs == {0x15: {False}, 0x25: {True}}
    assert positive(blinded(ALICE, 0x15)).key != blinded(ALICE, 0x25).key


def test_other_ids_are_the_callers_mistake():
    with pytest.raises(NotBlinded):
        blinding.encrypt(ALICE.ed25519, SERVER, BOB.id, b"", NONCE)
    with pytest.raises(NotBlinded):
        blinding.decrypt(BOB.ed25519, SERVER, ALICE.id, BOB.id, bytes(100))
    with pytest.raises(NotBlinded):
        blinding.decrypt(BOB.ed25519, SERVER, blinded(ALICE, 0x25), blinded(BOB, 0x15), bytes(100))
    with pytest.raises(KeySizeError):
        blinded(ALICE, 0x15, SERVER[:-1])


@KINDS
@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32])
def test_an_id_that_is_no_point_cannot_be_written_to(prefix, key):
    with pytest.raises(ParseError):
        blinding.encrypt(ALICE.ed25519, SERVER, AccountId(prefix, key), b"", NONCE)
