"""Onion layer ciphers.  The first part is the worked example of onion.md §7."""

import hashlib
import random
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.crypto.keys import Ed25519KeyPair, KeySizeError, X25519KeyPair
from ramson.crypto.onion import EncType, LayerCipher, client_cipher, node_cipher
from ramson.errors import ParseError

ENTRY = Ed25519KeyPair.from_seed(b"\x01" * 32).to_x25519()
FINAL = Ed25519KeyPair.from_seed(b"\x02" * 32).to_x25519()
FOR_ENTRY = X25519KeyPair.from_secret(b"\xa1" * 32)
FOR_FINAL = X25519KeyPair.from_secret(b"\xa2" * 32)

FINAL_ED25519 = "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394"
INNER = b'\x1d\x00\x00\x00{"method":"info","params":{}}{"headers":""}'
SEALED_INNER = bytes.fromhex(
    "0202020202020202020202020202020202020202020202023f6c1cb192f140832023a34c9027688ae073561f0eae6d9d"
    "5b979b2945bbaff49650942a312aea7af1da924e2960a20e11f94107282e87c87724fd9eb35700"
)


def test_worked_example_keys():
    assert ENTRY.public.hex() == "1b1b58dd50ea14b60da17b790cd02754d970c9bab864ebb3c0f3016fe51d3f57"
    assert FINAL.public.hex() == "60346e7c911a5f6ba154129174cafe75b294ac3bbd5549632f48cec6266f8410"
    assert FOR_ENTRY.public.hex() == "c306fb0ef2bf8b7f93bad98155fa37daec74db0c4cbeda6c6f1dba9d36558252"
    assert FOR_FINAL.public.hex() == "3c5c6ce2dd99e10d2c3de05d773aa15e3e6d971ed4e41389c93b4bbdda177212"


def test_worked_example_final_layer():
    cipher = client_cipher(EncType.XCHACHA20, FOR_FINAL, FINAL.public)
    assert cipher._key.hex() == "892de117a74d59c60f9286070858a6483cbdc59fa586f951283d0db4e4d4e3eb"
    assert cipher.encrypt(INNER, b"\x02" * 24) == SEALED_INNER
    assert node_cipher(EncType.XCHACHA20, FINAL, FOR_FINAL.public).decrypt(SEALED_INNER) == INNER


def test_worked_example_entry_layer():
    routing = f'{{"destination":"{FINAL_ED25519}","enc_type":"xchacha20","ephemeral_key":"{FOR_FINAL.public.hex()}"}}'
    middle = b"\x57\x00\x00\x00" + SEALED_INNER + routing.encode()
    assert len(middle) == 279
    cipher = client_cipher(EncType.AES_GCM, FOR_ENTRY, ENTRY.public)
    assert cipher._key.hex() == "fde1770cdb2d64ba5b5ca2b86ad5244c91c9c302a53294f3f37440ff57322be7"
    sealed = cipher.encrypt(middle, b"\x01" * 12)
    assert len(sealed) == 307
    assert sealed[-16:].hex() == "73c90328cafb9b4e9c97463a5d39f1f1"
    assert hashlib.sha256(sealed).hexdigest() == "323edb4ca6acbee987212f339fc66f2df5eab47b55d5a5c1d843868d83ae323c"
    assert node_cipher(EncType.AES_GCM, ENTRY, FOR_ENTRY.public).decrypt(sealed) == middle


def test_worked_example_reply():
    reply = b64decode("AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDVtVrcIe7gJOgbvq1C+6InC/8Lkg0MeTI31QPJLtYLlovdTcdZQ88tzSB")
    node = node_cipher(EncType.XCHACHA20, FINAL, FOR_FINAL.public)
    assert node.encrypt(b'{"body":"hi","status":200}', b"\x03" * 24) == reply
    client = client_cipher(EncType.XCHACHA20, FOR_FINAL, FINAL.public)
    assert client.decrypt_reply(reply) == b'{"body":"hi","status":200}'


def both_ends(enc_type: EncType) -> tuple[LayerCipher, LayerCipher]:
    return client_cipher(enc_type, FOR_ENTRY, ENTRY.public), node_cipher(enc_type, ENTRY, FOR_ENTRY.public)


@given(st.sampled_from(EncType), st.binary(max_size=300), st.randoms(use_true_random=False))
def test_what_one_end_seals_the_other_opens(enc_type, plaintext, entropy):
    client, node = both_ends(enc_type)
    assert node.decrypt(client.encrypt(plaintext, entropy.randbytes(client.nonce_size))) == plaintext
    assert client.decrypt_reply(node.encrypt(plaintext, entropy.randbytes(node.nonce_size))) == plaintext


@given(st.sampled_from([EncType.XCHACHA20, EncType.AES_GCM]), st.binary(max_size=100), st.data())
def test_a_flipped_bit_is_always_noticed(enc_type, plaintext, data):
    client, node = both_ends(enc_type)
    sealed = bytearray(client.encrypt(plaintext, bytes(client.nonce_size)))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    for open_it in (node.decrypt, node.decrypt_reply):
        with pytest.raises(ParseError):
            open_it(bytes(sealed))


@given(st.sampled_from(EncType), st.binary(max_size=80))
def test_any_bytes_at_all_are_opened_or_refused(enc_type, ciphertext):
    _, node = both_ends(enc_type)
    for open_it in (node.decrypt, node.decrypt_reply):
        try:
            open_it(ciphertext)
        except ParseError:
            continue
        assert enc_type is EncType.AES_CBC  # unauthenticated: a random last block can have valid padding


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda sealed: sealed[:-1], id="part of a block"),
        pytest.param(lambda sealed: sealed[:-16], id="padding cut off"),
        pytest.param(lambda sealed: sealed[:-17] + bytes([sealed[-17] ^ 0x80]) + sealed[-16:], id="bad padding"),
    ],
)
def test_aes_cbc_refuses_what_is_not_whole_blocks_with_padding(damage):
    client, node = both_ends(EncType.AES_CBC)
    with pytest.raises(ParseError, match="padding"):
        node.decrypt(damage(client.encrypt(bytes(32), bytes(16))))


def test_an_xchacha20_request_may_be_answered_in_aes_gcm_but_not_asked_so():
    client, _ = both_ends(EncType.XCHACHA20)
    _, gcm_node = both_ends(EncType.AES_GCM)
    sealed = gcm_node.encrypt(b"reply", bytes(12))
    assert client.decrypt_reply(sealed) == b"reply"
    with pytest.raises(ParseError):
        client.decrypt(sealed)


@pytest.mark.parametrize(
    ("text", "enc_type"),
    [
        ("xchacha20", EncType.XCHACHA20),
        ("xchacha20-poly1305", EncType.XCHACHA20),
        ("aes-gcm", EncType.AES_GCM),
        ("gcm", EncType.AES_GCM),
        ("aes-cbc", EncType.AES_CBC),
        ("cbc", EncType.AES_CBC),
    ],
)
def test_cipher_names_and_their_aliases(text, enc_type):
    assert EncType.parse(text) is enc_type


@pytest.mark.parametrize("text", ["", "AES-GCM", "xchacha", "aes-gcm "])
def test_other_names_are_refused(text):
    with pytest.raises(ParseError):
        EncType.parse(text)


@pytest.mark.parametrize("enc_type", EncType)
def test_a_low_order_key_opens_no_layer(enc_type):
    with pytest.raises(ParseError):
        client_cipher(enc_type, FOR_ENTRY, bytes(32))
    with pytest.raises(ParseError):
        node_cipher(enc_type, ENTRY, bytes(32))


@pytest.mark.parametrize("enc_type", EncType)
def test_a_nonce_of_the_wrong_size_is_the_callers_mistake(enc_type):
    client, _ = both_ends(enc_type)
    with pytest.raises(KeySizeError):
        client.encrypt(b"", bytes(client.nonce_size + 1))


@pytest.mark.parametrize("enc_type", EncType)
def test_a_cipher_does_not_show_its_key(enc_type):
    entropy = random.Random(1)
    cipher = client_cipher(enc_type, X25519KeyPair.generate(entropy), ENTRY.public)
    for text in (repr(cipher), str(cipher)):
        for secret in (cipher._key, cipher._shared):
            assert secret.hex() not in text
            assert repr(secret)[2:-1] not in text
