"""A node's keys and certificate: made once, kept to the owner, refused when others can read them."""

import json
import random
import stat
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from ramson.errors import LocalError
from ramson.node import certificate
from ramson.node.keys import NodeKeys, NodeKeysError
from ramson.node.private_files import NotPrivate

NOW = 1_700_000_000_000


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_made_once(tmp_path):
    place = tmp_path / "data" / "keys"
    keys = NodeKeys.load_or_create(place, random.Random(1))
    assert NodeKeys.load_or_create(place, random.Random(2)) == keys
    assert mode(place) == 0o700
    assert [mode(path) for path in place.iterdir()] == [0o600]


def test_keys_hang_together():
    # the node N1 of onion.md §7; one times the base point is the base point itself
    keys = NodeKeys.from_secrets(b"\x01" * 32, (1).to_bytes(32, "little"))
    assert keys.ed25519.public.hex() == "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
    assert keys.x25519.public.hex() == "1b1b58dd50ea14b60da17b790cd02754d970c9bab864ebb3c0f3016fe51d3f57"
    assert keys.legacy.hex() == "58" + "66" * 31


def test_no_secret_is_shown():
    keys = NodeKeys.generate(random.Random(3))
    for secret in (keys.ed25519.seed, keys.x25519.secret, keys.legacy_scalar):
        assert secret.hex() not in repr(keys)
        assert repr(secret) not in repr(keys)


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620])
def test_a_key_file_open_to_others_is_refused(tmp_path, bits):
    NodeKeys.load_or_create(tmp_path / "d", random.Random(1))
    (tmp_path / "d" / "keys.json").chmod(bits)
    with pytest.raises(NotPrivate, match=r"keys\.json .* 0"):
        NodeKeys.load_or_create(tmp_path / "d", random.Random(1))


def test_a_directory_open_to_others_is_refused(tmp_path):
    (tmp_path / "d").mkdir(mode=0o755)
    (tmp_path / "d").chmod(0o755)
    with pytest.raises(NotPrivate) as caught:
        NodeKeys.load_or_create(tmp_path / "d", random.Random(1))
    assert "chmod 0700" in caught.value.remedy


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"ed25519_seed":"00","legacy_scalar":"00"}', b'{"ed25519_seed":5,"legacy_scalar":"zz"}'],
)
def test_a_broken_key_file_is_refused_and_kept(tmp_path, content):
    (tmp_path / "d").mkdir(mode=0o700)
    path = tmp_path / "d" / "keys.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(NodeKeysError):
        NodeKeys.load_or_create(tmp_path / "d", random.Random(1))
    assert path.read_bytes() == content


def test_a_zero_scalar_is_refused():
    with pytest.raises(LocalError):
        NodeKeys.from_secrets(bytes(32), bytes(32))


def test_the_file_holds_what_makes_the_keys(tmp_path):
    keys = NodeKeys.load_or_create(tmp_path / "d", random.Random(1))
    document = json.loads((tmp_path / "d" / "keys.json").read_bytes())
    assert NodeKeys.from_secrets(*(bytes.fromhex(document[k]) for k in ("ed25519_seed", "legacy_scalar"))) == keys


def test_the_certificate_is_the_networks(tmp_path):
    made = certificate.load_or_create(tmp_path / "d", NOW)
    cert = x509.load_pem_x509_certificate(made.certificate)
    assert cert.issuer == cert.subject
    assert {a.rfc4514_attribute_name: a.value for a in cert.subject} == {"C": "AU", "CN": "localhost", "O": "Oxen"}
    assert cert.serial_number == 1
    assert cert.public_key().key_size == 2048
    assert cert.signature_hash_algorithm.name == "sha256"
    assert cert.not_valid_after_utc - cert.not_valid_before_utc == timedelta(days=10_000)
    key = serialization.load_pem_private_key(made.private_key, None)
    assert key.public_key() == cert.public_key()
    assert mode(tmp_path / "d" / "key.pem") == 0o600
    assert certificate.load_or_create(tmp_path / "d", NOW + 5) == made
    assert "PRIVATE" not in repr(made)
