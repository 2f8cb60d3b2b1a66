"""Names and the answers of the registry."""

import pytest
from nacl import bindings

from ramson.crypto import ons
from ramson.crypto.account import AccountId
from ramson.crypto.hashing import blake2b
from ramson.crypto.ons import NameInvalid
from ramson.errors import ParseError

# vectors, family session_encrypt
ACCOUNT = AccountId.parse("054627d2f50e441a77c6e4ac337db915df1b172ead1da8ccc49b4b65d36b9e4e02")
SEALED = bytes.fromhex(
    "5afb5c361a185e5ae18e4dcbc523a60feb5cbada324cd77ac108e8c83c9b8dfc9c825075c64300dd84c079af0d29c4c823"
)
NONCE = bytes.fromhex("89d48a0e0bc684636d0ca36d41016efc64ba49bf7da863ac")
LEGACY = bytes.fromhex(
    "cedc2f1a1c8139a6fc771e86b0a8122d0cac7b8ef7774c4b95a611a42adffe2f7c8d382b74b437a45f0f63396407efb710"
)


def test_an_answer_opens_under_its_name():
    assert ons.decrypt("test", SEALED, NONCE) == ACCOUNT


def test_an_old_answer_has_no_nonce():
    assert ons.decrypt("test", LEGACY, None) == ACCOUNT


@pytest.mark.parametrize(
    ("name", "sealed", "nonce"),
    [
        ("tests", SEALED, NONCE),
        ("Test", SEALED, NONCE),
        ("test", SEALED[:-1], NONCE),
        ("test", SEALED + b"\0", NONCE),
        ("test", b"", NONCE),
        ("test", SEALED, NONCE[:-1]),
        ("test", SEALED, b""),
        ("test", SEALED, NONCE[::-1]),
        ("test", LEGACY[::-1], None),
    ],
)
def test_anything_else_is_refused(name, sealed, nonce):
    with pytest.raises(ParseError):
        ons.decrypt(name, sealed, nonce)


def test_the_hash_of_a_name():
    assert ons.name_hash("test") == blake2b(b"test")


def test_an_answer_of_another_length_is_not_an_id():
    key = blake2b(b"test", key=blake2b(b"test"))
    longer = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(ACCOUNT.raw + b"\0", None, NONCE, key)
    with pytest.raises(ParseError):
        ons.decrypt("test", longer, NONCE)


@pytest.mark.parametrize(("given", "name"), [("Keejef", "keejef"), (" a ", "a"), ("a-b_c", "a-b_c"), ("_", "_")])
def test_names_are_lower_case(given, name):
    assert ons.normalise(given) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "a b", "é", "a.b", ACCOUNT.hex, ACCOUNT.hex.upper()])
def test_other_texts_are_no_names(name):
    with pytest.raises(NameInvalid):
        ons.normalise(name)
