"""A key in the system's keyring instead of a passphrase, with a keyring in memory."""

import random
import sys

import keyring
import pytest
from keyring.errors import KeyringLocked
from keyrings import InMemory, in_memory

from ramson.messenger import KeyCost, account, keyring_keys
from ramson.messenger.keyring_keys import KeyMissing, NoKeyring
from ramson.messenger.vault import Guard, WrongPassphrase, guard_of
from ramson.world import real

PASSPHRASE = "correct horse"


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    for function in (account.create, account.change_passphrase):
        monkeypatch.setitem(function.__kwdefaults__, "cost", KeyCost(1, 13))


@pytest.fixture
def ring():
    with in_memory() as ring:
        yield ring


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.ramson"


async def opened_by(path, passphrase):
    store = await account.unlock(path, passphrase, world=real.world())
    store.close()
    return store.keys


async def test_an_account_is_opened_with_a_key_that_only_the_keyring_has(ring, path):
    keys = await keyring_keys.create(path, world=real.world(), name="Alice")
    assert guard_of(path)[0] is Guard.KEYRING
    assert keyring_keys.is_guarded(path)
    key = keyring_keys.key_of(path)
    assert ring.kept == {("ramson", guard_of(path)[1]): key}
    assert len(bytes.fromhex(key)) == 32
    for file in path.parent.iterdir():
        assert key.encode() not in file.read_bytes()
        assert bytes.fromhex(key) not in file.read_bytes()
    assert await opened_by(path, key) == keys
    assert keys.id.hex not in str(ring.kept)


async def test_a_key_takes_the_place_of_a_passphrase_and_a_passphrase_that_of_a_key(ring, path):
    keys = await account.create(path, PASSPHRASE, world=real.world())
    assert not keyring_keys.is_guarded(path)
    await keyring_keys.replace_passphrase(path, PASSPHRASE, world=real.world())
    assert await opened_by(path, keyring_keys.key_of(path)) == keys
    with pytest.raises(WrongPassphrase):
        await opened_by(path, PASSPHRASE)
    key = keyring_keys.key_of(path)
    await keyring_keys.replace_key(path, "another one", world=real.world())
    assert ring.kept == {}
    assert await opened_by(path, "another one") == keys
    with pytest.raises(WrongPassphrase):
        await opened_by(path, key)


async def test_a_wrong_passphrase_replaces_nothing(ring, path):
    await account.create(path, PASSPHRASE, world=real.world())
    with pytest.raises(WrongPassphrase):
        await keyring_keys.replace_passphrase(path, "wrong one", world=real.world())
    assert ring.kept == {}
    await opened_by(path, PASSPHRASE)


async def test_a_file_of_the_first_layout_can_get_a_key(ring, path):
    from first_layout import make

    from ramson.crypto.account import AccountKeys
    from ramson.messenger.store import Store

    keys = AccountKeys.generate(random.Random(1))
    make(path, PASSPHRASE, Store.filling(keys, name="", now_ms=1))
    await keyring_keys.replace_passphrase(path, PASSPHRASE, world=real.world())
    assert await opened_by(path, keyring_keys.key_of(path)) == keys


async def test_a_keyring_without_the_key_is_told_with_a_remedy(ring, path):
    await keyring_keys.create(path, world=real.world())
    ring.kept.clear()
    with pytest.raises(KeyMissing) as caught:
        keyring_keys.key_of(path)
    assert "recovery phrase" in caught.value.remedy


async def test_without_a_keyring_nothing_is_made_and_the_error_says_what_to_do(ring, path):
    keyring.set_keyring(keyring.backends.fail.Keyring())
    with pytest.raises(NoKeyring) as caught:
        await keyring_keys.create(path, world=real.world())
    assert "passphrase" in caught.value.remedy
    assert str(caught.value) == "there is no keyring that seals its keys here"
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("refusal", ["locked", "broken", "forgetful"])
async def test_a_keyring_that_refuses_leaves_no_account_behind(ring, path, refusal, monkeypatch):
    def stumble(*_given):
        raise KeyringLocked if refusal == "locked" else OSError("the bus is gone: secret words")

    monkeypatch.setattr(InMemory, "set_password", (lambda *_given: None) if refusal == "forgetful" else stumble)
    with pytest.raises(NoKeyring) as caught:
        await keyring_keys.create(path, world=real.world())
    assert "secret words" not in str(caught.value)
    assert list(path.parent.iterdir()) == []


async def test_a_keyring_that_does_not_seal_what_it_keeps_is_refused(ring, path, monkeypatch):
    monkeypatch.setattr(InMemory, "priority", 0.5)
    with pytest.raises(NoKeyring, match="seals"):
        await keyring_keys.create(path, world=real.world())


async def test_without_the_package_the_error_names_it(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(NoKeyring) as caught:
        await keyring_keys.create(path, world=real.world())
    assert "ramson[keyring]" in caught.value.remedy
