"""From a serialized config to what a mailbox stores, and back: forms, limits, parts."""

import random
import tracemalloc

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.crypto import config_encrypt
from ramson.crypto.hashing import blake2b
from ramson.crypto.keys import Ed25519KeyPair
from ramson.errors import LocalError, ParseError
from ramson.protocol import bt
from ramson.protocol.config import Config, ConfigKeys, ConfigKind, ConfigTooLarge, State, packing, parts
from ramson.protocol.config.packing import MAX_STORED, Part, pack, unpack
from ramson.protocol.config.parts import Parts
from ramson.protocol.envelope import unwrap_config, wrap_config

KIND = ConfigKind.CONTACTS
OWNER = Ed25519KeyPair.from_seed(b"o" * 32)
KEYS = ConfigKeys.own(OWNER)
NOW = 1_700_000_000_000


def noise(size: int) -> bytes:
    return b"d" + random.Random(size).randbytes(size - 1)


def sealed(body: bytes) -> bytes:
    return config_encrypt.encrypt(body, KEYS.encryption[0], KIND.domain)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([2, 100, 216, 217, 5_000, 20_000, 60_000, 75_000]), st.sampled_from(list(ConfigKind)))
def test_what_is_packed_is_unpacked(size, kind):
    (stored,) = pack(noise(size), 1, kind, KEYS)
    assert len(stored) <= MAX_STORED
    assert unpack(stored, kind, KEYS) == noise(size)


def test_personal_configs_are_wrapped_while_that_fits_and_group_configs_never():
    (small,) = pack(noise(100), 3, KIND, KEYS)
    assert config_encrypt.decrypt(unwrap_config(small, OWNER, KIND.namespace), OWNER.seed, b"Contacts").endswith(
        noise(100)
    )
    (large,) = pack(noise(76_700), 3, KIND, KEYS)
    assert len(large) == MAX_STORED
    assert config_encrypt.decrypt(large, OWNER.seed, b"Contacts").endswith(noise(76_700))
    (group,) = pack(noise(100), 3, ConfigKind.GROUP_INFO, KEYS)
    assert config_encrypt.decrypt(group, OWNER.seed, b"groups::Info").endswith(noise(100))


def test_a_message_may_be_wrapped_not_at_all_once_or_twice_but_not_more():
    stored = sealed(noise(50))
    for _ in range(3):
        assert unpack(stored, KIND, KEYS) == noise(50)
        stored = wrap_config(stored, OWNER, 1, KIND.namespace)
    with pytest.raises(ParseError):
        unpack(stored, KIND, KEYS)


def test_all_keys_of_a_group_are_tried_and_the_first_encrypts():
    old, new = (ConfigKeys((letter * 32,)) for letter in (b"1", b"2"))
    both = ConfigKeys((b"2" * 32, b"1" * 32))
    for keys in (old, new):
        (stored,) = pack(noise(50), 1, ConfigKind.GROUP_INFO, keys)
        assert unpack(stored, ConfigKind.GROUP_INFO, both) == noise(50)
    assert pack(noise(50), 1, ConfigKind.GROUP_INFO, both) == pack(noise(50), 1, ConfigKind.GROUP_INFO, new)


def test_keys_are_not_shown():
    assert repr(OWNER.seed)[2:-1] not in repr(ConfigKeys.own(OWNER))


@pytest.mark.parametrize("keys", [(), (b"k" * 31,), (b"k" * 32,) * 65])
def test_a_config_has_a_sane_number_of_whole_keys(keys):
    with pytest.raises(LocalError):
        ConfigKeys(keys)


BOMB = zstandard.ZstdCompressor(level=1).compress(bytes(200_000_000))
STREAM = zstandard.ZstdCompressor(level=1).compressobj()
UNSIZED_BOMB = STREAM.compress(bytes(200_000_000)) + STREAM.flush()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"z",
        b"zrubbish",
        b"z" + BOMB,
        b"z" + UNSIZED_BOMB,
        b"z" + zstandard.ZstdCompressor().compress(b"d" * 100)[:-3],
        b"z" + zstandard.ZstdCompressor().compress(b"d" * 100) + b"more",
    ],
    ids=["empty", "other", "no frame", "no zstd", "bomb", "unsized bomb", "cut", "more"],
)
def test_bodies_that_are_none_are_refused_without_filling_the_memory(body):
    stored = sealed(body) if len(body) < MAX_STORED - 100 else body
    tracemalloc.start()
    try:
        with pytest.raises(ParseError):
            unpack(stored, KIND, KEYS)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=120))
def test_any_plaintext_is_read_or_refused(plain):
    for body in (plain, b"m" + plain, b"z" + plain, b"\0\0m" + plain):
        try:
            unpack(sealed(body), KIND, KEYS)
        except ParseError:
            continue


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [b"h" * 31, b"\0", b"\2", b"x"],
        [b"h" * 32, b"\2", b"\2", b"x"],
        [b"h" * 32, b"\0", b"\1", b"x"],
        [b"h" * 32, b"\0", b"\2", b""],
        [b"h" * 32, b"", b"\2", b"x"],
        [b"h" * 32, 0, 2, b"x"],
        [b"h" * 32, b"\0", b"\2", []],
        b"h" * 32,
    ],
)
def test_malformed_parts_are_refused(fields):
    with pytest.raises(ParseError):
        packing.parse_part(b"m" + bt.encode(fields))


def test_a_part_may_end_in_zeros_and_in_nothing_else():
    part = b"m" + bt.encode([b"h" * 32, b"\0", b"\2", b"x"])
    assert packing.parse_part(part + b"\0\0") == Part(b"h" * 32, 0, 2, b"x")
    with pytest.raises(ParseError):
        packing.parse_part(part + b"\0x")


def large(seed: int, entries: int = 4_000) -> Config:
    config = Config(KIND, KEYS)
    draw = random.Random(seed)
    config.edit((b"c",), {draw.randbytes(33): {b"n": draw.randbytes(8)} for _ in range(entries)})
    return config


def test_a_large_config_travels_in_parts_in_any_order_across_restarts():
    sender = large(1)
    push = sender.push()
    named = [(f"p{at}", data) for at, data in enumerate(push.messages)]
    assert len(named) > 2
    assert all(len(data) <= MAX_STORED for data in push.messages)
    names = tuple(name for name, _ in named)
    sender.confirm_pushed(push.seqno, names)
    receiver = Config(KIND, KEYS)
    for name, data in reversed(named):
        assert receiver.data == {}
        assert receiver.merge([(name, data)], now_ms=NOW) == [name]
        assert receiver.needs_dump
        receiver = Config.load(KIND, KEYS, receiver.dump())
    assert receiver.data == sender.data
    assert receiver.current_hashes == sender.current_hashes == names
    assert receiver.active_hashes == set(names)
    receiver.merge(named[:1], now_ms=NOW)
    assert (receiver.state, receiver.active_hashes) == (State.CLEAN, set(names))
    receiver.edit((), {b"n": 1})
    assert receiver.push().obsolete == tuple(sorted(names))


def test_a_config_forgets_parts_whose_others_never_came():
    receiver = Config(KIND, KEYS)
    receiver.merge([("p0", large(1).push().messages[0])], now_ms=NOW)
    receiver.dump()
    assert receiver.active_hashes == {"p0"}
    receiver.merge([], now_ms=NOW + parts.WAIT_MS + 1)
    assert receiver.active_hashes == set()
    assert receiver.needs_dump


def test_parts_of_two_configs_do_not_mix():
    first, second = large(2), large(3)
    parts_ = [
        (f"{at}-{which}", data)
        for which, sender in enumerate((first, second))
        for at, data in enumerate(sender.push().messages)
    ]
    random.Random(4).shuffle(parts_)
    receiver = Config(KIND, KEYS)
    receiver.merge(parts_, now_ms=NOW)
    assert receiver.state is State.DIRTY
    assert receiver.data[b"c"] == {**first.data[b"c"], **second.data[b"c"]}


def test_what_is_too_large_to_push_is_said_and_changes_nothing():
    config = Config(KIND, KEYS)
    config.edit((), {b"a": bytes(1_000_000)})
    with pytest.raises(ConfigTooLarge):
        config.push()
    config = Config.load(KIND, KEYS, config.dump())
    assert (config.state, len(config.data[b"a"])) == (State.DIRTY, 1_000_000)
    config.edit((), {b"a": b"small"})
    assert config.push().messages


def split(whole: bytes, size: int) -> list[Part]:
    chunks = [whole[at : at + size] for at in range(0, len(whole), size)]
    return [Part(blake2b(whole), at, len(chunks), chunk) for at, chunk in enumerate(chunks)]


@given(st.binary(min_size=2, max_size=50), st.integers(1, 20), st.randoms())
def test_parts_come_together_once(whole, size, order):
    pieces = split(whole, min(size, len(whole) - 1))
    store, coming = Parts(), pieces * 2
    order.shuffle(coming)
    found = [store.add(f"h{part.index}", part, NOW) for part in coming]
    (assembled,) = [result for result in found if result is not None]
    assert assembled.padded == whole
    assert assembled.names == tuple(f"h{part.index}" for part in pieces)
    assert store.waiting() == set()


def test_parts_that_lie_about_the_whole_are_forgotten():
    first, second = split(b"abcd", 2)
    store = Parts()
    store.add("a", first, NOW)
    with pytest.raises(ParseError):
        store.add("c", Part(first.whole, 1, 3, b"x"), NOW)
    with pytest.raises(ParseError):
        store.add("b", Part(first.whole, 1, 2, b"xx"), NOW)
    assert len(store) == 0
    store.add("b", second, NOW)
    assert store.add("a", first, NOW).padded == b"abcd"


def test_parts_are_forgotten_with_age():
    first, second = split(b"abcd", 2)
    waiting, complete = Parts(), Parts()
    for store in (waiting, complete):
        store.add("a", first, NOW)
    complete.add("b", second, NOW)
    later = NOW + parts.WAIT_MS + 1
    assert waiting.expire(later)
    assert not complete.expire(later)
    assert complete.expire(NOW + parts.REMEMBER_MS + 1)
    assert (len(waiting), len(complete)) == (0, 0)


def test_parts_are_bounded():
    store = Parts()
    for number in range(100):
        store.add(f"w{number}", Part(b"%032d" % number, 0, 2, b"x"), NOW)
    assert store.waiting() == {f"w{number}" for number in range(96, 100)}
    for at in range(13):
        store.add(f"x{at}", Part(b"x" * 32, at, 255, bytes(76_000)), NOW)
    with pytest.raises(ParseError):
        store.add("x13", Part(b"x" * 32, 13, 255, bytes(76_000)), NOW)
    for number in range(100):
        for part in split(b"%d whole" % number, 4)[:2]:
            store.add("n", part, NOW)
    assert len(store) <= parts.MAX_WHOLES
