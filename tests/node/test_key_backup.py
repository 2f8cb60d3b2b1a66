"""Backups of a node's keys: they open with the passphrase, tell nothing without it, and are refused when damaged."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.node import key_backup
from ramson.node.key_backup import BackupError, Cost, seal, unseal
from ramson.node.keys import KEY_FILE, NodeKeys, NodeKeysError

KEYS = NodeKeys.generate(random.Random(1))
CHEAP = Cost(passes=1, memory=8192)
PASSPHRASE = "correct horse battery"
BACKUP = seal(KEYS, PASSPHRASE, random.Random(2), CHEAP)


def test_a_backup_opens_with_its_passphrase():
    assert unseal(BACKUP, PASSPHRASE).ed25519.seed == KEYS.ed25519.seed
    assert unseal(BACKUP, PASSPHRASE).legacy_scalar == KEYS.legacy_scalar


def test_a_backup_holds_no_secret_in_the_clear_and_each_is_different():
    document = json.loads(BACKUP)
    assert document["ed25519"] == KEYS.ed25519.public.hex()
    for secret in (KEYS.ed25519.seed, KEYS.legacy_scalar):
        assert secret not in BACKUP
        assert secret.hex().encode() not in BACKUP
    other = json.loads(seal(KEYS, PASSPHRASE, random.Random(3), CHEAP))
    assert other["salt"] != document["salt"]
    assert other["sealed"] != document["sealed"]


def test_guessing_is_dear_by_default():
    assert Cost() == Cost(passes=4, memory=256 * 1024 * 1024)


def test_a_wrong_passphrase_and_a_short_one():
    with pytest.raises(BackupError, match="passphrase is wrong"):
        unseal(BACKUP, "correct horse")
    with pytest.raises(BackupError, match="fewer than 8"):
        seal(KEYS, "1234567", random.Random(1), CHEAP)


@given(st.integers(0, len(BACKUP) - 2), st.integers(1, 255))
def test_any_damage_is_an_error_of_one_kind(place, change):
    damaged = bytearray(BACKUP)
    damaged[place] ^= change
    try:
        opened = unseal(bytes(damaged), PASSPHRASE)
    except BackupError:
        return
    assert opened.ed25519.seed == KEYS.ed25519.seed  # the damage was in what merely names the backup


@pytest.mark.parametrize(
    "change",
    [
        {"passes": 10**9},
        {"passes": 0},
        {"memory": 2**40},
        {"memory": 1},
        {"passes": "1"},
        {"salt": "AAAA"},
        {"sealed": "AAAA"},
        {"format": "other"},
        {"sealed": None},
    ],
)
def test_costs_and_sizes_out_of_bounds_are_refused_before_any_work(change):
    with pytest.raises(BackupError):
        unseal(json.dumps(json.loads(BACKUP) | change).encode(), PASSPHRASE)


@given(st.binary(max_size=200))
def test_anything_else_is_no_backup(data):
    with pytest.raises(BackupError):
        unseal(data, PASSPHRASE)
    with pytest.raises(BackupError):
        unseal(BACKUP + b" " * key_backup.MAX_BACKUP, PASSPHRASE)


def test_saving_never_overwrites_keys(tmp_path):
    KEYS.save(tmp_path / "node")
    assert (tmp_path / "node" / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert NodeKeys.load(tmp_path / "node").ed25519.seed == KEYS.ed25519.seed
    with pytest.raises(NodeKeysError, match="already"):
        NodeKeys.generate(random.Random(5)).save(tmp_path / "node")
    with pytest.raises(NodeKeysError, match="no keys"):
        NodeKeys.load(tmp_path)
