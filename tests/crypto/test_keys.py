"""Key pairs: RFC 8032 and RFC 7748 behaviour, conversion between the curves, and secrets that stay secret."""

import random

import pytest

from ramson.crypto.keys import Ed25519KeyPair, KeySizeError, X25519KeyPair, to_x25519_public, verify
from ramson.errors import ParseError

SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
# Encodings of points of small order (RFC 7748 §6.1 warns of them); the last is 2^255-19+1, a non-canonical 1.
LOW_ORDER_X25519 = [
    "00" * 32,
    "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


def test_rfc_8032_first_test_vector():
    pair = Ed25519KeyPair.from_seed(SEED)
    assert pair.public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert pair.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b"
    )
    assert pair.seed == SEED
    assert pair.secret == SEED + pair.public


def test_rfc_7748_diffie_hellman():
    bob = X25519KeyPair.from_secret(bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
    assert bob.public.hex() == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    alice_public = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    assert bob.exchange(alice_public).hex() == shared


def test_verify_accepts_only_the_signed_message_under_the_right_key():
    pair = Ed25519KeyPair.from_seed(SEED)
    signature = pair.sign(b"hello")
    assert verify(pair.public, b"hello", signature)
    assert not verify(pair.public, b"hello!", signature)
    assert not verify(Ed25519KeyPair.from_seed(bytes(32)).public, b"hello", signature)
    assert not verify(pair.public, b"hello", signature[:-1])
    assert not verify(pair.public[:-1], b"hello", signature)
    assert not verify(pair.public, b"hello", signature[:32] + bytes([signature[32] ^ 1]) + signature[33:])


@pytest.mark.parametrize("public", [bytes(32), b"\x01" + bytes(31)])
def test_a_small_order_key_verifies_nothing(public):
    # With A of small order, R = identity and S = 0 would pass a careless verifier for any message.
    assert not verify(public, b"anything", b"\x01" + bytes(63))


def test_both_halves_convert_to_the_same_x25519_pair():
    pair = Ed25519KeyPair.from_seed(SEED)
    assert pair.to_x25519().public == to_x25519_public(pair.public)


@pytest.mark.parametrize("point", ["00" * 32, "01" + "00" * 31, "02" + "00" * 31, "ff" * 32, "", "00" * 33])
def test_conversion_refuses_what_is_no_point_of_the_main_subgroup(point):
    with pytest.raises(ParseError):
        to_x25519_public(bytes.fromhex(point))


@pytest.mark.parametrize("public", [*LOW_ORDER_X25519, "", "09" + "00" * 30])
def test_exchange_refuses_low_order_and_misshapen_keys(public):
    pair = X25519KeyPair.from_secret(SEED)
    with pytest.raises(ParseError):
        pair.exchange(bytes.fromhex(public))


@pytest.mark.parametrize("make", [Ed25519KeyPair.from_seed, X25519KeyPair.from_secret])
@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_key_material_of_the_wrong_size_is_the_callers_mistake(make, size):
    with pytest.raises(KeySizeError, match=f"32 bytes, not {size}"):
        make(bytes(size))


@pytest.mark.parametrize("kind", [Ed25519KeyPair, X25519KeyPair])
def test_the_same_entropy_gives_the_same_pair(kind):
    assert kind.generate(random.Random(1)) == kind.generate(random.Random(1))
    assert kind.generate(random.Random(1)) != kind.generate(random.Random(2))


def test_pairs_do_not_show_their_secrets():
    for pair in (Ed25519KeyPair.from_seed(SEED), X25519KeyPair.from_secret(SEED)):
        for text in (repr(pair), str(pair), f"{pair}"):
            assert SEED.hex() not in text
            assert repr(SEED)[2:-1] not in text
            assert repr(pair.public) in text
