"""BLAKE2b and the hash that names a message."""

import hashlib

import pytest

from ramson.crypto.hashing import HashParameterError, blake2b, message_hash

# storage-rpc.md §2
ACCOUNT = bytes.fromhex("051b1b58dd50ea14b60da17b790cd02754d970c9bab864ebb3c0f3016fe51d3f57")


@pytest.mark.parametrize(
    ("namespace", "name"),
    [(0, "21+69UHR3FhTAHXT0LDMRduP9sTKyLOTpqTBpfCaZWA"), (2, "MD/gqb/MArX1DSLPF7WAwgrrutY3aKwI614AHaFR4zQ")],
)
def test_the_documented_message_hashes(namespace, name):
    assert message_hash(ACCOUNT, namespace, b"abc 123") == name


def test_a_negative_namespace_is_hashed_as_written():
    assert message_hash(ACCOUNT, -11, b"x") == message_hash(ACCOUNT, 0, b"-11x")


def test_the_parts_of_a_message_hash_are_not_framed():
    assert message_hash(ACCOUNT, 1, b"2x") == message_hash(ACCOUNT, 12, b"x")


def test_blake2b_takes_key_and_personalisation():
    assert blake2b(b"data", size=24) == hashlib.blake2b(b"data", digest_size=24).digest()
    assert blake2b(b"data", key=b"k", person=b"ramson") == blake2b(b"data", key=b"k", person=b"ramson" + bytes(10))
    assert len({blake2b(b"data"), blake2b(b"data", key=b"k"), blake2b(b"data", person=b"p"), blake2b(b"date")}) == 4


@pytest.mark.parametrize(
    "parameters", [{"size": 0}, {"size": 15}, {"size": 65}, {"key": bytes(65)}, {"person": bytes(17)}]
)
def test_parameters_out_of_range_are_refused(parameters):
    with pytest.raises(HashParameterError):
        blake2b(b"", **parameters)
