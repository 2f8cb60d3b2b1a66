"""No class of the room shows a secret, and none that is added later does by accident."""

import dataclasses
import importlib
import pkgutil

import pytest

import ramson.crypto
from ramson.crypto.account import AccountKeys
from ramson.crypto.keys import Ed25519KeyPair, KeySizeError, X25519KeyPair

# Fields of type bytes that anybody may see; every other one has to be kept out of repr.
OPEN = {("Ed25519KeyPair", "public"), ("X25519KeyPair", "public"), ("AccountId", "key"), ("Opened", "sender_ed25519")}


def byte_fields():
    for module in pkgutil.iter_modules(ramson.crypto.__path__):
        for value in vars(importlib.import_module(f"ramson.crypto.{module.name}")).values():
            if isinstance(value, type) and dataclasses.is_dataclass(value):
                for field in dataclasses.fields(value):
                    if "bytes" in str(field.type):
                        yield value.__name__, field.name, field.repr


def test_bytes_are_shown_only_where_they_are_public():
    fields = set(byte_fields())
    assert {(owner, name) for owner, name, _ in fields} > OPEN
    assert {(owner, name) for owner, name, shown in fields if shown} == OPEN


@pytest.mark.parametrize("make", [Ed25519KeyPair.from_seed, X25519KeyPair.from_secret, AccountKeys.from_entropy])
def test_a_refused_secret_is_not_repeated(make):
    with pytest.raises(KeySizeError) as caught:
        make(b"hunter2")
    assert "hunter2" not in repr(caught.value)
    assert b"hunter2".hex() not in repr(caught.value)
