"""Account ids and account keys."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.crypto.account import AccountId, AccountIdError, AccountKeys
from ramson.crypto.keys import KeySizeError
from ramson.errors import ParseError

# identity.md, test vector
ENTROPY = bytes.fromhex("7728d972721b98816a328c46c1995135")
ED25519 = "e34a0972b5de5e1476b0d8082c9c50d962c8a8fb43804d3b1f3d9f6dca8ee935"
ACCOUNT = "056c3d9682f167135d4c86b0af24e7aca98949380fa825e01455e788fe3df1d05c"


def test_the_documented_account():
    keys = AccountKeys.from_entropy(ENTROPY)
    assert keys.ed25519.public.hex() == ED25519
    assert str(keys.id) == keys.id.hex == ACCOUNT
    assert keys.id.key == keys.x25519.public
    assert keys.entropy == ENTROPY


def test_sixteen_bytes_of_entropy_are_a_seed_with_sixteen_zero_bytes():
    keys = AccountKeys.from_seed(ENTROPY + bytes(16))
    assert keys == AccountKeys.from_entropy(ENTROPY)
    assert keys.entropy == ENTROPY


def test_a_full_seed_keeps_all_of_its_entropy():
    seed = bytes(range(32))
    assert AccountKeys.from_seed(seed).entropy == seed


def test_a_new_account_has_sixteen_bytes_of_entropy():
    keys = AccountKeys.generate(random.Random(7))
    assert keys == AccountKeys.from_entropy(random.Random(7).randbytes(16))


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_entropy_of_another_size_is_refused(size):
    with pytest.raises(KeySizeError):
        AccountKeys.from_entropy(bytes(size))


@given(st.binary(min_size=33, max_size=33))
def test_an_id_survives_being_written_and_read(raw):
    account = AccountId.from_bytes(raw)
    assert account.raw == raw
    assert AccountId.parse(account.hex) == account
    assert AccountId.parse(f" {account.hex.upper()}\n") == account
    assert account.hex == raw.hex()


@pytest.mark.parametrize(
    "text",
    ["", ACCOUNT[:-1], ACCOUNT + "0", ACCOUNT[:-1] + "g", "0x" + ACCOUNT[:-2], ACCOUNT[:32] + "  " + ACCOUNT[34:],
     ACCOUNT[:-1] + "٣"],
)  # fmt: skip
def test_other_texts_are_no_ids(text):
    with pytest.raises(AccountIdError) as caught:
        AccountId.parse(text)
    assert ACCOUNT[:30] not in str(caught.value)


@pytest.mark.parametrize("size", [0, 32, 34, 66])
def test_other_lengths_are_no_ids(size):
    with pytest.raises(ParseError):
        AccountId.from_bytes(bytes(size))


def test_an_id_made_by_hand_is_checked():
    with pytest.raises(AccountIdError):
        AccountId(256, bytes(32))
    with pytest.raises(KeySizeError):
        AccountId(5, bytes(31))


def test_account_keys_do_not_show_their_secrets():
    keys = AccountKeys.from_entropy(ENTROPY)
    for text in (repr(keys), str(keys)):
        for secret in (ENTROPY, keys.ed25519.seed, keys.x25519.secret):
            assert secret.hex() not in text
            assert repr(secret)[2:-1] not in text
