"""Devices that share a config come to agree, whatever they edit and however the messages travel."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.crypto.keys import Ed25519KeyPair
from ramson.errors import LocalError, ParseError
from ramson.protocol import bt
from ramson.protocol.config import MAX_MESSAGES, Config, ConfigKeys, ConfigKind, ReadOnlyConfig, State
from ramson.protocol.config import message as messages
from ramson.protocol.config.diff import Mark, SetChange
from ramson.protocol.config.packing import pack, unpack
from ramson.protocol.envelope import unwrap_config

KIND = ConfigKind.CONTACTS
OWNER = Ed25519KeyPair.from_seed(b"o" * 32)
KEYS = ConfigKeys.own(OWNER)
NOW = 1_700_000_000_000


class Swarm:
    """What a mailbox holds: messages by hash, until somebody deletes them."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}

    def store(self, data: bytes) -> str:
        name = hashlib.blake2b(data, digest_size=16).hexdigest()
        self.stored[name] = data
        return name

    def push(self, config: Config) -> None:
        push = config.push()
        names = [self.store(data) for data in push.messages]
        for name in push.obsolete:
            self.stored.pop(name, None)
        config.confirm_pushed(push.seqno, names)

    def fetch(self, config: Config) -> list[str]:
        return config.merge(list(self.stored.items()), now_ms=NOW)


def new(kind: ConfigKind = KIND, keys: ConfigKeys = KEYS) -> Config:
    return Config(kind, keys)


def reloaded(config: Config) -> Config:
    return Config.load(config.kind, config.keys, config.dump())


def settle(swarm: Swarm, devices: list[Config]) -> None:
    """Let everybody fetch and push until nobody has anything to say."""
    for _ in range(30):
        for device in devices:
            swarm.fetch(device)
            if device.needs_push:
                swarm.push(device)
        if not any(device.needs_push for device in devices) and len({device.seqno for device in devices}) == 1:
            return
    pytest.fail("the devices never come to rest")


PATHS = st.sampled_from([(), (b"a",), (b"a", b"b"), (b"c",)])
LEAVES = st.sampled_from([None, 1, 2, b"", b"x", frozenset({1}), frozenset({2, b"y"}), {b"k": 1}])
EDITS = st.tuples(PATHS, st.dictionaries(st.sampled_from([b"a", b"b", b"k"]), LEAVES, min_size=1, max_size=2))


def perform(step: str, device: int, detail: Any, devices: list[Config], swarm: Swarm, draw: Any) -> None:
    config = devices[device]
    match step:
        case "edit":
            config.edit(*detail)
        case "push":
            swarm.push(config)
        case "push unconfirmed":
            for data in config.push().messages:
                swarm.store(data)
        case "push lost":
            config.push()
        case "fetch":
            stored = list(swarm.stored.items())
            if stored:
                config.merge(draw(st.lists(st.sampled_from(stored), max_size=6)), now_ms=NOW)
        case "restart":
            data, needs_push = config.data, config.needs_push
            devices[device] = reloaded(config)
            assert devices[device].data == data
            assert devices[device].needs_push == needs_push
            assert devices[device].dump() == config.dump()


STEPS = st.sampled_from(["edit", "edit", "push", "push unconfirmed", "push lost", "fetch", "fetch", "restart"])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_history_converges(data):
    swarm, devices = Swarm(), [new() for _ in range(data.draw(st.integers(2, 4)))]
    for step, device, edit in data.draw(
        st.lists(st.tuples(STEPS, st.integers(0, len(devices) - 1), EDITS), max_size=25)
    ):
        perform(step, device, edit, devices, swarm, data.draw)
    settle(swarm, devices)
    assert all(device.data == devices[0].data for device in devices)
    latecomer = new()
    swarm.fetch(latecomer)
    assert latecomer.data == devices[0].data


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_was_edited_at_the_same_time_is_all_there_in_the_end(data):
    swarm, devices = Swarm(), [new() for _ in range(4)]
    devices[0].edit((), {b"base": 1})
    settle(swarm, devices)
    order = data.draw(st.permutations(range(4)))
    for device in order:
        devices[device].edit((b"d", b"%d" % device), {b"v": data.draw(st.integers(1, 9)), b"own": device})
    wanted = {b"%d" % device: devices[device].data[b"d"][b"%d" % device] for device in order}
    for device in order:
        if data.draw(st.booleans()):
            devices[device] = reloaded(devices[device])
        swarm.push(devices[device])
    settle(swarm, devices)
    assert devices[0].data == {b"base": 1, b"d": wanted}


def test_the_states_of_a_config():
    config = new()
    assert (config.state, config.seqno, config.needs_push) == (State.CLEAN, 0, False)
    assert config.edit((), {b"n": b"name"})
    assert not config.edit((), {b"n": b"name"})
    assert (config.state, config.seqno) == (State.DIRTY, 1)
    push = config.push()
    assert (config.state, config.push()) == (State.WAITING, push)
    config.confirm_pushed(1, ["h1"])
    assert (config.state, config.current_hashes) == (State.CLEAN, ("h1",))
    config.edit((), {b"n": None})
    assert (config.seqno, config.current_hashes) == (2, ())
    assert config.push().obsolete == ("h1",)


def test_two_devices_that_say_the_same_store_one_message():
    one, other = new(), new()
    for config in (one, other):
        config.edit((b"c", b"id"), {b"n": b"name"})
    assert one.push().messages == other.push().messages


def test_obsolete_hashes_are_handed_out_until_a_push_is_confirmed():
    config = new()
    config.edit((), {b"n": 1})
    config.push()
    config.confirm_pushed(1, ["h1"])
    config.edit((), {b"n": 2})
    assert config.push().obsolete == ("h1",)
    config = reloaded(config)
    assert config.push().obsolete == ("h1",)
    config.confirm_pushed(2, ["h2"])
    config.edit((), {b"n": 3})
    assert config.push().obsolete == ("h2",)


def test_deletions_are_done_too_when_what_is_pushed_was_in_the_swarm_before():
    here, there = new(), new()
    for config, name in ((here, "h1"), (there, "h2")):
        config.edit((), {b"n": 1})
        config.push()
        config.confirm_pushed(1, [name])
    there.edit((), {b"n": 2})
    here.merge([("h2", there.push().messages[0])], now_ms=NOW)
    assert (here.state, here.push().obsolete) == (State.CLEAN, ("h1",))
    here.push(deleting=False)
    here.confirm_pushed(2, ["h2"])
    assert here.push().obsolete == ("h1",)
    here.confirm_pushed(2, ["h2"])
    assert here.push().obsolete == reloaded(here).push().obsolete == ()
    assert here.current_hashes == ("h2",)


def test_what_the_swarm_has_lost_is_known_by_the_hash_it_is_stored_again_under():
    there = new()
    there.edit((), {b"n": 1})
    wrapped = there.push().messages[0]
    here = new()
    here.merge([("other form", unwrap_config(wrapped, OWNER, KIND.namespace))], now_ms=NOW)
    assert (here.current_hashes, here.push().messages) == (("other form",), (wrapped,))
    here.confirm_pushed(1, ["h"])  # nothing was lost
    assert here.current_hashes == ("other form",)
    here.push(deleting=False)
    here.confirm_pushed(1, ["h"])
    assert here.current_hashes == reloaded(here).current_hashes == ("h",)


def test_a_copy_under_another_hash_is_superfluous_unless_it_is_the_only_one_known():
    config = new()
    config.edit((), {b"n": 1})
    wrapped = config.push().messages[0]
    bare = unwrap_config(wrapped, OWNER, KIND.namespace)
    config.merge([("h", wrapped)], now_ms=NOW)  # fetched before the push was confirmed
    assert config.push().obsolete == ()
    config.confirm_pushed(1, ["h"])
    config.merge([("h", wrapped), ("other form", bare)], now_ms=NOW)
    assert (config.state, config.current_hashes) == (State.CLEAN, ("h",))
    config.edit((), {b"n": 2})
    assert config.push().obsolete == ("h", "other form")


def test_what_is_confirmed_after_another_edit_is_obsolete_already():
    config = new()
    config.edit((), {b"n": 1})
    config.push()
    config.edit((), {b"n": 2})
    config.confirm_pushed(1, ["h1"])
    assert config.needs_push
    assert config.push().obsolete == ("h1",)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("pushed", [False, True])
def test_an_edit_that_was_never_stored_survives_a_long_absence(restart, pushed):
    swarm, here, there = Swarm(), new(), new()
    there.edit((), {b"n": 0, b"other": 0})
    swarm.push(there)
    swarm.fetch(here)
    here.edit((), {b"mine": b"edit"})
    if pushed:
        here.push()
    if restart:
        here = reloaded(here)
    for number in range(1, 12):
        there.edit((), {b"n": number})
        swarm.push(there)
    settle(swarm, [here, there])
    assert there.data == {b"n": 11, b"other": 0, b"mine": b"edit"}


def test_an_edit_that_others_have_is_not_made_again():
    swarm, here, there = Swarm(), new(), new()
    here.edit((), {b"n": 1})
    for data in here.push().messages:  # stored, but the answer is lost
        swarm.store(data)
    swarm.fetch(there)
    there.edit((), {b"n": 2})
    swarm.push(there)
    swarm.fetch(here)
    assert (here.data, here.state) == ({b"n": 2}, State.CLEAN)


def test_unknown_keys_at_any_depth_survive_merges_and_edits():
    swarm, future, old = Swarm(), new(), new()
    future.edit((b"c", b"id"), {b"n": b"name", b"zz": {b"deep": frozenset({b"member"})}})
    future.edit((), {b"?": 7})
    swarm.push(future)
    swarm.fetch(old)
    old.edit((b"c", b"id"), {b"n": b"other"})
    future.edit((b"c", b"id", b"zz"), {b"more": 1})
    swarm.push(old)
    settle(swarm, [future, old])
    assert old.data == {
        b"?": 7,
        b"c": {b"id": {b"n": b"other", b"zz": {b"deep": frozenset({b"member"}), b"more": 1}}},
    }


def test_messages_of_others_and_of_other_kinds_are_ignored():
    sender = new()
    sender.edit((), {b"n": 1})
    (message,) = sender.push().messages
    stranger = new(keys=ConfigKeys.own(Ed25519KeyPair.from_seed(b"s" * 32)))
    assert stranger.merge([("h", message)], now_ms=NOW) == []
    assert new(ConfigKind.USER_GROUPS).merge([("h", message)], now_ms=NOW) == []
    assert new().merge([("h", message)], now_ms=NOW) == ["h"]


def test_there_is_a_limit_to_what_is_merged_at_once():
    with pytest.raises(LocalError):
        new().merge([("h", b"")] * (MAX_MESSAGES + 1), now_ms=NOW)


ADMIN = Ed25519KeyPair.from_seed(b"g" * 32)
GROUP_KEY, OLD_GROUP_KEY = b"k" * 32, b"l" * 32


def group(*, admin: bool, keys: tuple[bytes, ...] = (GROUP_KEY, OLD_GROUP_KEY)) -> Config:
    return Config(ConfigKind.GROUP_INFO, ConfigKeys.group(keys, ADMIN.public, ADMIN if admin else None))


def test_members_of_a_group_follow_its_admins_and_change_nothing():
    swarm, admins, member = Swarm(), [group(admin=True, keys=(OLD_GROUP_KEY,)), group(admin=True)], group(admin=False)
    for number, admin in enumerate(admins):
        admin.edit((), {b"n": b"name %d" % number})
        swarm.push(admin)
    swarm.fetch(member)
    assert member.state is State.CLEAN
    assert member.data in [admin.data for admin in admins]
    with pytest.raises(ReadOnlyConfig):
        member.edit((), {b"n": b"mine"})
    admins[0].keys = admins[1].keys
    settle(swarm, admins)
    swarm.fetch(member)
    assert member.data == admins[0].data
    assert reloaded(member).data == member.data


def test_a_groups_config_without_the_admins_signature_does_not_count():
    impostor = Ed25519KeyPair.from_seed(b"i" * 32)
    for keys in (ConfigKeys((GROUP_KEY,)), ConfigKeys((GROUP_KEY,), signer=impostor)):
        forged = Config(ConfigKind.GROUP_INFO, keys)
        forged.edit((), {b"n": b"forged"})
        (message,) = forged.push().messages
        member = group(admin=False)
        assert member.merge([("h", message)], now_ms=NOW) == []
        assert member.data == {}


def test_a_removal_right_after_a_merge_reaches_a_device_that_wrote_at_the_same_time():
    swarm, devices = Swarm(), [new() for _ in range(3)]
    devices[0].edit((), {b"a": 1, b"s": frozenset({1, 2}), b"d": {b"x": 1, b"y": 1}})
    settle(swarm, devices)
    for number, device in enumerate(devices):
        device.edit((), {b"%d" % number: 1})
        swarm.push(device)
    swarm.fetch(devices[0])
    assert devices[0].state is State.DIRTY
    devices[0].edit((), {b"a": None, b"s": frozenset({2})})
    devices[0].edit((b"d",), {b"x": None})
    message = devices[0].push()
    diff = messages.read(unpack(message.messages[0], KIND, KEYS)).diff
    assert diff[b"a"] is Mark.REMOVED
    assert diff[b"s"] == SetChange(frozenset({2}), frozenset({1}))
    assert diff[b"d"] == {b"x": Mark.REMOVED, b"y": Mark.ASSIGNED}
    settle(swarm, devices)
    assert devices[1].data == {b"s": frozenset({2}), b"d": {b"y": 1}, b"0": 1, b"1": 1, b"2": 1}


def test_a_seqno_that_leaves_no_room_for_others_is_not_taken():
    highest = messages.write(2**62 + 1, {b"n": 1}, {}, {})
    stored = pack(highest.serialized, highest.seqno, KIND, KEYS)
    assert new().merge([("h", stored[0])], now_ms=NOW) == []


@given(st.binary(max_size=300) | st.sampled_from([b"le", b"de", b"d1:!i3ee", b"d1:!i0e1:$0:e"]))
def test_strange_dumps_are_refused(dump):
    with pytest.raises(ParseError):
        Config.load(KIND, KEYS, dump)


DUMPED = st.recursive(
    st.integers(-1, 5) | st.binary(max_size=3) | st.just(messages.FIRST.serialized),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([b"#", b"c", b"n", b"@"]), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([b"!", b"$", b"(", b")", b"*", b"+"]), DUMPED))
def test_dumps_of_the_right_outline_are_read_or_refused(fields):
    try:
        config = Config.load(KIND, KEYS, bt.encode({b"!": 0, b"$": messages.FIRST.serialized, **fields}))
    except ParseError:
        return
    config.push()
    config.dump()


@given(st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=200)), max_size=4))
def test_strange_messages_are_ignored(stored):
    config = new()
    assert config.merge(stored, now_ms=NOW) == []
    assert not config.needs_dump
