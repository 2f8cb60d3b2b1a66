"""One scenario for every kind of network: two devices of one account, a friend, and each feature once.

`play` is written once against a `Place`; the simulated world and real sockets each furnish one.  In the end both
devices show the same and know the same, the friend shows the same conversation, and nothing is lost or doubled,
however often the network failed meanwhile.
"""

import asyncio
import struct
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Protocol

from ramson.messenger import Client, FileToSend, KeyCost, Kind, Settings, State
from ramson.messenger.configs import KINDS
from ramson.network import NetworkProfile
from ramson.protocol.content import NEVER, CommunityInvitation, Expiration, ExpirationMode, LinkPreview
from ramson.world import World
from ramson.world.simulated.loop import SimulatedLoop

PASSPHRASE = "correct horse battery staple"
CHEAP = KeyCost(passes=1, memory=13)  # the scenario is not about guessing passphrases
PHONE, LAPTOP, BOB = range(3)
SKEWS_MS = (0, -70_000, 90_000)
TWICE = 10.0  # seconds, some polls of everybody, in which a second copy of something would show
LINK = "https://example.org/page"
NOBODY = "05" + "ab" * 32


class Killed(Exception):
    """A program ends in the middle of something."""


class Place(Protocol):
    """A running network with a file server, and places for clients to be."""

    profile: NetworkProfile
    directory: Path

    def world(self, number: int, skew_ms: int) -> World:
        """Return the world of the client with this number, its clock off by `skew_ms` where that can be."""
        ...


def picture():
    """Return the smallest thing that passes for a PNG."""

    def chunk(kind, payload):
        return struct.pack(">I", len(payload)) + kind + payload + bytes(4)

    head = chunk(b"IHDR", struct.pack(">II", 64, 64) + bytes(5))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")


async def until(condition, what):
    """Wait until something is so: a quarter of an hour of virtual time, or less of the real one."""
    simulated = isinstance(asyncio.get_running_loop(), SimulatedLoop)
    try:
        async with asyncio.timeout(900 if simulated else 180):
            while not condition():  # noqa: ASYNC110 - there is no event for all of it
                await asyncio.sleep(0.5)
    except TimeoutError:
        raise AssertionError(f"it never came to that: {what}") from None


def shown(client, peer):
    """Return what a person sees of a conversation; stubs of what was taken back are not on every device."""
    return [
        (
            message.sender,
            message.sent_ms,
            message.kind,
            message.body,
            sorted((each.emoji, each.reactor) for each in message.reactions),
            [(each.name, each.size, each.voice, each.caption, each.pointer.url) for each in message.attachments],
            message.quote,
            [(each.url, each.title) for each in message.previews],
            message.invitation,
        )
        for message in client.history(peer, limit=1000)
        if message.kind is not Kind.DELETED
    ]


def found(client, peer, body):
    """Return the message with this text, or None."""
    return next((each for each in client.history(peer, limit=1000) if each.body == body), None)


class Story:
    """Who is there, and what they do."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.said: list[str] = []

    def open(self, number: int, **options) -> Client:
        world = self.place.world(number, SKEWS_MS[number])
        path = self.place.directory / f"{number}.ramson"
        common = {"passphrase": PASSPHRASE, "network": self.place.profile, "world": world}
        if path.exists():
            return Client.open(path, **common)
        return Client.create(path, cost=CHEAP, **common, **options)

    async def say(self, client, to, body="", **more):
        receipt = await client.send(to, body, **more)
        assert receipt.state is State.SENT, receipt
        self.said.append(body)
        return receipt

    async def play(self):
        async with AsyncExitStack() as stack:
            self.phone = await stack.enter_async_context(self.open(PHONE, name="Alice"))
            self.bob = await stack.enter_async_context(self.open(BOB, name="Bob"))
            self.alice_id, self.bob_id = self.phone.account_id, self.bob.account_id
            await self.meet()
            with suppress(Killed):
                async with self.open(LAPTOP, phrase=self.phone.phrase) as self.laptop:
                    await until(lambda: self.laptop.contact(self.bob_id), "the laptop knows the contact")
                    self.laptop.set_settings(Settings(read_receipts=True, typing=True))
                    await self.send_files()
                    raise Killed  # with a message in its outbox
            self.laptop = await stack.enter_async_context(self.open(LAPTOP))
            await self.talk()
            await self.change_people()
            await self.let_disappear()
            await self.agree()

    async def meet(self):
        """A request, its answer, and what follows from the approval of both."""
        for client in (self.phone, self.bob):
            client.set_settings(Settings(read_receipts=True, typing=True))
        await self.say(self.phone, self.bob_id, "hello")
        await until(self.bob.requests, "the request is there")
        (request,) = self.bob.requests()
        assert (request.name, request.last.request) == ("Alice", True)
        await self.bob.accept(self.alice_id)
        await self.say(self.bob, self.alice_id, "who is it?", quote=request.last)
        await until(lambda: self.phone.contact(self.bob_id).approved_me, "the request is accepted")
        await self.phone.synced()

    async def send_files(self):
        """Files to and fro, a picture of oneself, and a message that its program does not live to see sent."""
        directory = self.place.directory / "files"
        directory.mkdir()
        text, photo = directory / "text.txt", directory / "photo.png"
        text.write_bytes(b"words " * 20_000)
        photo.write_bytes(picture())
        await self.say(self.phone, self.bob_id, "two files", attachments=[text, photo])
        await until(lambda: found(self.bob, self.alice_id, "two files"), "the files are announced")
        (directory / "saved").mkdir()
        message = found(self.bob, self.alice_id, "two files")
        saved = [await each.save(directory / "saved") for each in message.attachments]
        assert [path.read_bytes() for path in saved] == [text.read_bytes(), photo.read_bytes()]
        await self.bob.tell_saved(message)
        await self.say(
            self.bob, self.alice_id, "listen", attachments=[FileToSend(b"OggS" * 99, "v.ogg", voice=True, caption="me")]
        )
        await until(lambda: found(self.laptop, self.bob_id, "listen"), "the voice message is on the laptop")
        assert await found(self.laptop, self.bob_id, "listen").attachments[0].read() == b"OggS" * 99
        await self.phone.set_avatar(photo)
        await self.laptop.send(self.bob_id, "from a dying program", attachments=[photo], wait=False)
        self.said.append("from a dying program")

    async def talk(self):
        """What one can say beside words, and what one can do to them."""
        await until(lambda: found(self.bob, self.alice_id, "from a dying program"), "the killed program's message")
        await self.say(self.laptop, self.bob_id, f"look {LINK}", previews=[LinkPreview(LINK, "A page")])
        await self.say(self.bob, self.alice_id, "join", invitation=CommunityInvitation("https://c.example/a", "Club"))
        quoted = found(self.laptop, self.bob_id, "who is it?")
        await self.say(self.laptop, self.bob_id, "it is me", quote=quoted)
        await quoted.react("😂")
        await quoted.react("👍")
        await quoted.unreact("👍")
        await self.say(self.phone, self.bob_id, "a slip")
        await until(lambda: found(self.bob, self.alice_id, "a slip"), "what will be taken back")
        await found(self.phone, self.bob_id, "a slip").unsend()
        self.said.remove("a slip")
        await self.phone.typing(self.bob_id)
        await self.bob.tell_screenshot(self.alice_id)
        await self.say(self.phone, self.alice_id, "milk")
        await until(lambda: found(self.phone, self.bob_id, "join"), "the last word is on the phone")
        await self.laptop.mark_read(self.bob_id)
        await self.bob.mark_read(self.alice_id)

    async def change_people(self):
        """What both devices know of people and of themselves, changed on both at once while they merge."""
        await self.laptop.set_profile("Alicia")
        await self.phone.set_nickname(self.bob_id, "Bobby")
        await self.laptop.set_priority(self.bob_id, 2)
        await self.phone.block(NOBODY)
        await until(lambda: self.laptop.contact(NOBODY), "the laptop knows who is blocked")
        await self.phone.decline(NOBODY)
        # A message tells the name that its device knows at that moment; a merge may have undone it for seconds.
        await until(
            lambda: self.phone.name == self.laptop.name == "Alicia" and self.configs_agree(),
            "both devices know the new name",
        )
        await self.say(self.laptop, self.bob_id, "a new name")

    async def let_disappear(self):
        """A message that is gone in the end, and a setting that is taken back."""
        await self.phone.set_disappearing(self.bob_id, Expiration(ExpirationMode.AFTER_SEND, 15))
        await self.phone.send(self.bob_id, "gone soon")
        await self.phone.set_disappearing(self.bob_id, NEVER)
        await self.phone.drain()

    def views(self):
        return shown(self.phone, self.bob_id), shown(self.laptop, self.bob_id), shown(self.bob, self.alice_id)

    def in_step(self):
        first, *others = self.views()
        notes = [shown(client, self.alice_id) for client in (self.phone, self.laptop)]
        return all(first == other for other in others) and notes[0] == notes[1] and self.configs_agree()

    def configs_agree(self):
        ours, theirs = (client._engine.store.configs for client in (self.phone, self.laptop))
        pairs = [(ours.config(kind), theirs.config(kind)) for kind in KINDS]
        same = all(mine.data == yours.data and mine.current_hashes == yours.current_hashes for mine, yours in pairs)
        return same and not ours.needs_push and not theirs.needs_push

    async def agree(self):
        for client in (self.phone, self.laptop, self.bob):
            await client.drain()
            await client.synced()
        everyone = (self.phone, self.laptop)
        await until(
            lambda: (
                all(client.avatar == picture() for client in everyone)
                and self.bob.contact(self.alice_id).avatar == picture()
            ),
            "everybody sees the picture",
        )
        await until(lambda: self.bob.contact(self.alice_id).name == "Alicia", "the friend knows the new name")
        await until(lambda: not any(found(c, self.bob_id, "gone soon") for c in everyone), "it is gone on our devices")
        await until(lambda: not found(self.bob, self.alice_id, "gone soon"), "it is gone at the friend's")
        await until(lambda: len(set(map(repr, self.views()))) == 1, "everybody shows the same")
        await self.laptop.mark_read(self.bob_id)
        with suppress(AssertionError):
            await until(self.in_step, "both devices are in step")
        await asyncio.sleep(TWICE)
        phone, laptop, bob = self.views()
        assert phone == laptop
        assert phone == bob
        assert shown(self.phone, self.alice_id) == shown(self.laptop, self.alice_id)
        assert self.in_step()
        bodies = Counter(entry[3] for entry in (*phone, *shown(self.phone, self.alice_id)) if entry[2] is Kind.TEXT)
        assert bodies == Counter(self.said)
        kinds = Counter(entry[2] for entry in phone)
        assert (kinds[Kind.SCREENSHOT], kinds[Kind.MEDIA_SAVED]) == (1, 1)
        assert kinds[Kind.TIMER] >= 1
        (answer,) = [entry for entry in phone if entry[3] == "who is it?"]
        assert answer[4] == [("😂", self.alice_id)]
        for client in everyone:
            contact = client.contact(self.bob_id)
            assert (contact.nickname, contact.priority, client.name) == ("Bobby", 2, "Alicia")
            assert client.contact(NOBODY) is None
            (line,) = [each for each in client.conversations() if each.peer == self.bob_id]
            assert line.unread == 0
        assert all(each.read for each in self.phone.history(self.bob_id) if each.body in {"hello", "two files"})


async def play(place: Place) -> None:
    """Run the scenario; AssertionError tells what was missing, superfluous, or never came."""
    await Story(place).play()
