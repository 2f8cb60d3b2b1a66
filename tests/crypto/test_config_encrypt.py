"""Encryption of configs: the same input, the same bytes; nothing else opens them; sizes tell little."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.crypto import config_encrypt
from ramson.errors import LocalError, ParseError

KEY = b"abcdef0123456789" * 2


def test_the_example_of_the_spec():
    key = bytes.fromhex("abcdef0123456789" * 4)
    ciphertext = config_encrypt.encrypt(b"some message 1", key, b"test-suite1")
    assert ciphertext.hex() == (
        "f14f242a26638f3305707d1035e734577f943cd7d28af58e32637e0966dcaf2f4860cb4d0f8ba7e09d29e31f5e4a18f65847287a54a0"
    )


@given(st.binary(max_size=300), st.binary(min_size=32, max_size=32), st.binary(min_size=1, max_size=24))
def test_what_is_encrypted_opens_with_the_same_key_and_domain(message, key, domain):
    ciphertext = config_encrypt.encrypt(message, key, domain)
    assert config_encrypt.encrypt(message, key, domain) == ciphertext
    assert len(ciphertext) == len(message) + config_encrypt.OVERHEAD
    assert config_encrypt.decrypt(ciphertext, key, domain) == message


@given(st.binary(max_size=200))
def test_strange_bytes_do_not_open(data):
    with pytest.raises(ParseError):
        config_encrypt.decrypt(data, KEY, b"Contacts")


@given(st.data())
def test_a_changed_bit_or_a_cut_is_noticed(data):
    ciphertext = config_encrypt.encrypt(b"a message", KEY, b"Contacts")
    position = data.draw(st.integers(0, len(ciphertext) * 8 - 1))
    flipped = bytearray(ciphertext)
    flipped[position // 8] ^= 1 << position % 8
    for wrong in (bytes(flipped), ciphertext[: position // 8]):
        with pytest.raises(ParseError):
            config_encrypt.decrypt(wrong, KEY, b"Contacts")


@pytest.mark.parametrize(("key", "domain"), [(KEY[:31], b"x"), (KEY, b""), (KEY, b"x" * 25)])
def test_keys_and_domains_of_wrong_sizes_are_the_callers_mistake(key, domain):
    with pytest.raises(LocalError):
        config_encrypt.encrypt(b"", key, domain)


@given(st.integers(0, 200_000))
def test_padding_is_never_less_than_the_message_and_at_most_one_step_more(size):
    padded = config_encrypt.padded_size(size)
    assert 0 <= padded - size < 5_120
    assert (padded + config_encrypt.OVERHEAD) % 256 == 0


@given(st.binary(max_size=600).map(lambda rest: b"d" + rest))
def test_padding_goes_before_the_message(message):
    padded = config_encrypt.pad(message)
    assert len(padded) == config_encrypt.padded_size(len(message))
    assert padded.lstrip(b"\0") == message
