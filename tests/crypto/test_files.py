"""Encryption of files, against computations made here from the specification with other tools."""

import hashlib
import hmac
import random
import struct
from decimal import Decimal, getcontext

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.poly1305 import Poly1305
from hypothesis import given
from hypothesis import strategies as st

from ramson.crypto.files import FileTooLarge, digest_of, legacy, of_bytes, picture, stream
from ramson.crypto.files.stream import Purpose
from ramson.crypto.keys import KeySizeError
from ramson.errors import LocalError, ParseError

SEED = bytes(range(32))
LEGACY_KEY = bytes(range(64))
IV = bytes(range(100, 116))
CHUNK = 32768


def content(size, seed=1):
    return random.Random(seed).randbytes(size)


def pieces(data, size):
    return [data[i : i + size] for i in range(0, len(data), size)]


def source(data, size=10_000):
    return lambda: iter(pieces(data, size))


def seal_legacy(data):
    return b"".join(legacy.encrypt([data], len(data), key=LEGACY_KEY, iv=IV))


def open_legacy(blob, size, *, key=LEGACY_KEY, digest=None, cut=1000):
    digest = hashlib.sha256(blob).digest() if digest is None else digest
    return b"".join(legacy.decrypt(source(blob, cut), key=key, digest=digest, size=size))


def seal_stream(data, purpose=Purpose.ATTACHMENT, seed=SEED):
    key, blob = stream.encrypt(source(data), len(data), seed=seed, purpose=purpose)
    return key.key, b"".join(blob)


def open_stream(blob, key, cut=50_000):
    return b"".join(stream.decrypt(pieces(blob, cut), key=key))


def with_bit(data, position):
    changed = bytearray(data)
    changed[position // 8 % len(data)] ^= 1 << position % 8
    return bytes(changed)


# ---- the legacy form


def size_class(size):
    """The padding rule in exact arithmetic: the least power of 1.05 that is not less than `size`, rounded down."""
    getcontext().prec = 60
    power = Decimal(1)
    while power < size:
        power *= Decimal("1.05")
    return min(10_000_000, max(541, int(power)))


def test_legacy_padding_is_a_power_of_1_05():
    sizes = [0, 1, 540, 541, 542, 568, 569, 1000, 65_536, 9_999_999, 10_000_000]
    sizes += [random.Random(i).randrange(10_000_000) for i in range(300)]
    assert [legacy.padded_size(size) for size in sizes] == [size_class(size) for size in sizes]


def test_legacy_blob_is_what_the_specification_says():
    data = content(1000)
    padded = data + bytes(size_class(1000) - 1000)
    filler = 16 - len(padded) % 16
    encryptor = Cipher(algorithms.AES(LEGACY_KEY[:32]), modes.CBC(IV)).encryptor()
    sealed = encryptor.update(padded + bytes([filler]) * filler)
    expected = IV + sealed + hmac.digest(LEGACY_KEY[32:], IV + sealed, "sha256")
    assert seal_legacy(data) == expected
    assert legacy.blob_size(1000) == len(expected)
    assert digest_of(pieces(expected, 7)) == hashlib.sha256(expected).digest()


@given(st.binary(max_size=3000), st.integers(1, 4000))
def test_legacy_round_trip_whatever_the_chunks(data, cut):
    blob = b"".join(legacy.encrypt(pieces(data, cut), len(data), key=LEGACY_KEY, iv=IV))
    assert len(blob) == legacy.blob_size(len(data))
    assert open_legacy(blob, len(data), cut=cut) == data


@given(st.integers(min_value=0), st.booleans())
def test_legacy_tampering_is_refused(position, digest_follows):
    blob = seal_legacy(b"a picture")
    digest = None if digest_follows else hashlib.sha256(blob).digest()
    with pytest.raises(ParseError):
        open_legacy(with_bit(blob, position), 9, digest=digest)


def test_legacy_digest_is_mandatory_and_checked():
    blob = seal_legacy(b"a picture")
    for digest in (b"", bytes(32), hashlib.sha256(b"other").digest()):
        with pytest.raises(ParseError, match="digest"):
            open_legacy(blob, 9, digest=digest)


@given(st.binary(max_size=700))
def test_legacy_noise_is_refused(blob):
    with pytest.raises(ParseError):
        open_legacy(blob, 1)


@pytest.mark.parametrize("size", [542, 600, 2**32 - 1])
def test_legacy_size_beyond_the_content_is_refused(size):
    with pytest.raises(ParseError, match="shorter"):
        open_legacy(seal_legacy(b"a picture"), size)


def test_legacy_nothing_is_given_before_the_tag_was_checked():
    blob = seal_legacy(content(300_000))
    with pytest.raises(ParseError, match="tag"):
        legacy.decrypt(source(with_bit(blob, 8 * len(blob) - 1)), key=LEGACY_KEY, digest=bytes(32), size=300_000)


def test_legacy_broken_padding_under_a_good_tag_is_refused():
    encryptor = Cipher(algorithms.AES(LEGACY_KEY[:32]), modes.CBC(IV)).encryptor()
    sealed = IV + encryptor.update(bytes(32))  # a sender can authenticate what is no padding
    blob = sealed + hmac.digest(LEGACY_KEY[32:], sealed, "sha256")
    with pytest.raises(ParseError, match="padding"):
        open_legacy(blob, 1)


def test_legacy_wrong_arguments():
    with pytest.raises(ParseError, match="64 bytes"):
        open_legacy(seal_legacy(b"x"), 1, key=bytes(32))
    with pytest.raises(FileTooLarge):
        legacy.encrypt([], 10_000_001, key=LEGACY_KEY, iv=IV)
    with pytest.raises(KeySizeError):
        legacy.encrypt([], 0, key=LEGACY_KEY, iv=b"")
    with pytest.raises(LocalError, match="has 3 bytes, not 4"):
        b"".join(legacy.encrypt([b"abc"], 4, key=LEGACY_KEY, iv=IV))


def test_legacy_largest_file():
    data = content(10_000_000)
    blob = seal_legacy(data)
    assert len(blob) == 10_000_064
    assert open_legacy(blob, len(data), cut=2**20) == data


# ---- the deterministic form


def rotate(value, count):
    return (value << count | value >> 32 - count) & 0xFFFFFFFF


def hchacha20(key, nonce):
    state = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))
    quarters = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)]
    quarters += [(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]
    for _ in range(10):
        for a, b, c, d in quarters:
            for x, y, z, count in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                state[x] = (state[x] + state[y]) & 0xFFFFFFFF
                state[z] = rotate(state[z] ^ state[x], count)
    return struct.pack("<8I", *state[:4], *state[12:])


def test_hchacha20_of_the_draft():
    key = bytes(range(32))
    nonce = bytes.fromhex("000000090000004a0000000031415927")
    assert hchacha20(key, nonce).hex() == "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"


def secretstream(header, key, chunks, final=3):
    """libsodium's secretstream from its documentation, on other primitives."""
    key, inner = hchacha20(key, header[:16]), header[16:]
    out = []
    for counter, chunk in enumerate(chunks, 1):
        nonce = struct.pack("<I", counter) + inner

        def keystream(data, block, nonce=nonce):
            cipher = Cipher(algorithms.ChaCha20(key, struct.pack("<I", block) + nonce), None)
            return cipher.encryptor().update(data)

        first = keystream(bytes([final if counter == len(chunks) else 0]) + bytes(63), 1)
        sealed = keystream(chunk, 2)
        mac = Poly1305(keystream(bytes(32), 0))
        # the padding is computed from `16 - 64 + length`, which is what libsodium ships
        mac.update(first + sealed + bytes((16 - 64 + len(chunk)) & 15) + struct.pack("<QQ", 0, 64 + len(chunk)))
        tag = mac.finalize()
        out.append(first[:1] + sealed + tag)
        inner = bytes(a ^ b for a, b in zip(inner, tag, strict=False))
    return b"".join(out)


@pytest.mark.parametrize("size", [0, 1, 4036, 4050, 32_000, 32_767, 32_768, 65_000, 300_000])
def test_stream_blob_is_what_the_specification_says(size):
    data = content(size)
    digest = hashlib.blake2b(data, digest_size=56, key=SEED, person=b"SessionAttachmnt").digest()
    key, blob = seal_stream(data)
    assert key == digest[24:]
    padding = next(
        n
        for n in range(1, 20_000)
        if (25 + n + size + 17 * -(-(n + size) // CHUNK)) % (8192 if size > 262_000 else 4096) == 0
    )
    padded = bytes(padding - 1) + b"\x01" + data
    assert blob == b"S" + digest[:24] + secretstream(digest[:24], key, pieces(padded, CHUNK))


def test_stream_purpose_seed_and_content_make_the_key():
    keys = {
        seal_stream(b"x")[0],
        seal_stream(b"y")[0],
        seal_stream(b"x", Purpose.PICTURE)[0],
        seal_stream(b"x", seed=bytes(32))[0],
    }
    assert len(keys) == 4
    assert seal_stream(b"x") == seal_stream(b"x")
    picture_key = hashlib.blake2b(b"x", digest_size=56, key=SEED, person=b"Session_Prof_Pic").digest()[24:]
    assert seal_stream(b"x", Purpose.PICTURE)[0] == picture_key


@given(st.integers(0, 10_218_286))
def test_stream_size_is_a_multiple_that_hides_the_size(size):
    blob = stream.blob_size(size)
    estimate = size + 26 + 17 * -(-size // CHUNK)
    step = 4096
    while step * 64 <= estimate:
        step *= 2
    assert blob % step == 0
    least = 25 + size + 1 + 17 * -(-(size + 1) // CHUNK)
    assert least <= blob < least + step + 18
    assert blob <= 10_223_616


def test_stream_every_multiple_can_be_reached_and_sizes_grow():
    sizes = [stream.blob_size(size) for size in range(0, 10_218_286, 997)]
    assert sizes == sorted(sizes)
    for step, first, last in [(4096 << i, 131_072 << i, 262_144 << i) for i in range(7)]:
        for blob in range(step if step == 4096 else first, min(last, 10_223_616) + 1, step):
            assert (blob - 25) % (CHUNK + 17) == 0 or (blob - 25) % (CHUNK + 17) > 17


def test_stream_limits():
    assert stream.blob_size(10_218_286) == 10_223_616
    with pytest.raises(FileTooLarge):
        stream.blob_size(10_218_287)


@given(st.binary(max_size=3000) | st.integers(0, 140_000).map(content), st.integers(1, 70_000))
def test_stream_round_trip_whatever_the_chunks(data, cut):
    key, blob = seal_stream(data)
    assert len(blob) == stream.blob_size(len(data))
    assert open_stream(blob, key, max(cut, len(blob) // 100)) == data


@given(st.integers(min_value=0))
def test_stream_tampering_is_refused(position):
    key, blob = seal_stream(content(40_000))
    with pytest.raises(ParseError):
        open_stream(with_bit(blob, position), key)


@given(st.integers(0, 80_000))
def test_stream_cut_off_is_refused_wherever(end):
    key, blob = seal_stream(content(70_000))
    with pytest.raises(ParseError):
        open_stream(blob[: min(end, len(blob) - 1)], key)


@given(st.binary(max_size=200))
def test_stream_noise_is_refused(blob):
    with pytest.raises(ParseError):
        open_stream(b"S" + blob, bytes(32))
    with pytest.raises(ParseError):
        open_stream(blob, bytes(32))


def test_stream_other_paddings_of_any_length_are_read():
    header, key = content(24), content(32, 2)
    for padding in (1, 2, 40_000, CHUNK, CHUNK + 1, 3 * CHUNK):
        padded = bytes(padding - 1) + b"\x01" + b"plain\x00\x01text"
        blob = b"S" + header + secretstream(header, key, pieces(padded, CHUNK))
        assert open_stream(blob, key) == b"plain\x00\x01text"


@pytest.mark.parametrize("padded", [b"\x02x", b"x", bytes(10), bytes(CHUNK) + b"\x03"])
def test_stream_broken_padding_is_refused(padded):
    header, key = content(24), content(32, 2)
    with pytest.raises(ParseError, match="padding"):
        open_stream(b"S" + header + secretstream(header, key, pieces(padded, CHUNK)), key)


def test_stream_wrong_ends_are_refused():
    header, key = content(24), content(32, 2)
    good = b"S" + header + secretstream(header, key, [b"\x01" + bytes(CHUNK - 1), b"end"])
    for blob in (good + b"x", good + bytes(17), good + good[25:]):
        with pytest.raises(ParseError):
            open_stream(blob, key)
    for tag in (0, 1, 2):
        with pytest.raises(ParseError):
            open_stream(b"S" + header + secretstream(header, key, [b"\x01end"], final=tag), key)
    with pytest.raises(ParseError, match="goes on"):
        open_stream(b"S" + header + secretstream(header, key, [b"\x01" + bytes(CHUNK - 1)]) + b"more", key)


@pytest.mark.parametrize("second", [b"abd", b"ab", b"abcd"], ids=["other", "shorter", "longer"])
def test_stream_file_that_changes_while_it_is_read_never_gets_an_end(second):
    readings = iter([[b"abc"], [second]])
    key, chunks = stream.encrypt(lambda: next(readings), 3, seed=SEED, purpose=Purpose.ATTACHMENT)
    got = []
    with pytest.raises(LocalError, match="changed"):
        got.extend(chunks)
    with pytest.raises(ParseError, match="cut off"):
        open_stream(b"".join(got), key.key)


def test_stream_wrong_keys():
    with pytest.raises(KeySizeError):
        seal_stream(b"x", seed=bytes(16))
    with pytest.raises(ParseError):
        open_stream(seal_stream(b"x")[1], bytes(31))


# ---- pictures


def test_picture_is_what_the_specification_says():
    blob = picture.encrypt(b"png", key=SEED, iv=bytes(12))
    assert blob == bytes(12) + AESGCM(SEED).encrypt(bytes(12), b"png", None)


@given(st.binary(max_size=500), st.integers(min_value=0))
def test_picture_round_trip_and_tampering(data, position):
    blob = picture.encrypt(data, key=SEED, iv=bytes(12))
    assert picture.decrypt(blob, key=SEED) == data
    with pytest.raises(ParseError):
        picture.decrypt(with_bit(blob, position), key=SEED)


@given(st.binary(max_size=60))
def test_picture_noise_is_refused(blob):
    for deterministic in (True, False):
        with pytest.raises(ParseError):
            picture.decrypt_any(blob, key=SEED, deterministic=deterministic)
    with pytest.raises(ParseError):
        picture.decrypt(blob, key=SEED[1:])


@pytest.mark.parametrize("deterministic", [True, False])
def test_picture_of_either_form_is_read_whatever_its_url_says(deterministic):
    key, blob = seal_stream(b"webp", Purpose.PICTURE)
    assert picture.decrypt_any(blob, key=key, deterministic=deterministic) == b"webp"
    old = picture.encrypt(b"webp", key=SEED, iv=bytes(12))
    assert picture.decrypt_any(old, key=SEED, deterministic=deterministic) == b"webp"


def test_no_secret_is_shown():
    assert "key" not in repr(stream.derive([b"x"], seed=SEED, purpose=Purpose.PICTURE)).lower().replace("streamkey", "")
    assert of_bytes(b"abc")() == (b"abc",)
