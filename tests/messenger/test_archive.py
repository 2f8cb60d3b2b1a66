"""Archives: everything comes along, once, for whoever knows the passphrase; and copies that people can read."""

import asyncio
import json
import random
import threading
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from devices import CHEAP, Device, Swarm, switched_on, virtually
from hypothesis import given
from hypothesis import strategies as st

from ramson.crypto.account import AccountId, AccountKeys
from ramson.messenger import account, archive, vault
from ramson.messenger.archive import BadArchive, OtherAccount
from ramson.messenger.message import Message, Reaction, State
from ramson.messenger.store import Store
from ramson.messenger.vault import WeakPassphrase
from ramson.protocol.content import Attachment
from ramson.world import real

PASSPHRASE, SECRET = "correct horse", "another secret"


@pytest.fixture
def lived(tmp_path, alice, bob):
    """The store of a device that has been used."""
    swarm = Swarm(1)
    phone = Device(tmp_path / "phone", alice, swarm, name="<Alice>", seed=1)
    other = Device(tmp_path / "bob", bob, swarm, name="Bob", seed=2)

    async def main():
        async with switched_on(phone, other):
            phone.send(other, "hello <script>alert(1)</script>")
            await asyncio.sleep(20)
            other.send(phone, "hi", attachments=(Attachment(file_name="a&b.png", url="u", key=b"k", size=1),))
            await asyncio.sleep(20)
            phone.act.react(phone.history(other)[-1], "👍")
            phone.act.mark_read(other.id)
            phone.send(phone, "note")
            await asyncio.sleep(20)
            phone.net.online = False
            phone.send(other, "never sent")

    virtually(main())
    store = Store.open(phone.path, PASSPHRASE, entropy=random.Random(0))
    yield store
    store.close()


async def test_who_waits_for_an_archive_holds_up_nobody_else(lived, monkeypatch):
    where = []

    def noted(*arguments, derive=vault.derive):
        where.append(threading.current_thread())
        return derive(*arguments)

    monkeypatch.setattr(vault, "derive", noted)
    world = real.world()
    sealed = await account.seal_archive(lived, SECRET, world=world, cost=CHEAP)
    document = await account.open_archive(sealed, SECRET, world=world)
    assert archive.entropy_of(document) == lived.keys.entropy
    assert len(where) == 2
    assert threading.main_thread() not in where


def seal(store, passphrase=SECRET):
    return archive.seal(store, passphrase, entropy=random.Random(77), cost=CHEAP)


def make(path, document, keys):
    Store.create(
        path,
        PASSPHRASE,
        keys,
        name="",
        now_ms=1,
        entropy=random.Random(2),
        cost=CHEAP,
        restored=True,
        more=lambda store: archive.fill(store, document),
    )
    return Store.open(path, PASSPHRASE, entropy=random.Random(0))


def shown(store, peer):
    return [
        (m.sender, m.sent_ms, m.body, m.reactions, m.attachments, m.read)
        for m in store.conversations.history(peer.id, 99)
    ]


def test_a_new_file_made_of_an_archive_has_everything(tmp_path, lived, alice, bob):
    document = archive.open_archive(seal(lived), SECRET)
    store = make(tmp_path / "new", document, alice)
    for peer in (alice, bob):
        assert shown(store, peer) == shown(lived, peer)
    assert store.name == lived.name == "<Alice>"
    assert list(store.configs.contacts) == list(lived.configs.contacts)
    assert [m.body for m in store.conversations.search("hello", 9)] == ["hello <script>alert(1)</script>"]
    assert store.conversations.history(bob.id, 9)[-1].state is State.FAILED
    assert store.recipients() == []
    store.close()


def test_an_archive_added_twice_doubles_nothing(lived, bob):
    before = shown(lived, bob)
    document = archive.open_archive(seal(lived), SECRET)
    assert archive.merge(lived, document) == 0
    assert shown(lived, bob) == before
    assert lived.conversations.history(bob.id, 9)[-1].state is State.SENDING
    with lived.configs.changing():
        lived.conversations.clear(bob.id)
        lived.configs.contacts.erase(bob.id)
    assert archive.merge(lived, document) == 3
    assert [entry[:3] for entry in shown(lived, bob)] == [entry[:3] for entry in before]
    assert lived.configs.contact(bob.id).approved


def test_nothing_in_it_can_be_read_or_changed_without_the_passphrase(lived):
    sealed = seal(lived)
    for secret in (b"hello", b"Alice", lived.keys.entropy, lived.keys.entropy.hex().encode()):
        assert secret not in sealed
    with pytest.raises(BadArchive, match="passphrase"):
        archive.open_archive(sealed, "wrong")
    for position in (17, 40, len(sealed) - 1):
        damaged = bytearray(sealed)
        damaged[position] ^= 1
        with pytest.raises(BadArchive):
            archive.open_archive(bytes(damaged), SECRET)


@pytest.mark.parametrize("data", [b"", b"x", b"ramson-archive\n\x02" + bytes(99), b"SQLite format 3\0" + bytes(99)])
def test_what_is_no_archive_is_named(data):
    with pytest.raises(BadArchive):
        archive.open_archive(data, SECRET)


def test_a_short_passphrase_is_refused(lived):
    with pytest.raises(WeakPassphrase):
        seal(lived, "short")


def test_an_archive_of_another_account_is_refused(tmp_path, lived, bob):
    Store.create(tmp_path / "b", PASSPHRASE, bob, name="", now_ms=1, entropy=random.Random(1), cost=CHEAP)
    store = Store.open(tmp_path / "b", PASSPHRASE, entropy=random.Random(0))
    with pytest.raises(OtherAccount):
        archive.merge(store, archive.open_archive(seal(lived), SECRET))
    store.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("conversations"),
        lambda document: document["conversations"].append({}),
        lambda document: document["conversations"][0].update(peer="zz"),
        lambda document: document["conversations"][0]["messages"].append([1]),
        lambda document: document["conversations"][0]["messages"][0].__setitem__(0, {"b": "!"}),
    ],
)
def test_a_damaged_document_changes_nothing(lived, bob, change):
    document = archive.open_archive(seal(lived), SECRET)
    before = shown(lived, bob)
    change(document)
    with pytest.raises(BadArchive):
        archive.merge(lived, document)
    assert shown(lived, bob) == before


def test_json_can_be_read_by_programs_and_holds_no_secret(lived, alice, bob):
    text = archive.as_json(lived)
    document = json.loads(text)
    by_peer = {each["peer"]: each for each in document["conversations"]}
    messages = by_peer[bob.id.hex]["messages"]
    assert [message["body"] for message in messages][:2] == ["hello <script>alert(1)</script>", "hi"]
    assert messages[1]["reactions"] == [{"emoji": "👍", "from": alice.id.hex}]
    (file,) = messages[1]["attachments"]
    assert (file["name"], file["type"], file["size"]) == ("a&b.png", "application/octet-stream", 1)
    assert alice.entropy.hex() not in text


def test_html_shows_strangers_texts_as_texts(lived):
    page = archive.as_html(lived)
    assert "<script" not in page
    assert "hello &lt;script&gt;" in page
    assert "&lt;Alice&gt;" in page
    assert "a&amp;b.png" in page
    assert "default-src 'none'" in page


class Tags(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, page):
        super().__init__()
        self.found = set()
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.add((tag, *(name for name, _ in attributes)))


@given(
    texts=st.lists(
        st.one_of(
            st.text(max_size=30),
            st.sampled_from(
                ['"><img src=http://x>', "<svg onload=x>", "</div></body>", "' onclick='x", "&lt;script&gt;"]
            ),
        ),
        min_size=4,
        max_size=4,
    )
)
def test_nothing_of_a_strangers_becomes_part_of_the_page_and_nothing_is_fetched(texts):
    body, file_name, emoji, kind = texts
    person = AccountId(5, bytes(32))
    message = Message(
        sender=person,
        recipient=person,
        body=body,
        sent_ms=1,
        hash=None,
        state=State.RECEIVED,
        conversation=person,
        attachments=(SimpleNamespace(name=file_name, content_type=kind),),
        reactions=(Reaction(emoji, person),),
    )
    page = archive._PAGE_HEAD + archive._line(message)
    allowed = {("html", "lang"), ("head",), ("meta", "charset"), ("meta", "http-equiv", "content"), ("title",)}
    allowed |= {("style",), ("body",), ("div", "class"), ("time",), ("bdi",), ("br",)}
    assert Tags(page).found <= allowed


def test_a_device_made_of_an_archive_goes_on_where_the_others_are(tmp_path, alice, bob):
    swarm = Swarm(1)
    phone = Device(tmp_path / "phone", alice, swarm, name="Alice", seed=1)
    friend = Device(tmp_path / "bob", bob, swarm, name="Bob", seed=2)

    async def main():
        async with switched_on(phone, friend):
            phone.send(friend, "before")
            await asyncio.sleep(20)
            document = archive.open_archive(seal(phone.store), SECRET)
            friend.send(phone, "after")
            phone.act.set_profile("Alicia", None, keep_picture=True)
            await asyncio.sleep(20)
            tablet = Device(tmp_path / "unused", AccountKeys.generate(random.Random(9)), swarm)
            tablet.path, tablet.keys = tmp_path / "tablet", alice
            make(tablet.path, document, alice).close()
            async with switched_on(tablet):
                await asyncio.sleep(40)
                return tablet.bodies(friend), tablet.store.name

    assert virtually(main()) == (["before", "after"], "Alicia")
