"""The typed views: what is set is read, by every device, and what a view does not know it leaves alone."""

from dataclasses import replace

import pytest
from config_strategies import DATA
from hypothesis import given
from hypothesis import strategies as st

from ramson.crypto.account import AccountId
from ramson.crypto.keys import Ed25519KeyPair
from ramson.errors import LocalError, ParseError
from ramson.protocol.config import (
    BlindedContact,
    Config,
    ConfigKeys,
    ConfigKind,
    Contact,
    Contacts,
    ConvoInfoVolatile,
    ExpiryMode,
    Notify,
    Picture,
    UserGroups,
    UserProfile,
)
from ramson.protocol.config import convo_info_volatile as convos
from ramson.protocol.config import user_groups as groups
from ramson.protocol.config.fields import truncated

KEYS = ConfigKeys.own(Ed25519KeyPair.from_seed(b"o" * 32))
NOW = 1_700_000_000_000
ADMIN = Ed25519KeyPair.from_seed(b"g" * 32)
SERVER = b"s" * 32
URL = "https://example.org"


def id_(prefix: int, number: int = 1) -> AccountId:
    return AccountId(prefix, bytes([number]) * 32)


def config(kind: ConfigKind) -> Config:
    return Config(kind, KEYS)


def elsewhere(here: Config) -> Config:
    """Return the config of a device that fetched what was pushed here."""
    other = Config(here.kind, KEYS)
    push = here.push()
    assert other.merge([("h", message) for message in push.messages], now_ms=NOW)
    return other


PICTURE = Picture("https://files.example/1", b"p" * 32)
PICTURES = st.none() | st.sampled_from([PICTURE, Picture("https://files.example/2", b"q" * 32)])
TIMES = st.integers(0, 2**40)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=25)


def test_the_profile_is_the_same_on_all_devices():
    here = UserProfile(config(ConfigKind.USER_PROFILE))
    assert (here.name, here.picture, here.accepts_community_requests) == ("", None, None)
    here.set_name("Ada")
    here.set_picture(PICTURE, updated_s=10)
    here.set_note_to_self_priority(-1)
    here.set_note_to_self_timer(3_600)
    here.set_accepts_community_requests(accepts=False)
    here.set_pro_features(3)
    here.set_pro_credential(b"opaque")
    there = UserProfile(elsewhere(here.config))
    assert (there.name, there.picture, there.updated_s) == ("Ada", PICTURE, 10)
    assert (there.note_to_self_priority, there.note_to_self_timer_s) == (-1, 3_600)
    assert there.accepts_community_requests is False
    assert (there.pro.features, there.pro.credential) == (3, b"opaque")
    there.set_accepts_community_requests(None)
    there.set_name("")
    assert (there.name, there.accepts_community_requests) == ("", None)


def test_a_picture_uploaded_again_counts_until_the_next_one_is_set():
    profile = UserProfile(config(ConfigKind.USER_PROFILE))
    again, newer = replace(PICTURE, url="https://files.example/again"), replace(PICTURE, url="https://files.example/3")
    profile.set_picture(PICTURE, updated_s=10)
    profile.set_reuploaded_picture(again, updated_s=20)
    assert (profile.picture, profile.updated_s) == (again, 20)
    profile.set_picture(newer, updated_s=30)
    assert (profile.picture, profile.updated_s) == (newer, 30)


@pytest.mark.parametrize(("stored", "seconds"), [(1_800_000_000, 1_800_000_000), (1_800_000_000_000, 1_800_000_000)])
def test_the_end_of_a_subscription_is_in_seconds_however_it_is_stored(stored, seconds):
    profile = UserProfile(config(ConfigKind.USER_PROFILE))
    profile.config.edit((), {b"E": stored, b"s": {b"r": b"r" * 32, b"p": {b"@": 1}}})
    assert profile.pro.expires_s == seconds
    assert profile.pro.rotating_seed == b"r" * 32
    assert b"r" * 32 not in repr(profile.pro).encode()


def test_names_have_at_most_100_bytes_and_are_cut_between_letters():
    profile = UserProfile(config(ConfigKind.USER_PROFILE))
    with pytest.raises(LocalError):
        profile.set_name("é" * 51)
    with pytest.raises(LocalError):
        profile.set_name("\ud800")
    profile.set_name_truncated("xé" * 40)
    assert profile.name == "xé" * 33 + "x"


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 40))
def test_a_cut_text_is_the_beginning_of_the_text(text, size):
    assert text.startswith(truncated(text, size))
    assert len(truncated(text, size).encode()) <= size


@pytest.mark.parametrize(("url", "key"), [("", b"k" * 32), ("x" * 224, b"k" * 32), ("https://x.y", b"k" * 31)])
def test_a_picture_has_an_address_and_a_key(url, key):
    with pytest.raises(LocalError):
        Picture(url, key)


EXPIRIES = st.just((ExpiryMode.NONE, 0)) | st.tuples(
    st.sampled_from([ExpiryMode.AFTER_READ, ExpiryMode.AFTER_SEND]), st.integers(1, 10**6)
)


@st.composite
def contacts(draw):
    expiry, timer = draw(EXPIRIES)
    return Contact(
        id=id_(5, draw(st.integers(0, 5))),
        name=draw(NAMES),
        nickname=draw(NAMES),
        picture=draw(PICTURES),
        profile_updated_s=draw(TIMES),
        approved=draw(st.booleans()),
        approved_me=draw(st.booleans()),
        blocked=draw(st.booleans()),
        priority=draw(st.integers(-1, 9)),
        notify=draw(st.sampled_from([Notify.DEFAULT, Notify.ALL, Notify.DISABLED])),
        muted_until_s=draw(TIMES),
        expiry=expiry,
        timer_s=timer,
        created_s=draw(TIMES),
        pro_features=draw(st.integers(0, 7)),
    )


@given(st.lists(contacts(), min_size=1, max_size=6))
def test_contacts_are_read_as_the_last_one_set_them(given_contacts):
    here = Contacts(config(ConfigKind.CONTACTS))
    for contact in given_contacts:
        here.set(contact)
    there = Contacts(elsewhere(here.config))
    last = {contact.id.raw: contact for contact in given_contacts}
    assert list(there) == [last[raw] for raw in sorted(last)]
    assert len(there) == len(last)
    one = given_contacts[-1].id
    assert there.get(one) == last[one.raw]
    assert there.erase(one)
    assert not there.erase(one)
    assert there.get(one) is None


def test_mentions_only_is_all_for_a_person_and_a_timer_needs_a_mode():
    view = Contacts(config(ConfigKind.CONTACTS))
    view.set(Contact(id_(5), notify=Notify.MENTIONS, timer_s=60))
    found = view.get(id_(5))
    assert (found.notify, found.expiry, found.timer_s) == (Notify.ALL, ExpiryMode.NONE, 0)


def test_mentions_only_is_all_for_a_person_however_another_program_stored_it():
    here = config(ConfigKind.CONTACTS)
    here.edit((b"c", id_(5).raw), {b"n": b"", b"@": int(Notify.MENTIONS)})
    assert Contacts(here).get(id_(5)).notify is Notify.ALL


@pytest.mark.parametrize("stored", [b"n" * 101, b"\xff" * 90, "é".encode() * 60])
def test_a_name_of_another_program_that_is_too_long_is_cut_and_can_be_written_again(stored):
    here = config(ConfigKind.CONTACTS)
    here.edit((b"c", id_(5).raw), {b"n": stored, b"N": stored})
    contacts = Contacts(here)
    contact = contacts.get(id_(5))
    assert 98 <= len(contact.name.encode()) <= 100
    contacts.set(replace(contact, approved=True))
    assert contacts.get(id_(5)) == replace(contact, approved=True)
    profile = config(ConfigKind.USER_PROFILE)
    profile.edit((), {b"n": stored})
    assert UserProfile(profile).name == contact.name


def test_only_accounts_are_contacts():
    view = Contacts(config(ConfigKind.CONTACTS))
    with pytest.raises(LocalError):
        view.set(Contact(id_(3)))


def test_blinded_contacts_are_kept_by_server():
    here = Contacts(config(ConfigKind.CONTACTS))
    person = BlindedContact(id_(0x15), URL, SERVER, "Bob", PICTURE, 7, 1, legacy_blinding=True, created_s=9)
    here.set_blinded(replace(person, base_url="HTTPS://EXAMPLE.org:443/"))
    there = Contacts(elsewhere(here.config))
    assert list(there.blinded()) == [person]
    assert not there.erase_blinded(URL, id_(0x25))
    assert there.erase_blinded(URL, person.id)
    assert there.config.data == {}
    with pytest.raises(LocalError):
        here.set_blinded(replace(person, id=id_(5)))


READ = convos.ReadState(NOW, unread=True)
CONVERSATIONS = [
    convos.OneToOne(id_(5), READ, pro_expires=5, pro_tag=b"tag"),
    convos.Group(id_(3), READ),
    convos.Community(URL, "room", SERVER, READ),
    convos.LegacyGroup(id_(5, 2), READ),
    convos.Blinded(id_(0x15), READ, legacy_blinding=True),
]


def test_read_states_of_all_kinds_of_conversations():
    here = ConvoInfoVolatile(config(ConfigKind.CONVO_INFO_VOLATILE))
    for conversation in reversed(CONVERSATIONS):
        here.set(conversation)
    there = ConvoInfoVolatile(elsewhere(here.config))
    assert list(there) == CONVERSATIONS
    assert there.one_to_one(id_(5)) == there.group(id_(3)) == there.community(URL, "Room") == READ
    assert there.one_to_one(id_(5, 9)) is None
    assert there.erase_one_to_one(id_(5))
    assert there.erase_group(id_(3))
    assert there.erase_community("https://example.org/", "ROOM")
    assert there.erase_legacy_group(id_(5, 2))
    assert there.erase_blinded(id_(0x15))
    assert there.config.data == {}


def test_old_conversations_are_forgotten_unless_they_are_marked_unread():
    view = ConvoInfoVolatile(config(ConfigKind.CONVO_INFO_VOLATILE))
    for conversation in CONVERSATIONS:
        view.set(conversation)
    view.set(convos.OneToOne(id_(5, 7), convos.ReadState(NOW)))
    view.set(convos.Community(URL, "old", SERVER, convos.ReadState(NOW)))
    assert view.prune(NOW + convos.KEEP_MS) == 0
    assert view.prune(NOW + convos.KEEP_MS + 1) == 2
    assert list(view) == CONVERSATIONS


def test_ids_of_another_kind_and_rooms_that_are_none_are_refused():
    view = ConvoInfoVolatile(config(ConfigKind.CONVO_INFO_VOLATILE))
    with pytest.raises(LocalError):
        view.set(convos.Group(id_(5), READ))
    with pytest.raises(ParseError):
        view.set(convos.Community("example.org", "room", SERVER, READ))
    with pytest.raises(LocalError):
        view.set(convos.Community(URL, "room", SERVER[:31], READ))


STANDING = groups.Standing(priority=2, joined_s=9, notify=Notify.MENTIONS, muted_until_s=8, invited=True)
GROUP = groups.Group(AccountId(3, ADMIN.public), "Us", ADMIN.seed, standing=STANDING)
ALL_GROUPS = [
    GROUP,
    groups.Community(URL, "SomeRoom", SERVER, STANDING),
    groups.LegacyGroup(
        id_(5, 3), "Old", b"k" * 32, b"K" * 32, 60, frozenset({id_(5, 4)}), frozenset({id_(5, 6)}), STANDING
    ),
]


def test_groups_of_all_kinds():
    here = UserGroups(config(ConfigKind.USER_GROUPS))
    for group in reversed(ALL_GROUPS):
        here.set(group)
    there = UserGroups(elsewhere(here.config))
    assert list(there) == ALL_GROUPS
    assert there.group(GROUP.id) == GROUP
    assert there.community(URL, "someroom") == ALL_GROUPS[1]
    assert there.legacy_group(id_(5, 3)) == ALL_GROUPS[2]
    assert (there.group(id_(3)), there.community(URL, "other"), there.legacy_group(id_(5))) == (None, None, None)
    assert there.erase_group(GROUP.id)
    assert there.erase_community(URL, "SomeRoom")
    assert there.erase_legacy_group(id_(5, 3))
    assert there.config.data == {}


def test_a_group_we_were_removed_from_has_lost_its_keys():
    view = UserGroups(config(ConfigKind.USER_GROUPS))
    member = groups.Group(id_(3), "Them", auth_data=b"a" * 100)
    view.set(member)
    kicked = member.removed_as(groups.Removed.KICKED)
    view.set(kicked)
    assert view.group(id_(3)) == kicked
    assert view.group(id_(3)).auth_data == b""
    assert kicked.invited_again().removed is groups.Removed.NOT
    destroyed = kicked.removed_as(groups.Removed.DESTROYED)
    assert destroyed.removed_as(groups.Removed.KICKED) == destroyed.invited_again() == destroyed


def test_secrets_of_groups_are_not_shown():
    assert repr(ADMIN.seed)[2:-1] not in repr(GROUP)
    assert "KKKK" not in repr(ALL_GROUPS[2])


@pytest.mark.parametrize(
    "group",
    [
        replace(GROUP, id=id_(5)),
        replace(GROUP, admin_seed=b"x" * 32),
        replace(GROUP, admin_seed=b"x"),
        replace(GROUP, auth_data=b"x"),
        replace(ALL_GROUPS[2], secret=b""),
        replace(ALL_GROUPS[2], members=frozenset({id_(3)})),
    ],
)
def test_records_that_cannot_be_are_the_callers_mistake(group):
    view = UserGroups(config(ConfigKind.USER_GROUPS))
    with pytest.raises(LocalError):
        view.set(group)
    assert not view.config.needs_push


def test_keys_a_view_does_not_know_stay():
    settings_ = config(ConfigKind.CONTACTS)
    settings_.edit((b"c", id_(5).raw), {b"n": b"", b"future": {b"x": 1}})
    view = Contacts(settings_)
    view.set(Contact(id_(5), "Ada"))
    assert settings_.data[b"c"][id_(5).raw] == {b"n": b"Ada", b"future": {b"x": 1}}


SECTIONS = [b"c", b"b", b"1", b"g", b"C", b"o"]
RAW_KEYS = st.sampled_from([id_(5).raw, id_(3).raw, id_(0x15).raw, URL.encode(), b"https://x", b"\xff", b"#", b"R"])
ENTRIES = st.dictionaries(
    st.sampled_from([b"n", b"N", b"p", b"q", b"e", b"E", b"@", b"r", b"K", b"s", b"k", b"a", b"m", b"j", b"#", b"R"]),
    st.integers(-5, 5) | st.binary(max_size=34) | st.frozensets(st.binary(max_size=33), min_size=1) | DATA,
)
MALFORMED = st.dictionaries(
    st.sampled_from(SECTIONS),
    st.integers() | st.dictionaries(RAW_KEYS, ENTRIES | st.dictionaries(RAW_KEYS, ENTRIES | st.just(SERVER))),
)


@given(MALFORMED, ENTRIES)
def test_malformed_data_reads_as_absent(sections, profile):
    try:
        configs = {kind: config(kind) for kind in ConfigKind}
        for each in configs.values():
            each.edit((), {**sections, **profile})
    except LocalError:  # integers beyond 64 bits
        return
    list(Contacts(configs[ConfigKind.CONTACTS]))
    list(Contacts(configs[ConfigKind.CONTACTS]).blinded())
    list(ConvoInfoVolatile(configs[ConfigKind.CONVO_INFO_VOLATILE]))
    ConvoInfoVolatile(configs[ConfigKind.CONVO_INFO_VOLATILE]).prune(NOW)
    list(UserGroups(configs[ConfigKind.USER_GROUPS]))
    me = UserProfile(configs[ConfigKind.USER_PROFILE])
    assert isinstance(me.name, str)
    assert (me.picture, me.pro, me.updated_s, me.accepts_community_requests) is not None
