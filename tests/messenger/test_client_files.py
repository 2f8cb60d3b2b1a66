"""Files with messages, from path to path: whole clients, nodes and a file server in virtual time."""

import asyncio
import contextlib
import itertools
import os
import random
import struct

import pytest

from ramson.crypto.files import FileTooLarge
from ramson.messenger import (
    BadAttachment,
    BadText,
    Client,
    FileError,
    FileGone,
    FileState,
    FileToSend,
    KeyCost,
    MessageUploading,
    NoFileServer,
    NoPicture,
    NoReply,
    NoSuchMessage,
    PictureChanged,
    State,
)
from ramson.messenger.avatars import DAY_MS, HOUR_MS, Renewal
from ramson.messenger.file_transfers import Transfers
from ramson.protocol.content import CommunityInvitation, LinkPreview, Quote
from ramson.sim import SimulatedNetwork
from ramson.sim.network import FILES_ADDRESS
from ramson.world.simulated import CALM, ROUGH, Simulation

pytestmark = pytest.mark.sim

CHEAP = KeyCost(passes=1, memory=13)
PASSPHRASE = "correct horse"
SEEDS = 20 if os.environ.get("RAMSON_SOAK") else 2
PNG = b"\x89PNG\r\n\x1a\n"


def chunk(kind, payload):
    return struct.pack(">I", len(payload)) + kind + payload + bytes(4)


def png(*telling):
    head = chunk(b"IHDR", struct.pack(">II", 320, 200) + bytes(5))
    return PNG + head + b"".join(telling) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")


class Town:
    def __init__(self, directory, *, seed=1, file_server=True, model=CALM):
        self.sim = Simulation(seed, model=model)
        self.network = SimulatedNetwork(self.sim, directory, nodes=6, swarms=2, tests=False, file_server=file_server)
        self.directory = directory

    def create(self, number, **options):
        return Client.create(self._file(number), passphrase=PASSPHRASE, cost=CHEAP, **self._net(number), **options)

    def open(self, number, **options):
        return Client.open(self._file(number), passphrase=PASSPHRASE, **self._net(number), **options)

    def _file(self, number):
        return self.directory / f"{number}.ramson"

    def _net(self, number):
        return {"network": self.network.profile, "world": self.network.client_world(number)}

    def run(self, main):
        async def start():
            await self.network.up()
            async with asyncio.timeout(3600):
                return await main()

        return self.sim.run(start())

    def uploads(self):
        return len(self._blobs())

    def pieces(self):
        return sum(path.stat().st_size for path in self._blobs())

    def _blobs(self):
        return [path for path in (self.directory / "files" / "files").glob("??/*") if path.is_file()]


@pytest.fixture
def town(tmp_path):
    return Town(tmp_path)


async def heard(client):
    async for message in client.messages():
        return message
    raise AssertionError


async def until(condition):
    while not condition():  # noqa: ASYNC110 - time is virtual
        await asyncio.sleep(1)


def test_files_go_with_a_message_and_are_saved_by_its_reader(town, tmp_path):
    secret = b"48.8584 N"
    photo, words = tmp_path / "photo.png", tmp_path / "words.txt"
    photo.write_bytes(png(chunk(b"tEXt", secret)))
    words.write_bytes(b"many words " * 1000)
    voice = FileToSend(b"OggS", "hello.ogg", voice=True, caption="listen")
    raw = FileToSend(photo, "../../raw.png", keep_metadata=True)
    target = tmp_path / "downloads"
    target.mkdir()

    async def main():
        steps = []
        async with town.create(0) as alice, town.create(1) as bob:
            listening = asyncio.create_task(collect(alice.events(), steps))
            receipt = await alice.send(bob.account_id, attachments=[photo, str(words), voice, raw])
            assert receipt.summary == "sent to 3 of 3 nodes"
            message = await heard(bob)
            assert message.body == ""
            seen = [
                (a.name, a.content_type, a.size, a.width, a.height, a.voice, a.caption) for a in message.attachments
            ]
            assert seen == [
                ("photo.png", "image/png", len(png()), 320, 200, False, ""),
                ("words.txt", "text/plain", 11_000, 0, 0, False, ""),
                ("hello.ogg", "audio/ogg", 4, 0, 0, True, "listen"),
                ("_.._raw.png", "image/png", photo.stat().st_size, 320, 200, False, ""),
            ]
            assert {each.state for each in message.attachments} == {FileState.SERVED}
            done = []
            paths = [await each.save(target, progress=lambda *step: done.append(step)) for each in message.attachments]
            again = await message.attachments[0].save(target)
            assert [path.name for path in (*paths, again)] == [
                "photo.png",
                "words.txt",
                "hello.ogg",
                "_.._raw.png",
                "photo (2).png",
            ]
            assert all(path.parent == target for path in paths)
            assert done[-1][0] == done[-1][1] > 0
            assert secret not in paths[0].read_bytes()
            assert secret in paths[3].read_bytes()
            assert paths[1].read_bytes() == words.read_bytes()
            assert await message.attachments[2].read() == b"OggS"
            (kept,) = bob.history(alice.account_id)
            assert {each.state for each in kept.attachments} == {FileState.SAVED}
            answer = await message.reply("thanks", attachments=[message.attachments[2]])
            assert answer.state is State.SENT
            back = await heard(alice)
            assert (back.body, await back.attachments[0].read()) == ("thanks", b"OggS")
            listening.cancel()
        shares = [step.receipt.uploaded for step in steps if isinstance(step, MessageUploading)]
        assert shares == sorted(set(shares))
        assert len(shares) == 4
        return steps

    town.run(main)
    assert town.uploads() == 4, "a file that was forwarded was uploaded again"


async def collect(stream, found):
    async for event in stream:
        found.append(event)


def test_a_message_with_files_survives_a_kill_and_uploads_nothing_twice(town, tmp_path):
    files = [tmp_path / f"{number}.bin" for number in range(3)]
    for number, path in enumerate(files):
        path.write_bytes(random.Random(number).randbytes(50_000))

    async def main():
        async with town.create(1) as bob:
            address = bob.account_id
        town.sim.crash(FILES_ADDRESS)
        async with town.create(0) as alice:
            receipt = await alice.send(address, "three files", attachments=files, wait=False)
            assert (receipt.state, receipt.uploaded, receipt.summary) == (State.SENDING, 0, "uploading 0%")
            (message,) = alice.history(address)
            assert {each.state for each in message.attachments} == {FileState.WAITING}
            with pytest.raises(BadAttachment):
                await message.attachments[0].read()
            await alice.send(address, "words do not wait for files")
            await until(lambda: alice._engine.store.receipt(receipt.id).reason)
            assert alice._engine.store.receipt(receipt.id).summary.startswith("uploading 0% (")
        contents = [path.read_bytes() for path in files]
        for path in files:
            path.unlink()
        town.sim.restart(FILES_ADDRESS)
        with contextlib.suppress(ZeroDivisionError):
            async with town.open(0) as alice:
                stream = alice.events()
                async for event in stream:
                    if isinstance(event, MessageUploading) and event.receipt.uploaded:
                        assert event.receipt.summary == "uploading 33%"
                        break
                raise ZeroDivisionError  # the program dies with one of three files uploaded
        async with town.open(0) as alice:
            settled = await alice.settled(receipt)
            assert settled.state is State.SENT
            assert alice._engine.store.db.rows("SELECT * FROM files") == []
        async with town.open(1) as bob:
            found = [await heard(bob) for _ in range(2)]
            assert [each.body for each in found] == ["three files", "words do not wait for files"]
            assert [await each.read() for each in found[0].attachments] == contents

    town.run(main)
    assert town.uploads() == 3


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_file_that_is_half_sent_goes_on_whoever_is_killed(tmp_path, seed):
    """Over a slow and lossy line the program and the server die, again and again; the file arrives once and whole."""
    town = Town(tmp_path, seed=seed, model=ROUGH)
    content = random.Random(seed).randbytes(4_000_000)
    path = tmp_path / "film.mp4"
    path.write_bytes(content)

    async def main():
        async with town.create(1) as bob:
            address = bob.account_id
        async with town.create(0) as alice:
            receipt = await alice.send(address, "a film", attachments=[path], wait=False)
            blob = alice._engine.store.attached.next_file(receipt.id).blob
        path.unlink()
        town.sim.host(town.network.client_address(0)).bandwidth = 60_000
        shares, chance = [0], random.Random(seed)
        for _ in range(4):
            with contextlib.suppress(ZeroDivisionError):
                async with town.open(0) as alice:
                    assert alice._engine.store.receipt(receipt.id).uploaded == shares[-1]
                    assert alice._engine.store.attached.next_file(receipt.id).blob == blob
                    async for event in alice.events():
                        if isinstance(event, MessageUploading) and event.receipt.uploaded > shares[-1]:
                            break
                    await asyncio.sleep(chance.uniform(0, 6))  # and with luck in the middle of the next piece
                    shares.append(alice._engine.store.receipt(receipt.id).uploaded)
                    raise ZeroDivisionError  # the program dies
            town.sim.crash(FILES_ADDRESS)
            await asyncio.sleep(chance.uniform(0, 3))
            town.sim.restart(FILES_ADDRESS)
        assert shares == sorted(shares)
        assert len(set(shares)) == 5
        assert shares[-1] < len(blob)
        async with town.open(0) as alice:
            assert (await alice.settled(receipt)).state is State.SENT
            assert alice._engine.store.db.rows("SELECT * FROM files") == []
        async with town.open(1) as bob:
            (attachment,) = (await heard(bob)).attachments
            assert await attachment.read() == content

    town.run(main)
    assert town.uploads() == 1


def test_a_file_taken_back_half_way_is_sent_no_further(town):
    async def main():
        async with town.create(0) as alice, town.create(1) as bob:
            town.sim.host(town.network.client_address(0)).bandwidth = 60_000
            events = alice.events()
            await alice.send(
                bob.account_id, attachments=[FileToSend(random.Random(1).randbytes(3_000_000))], wait=False
            )
            async for event in events:
                if isinstance(event, MessageUploading):
                    assert 0 < event.receipt.uploaded < event.receipt.to_upload
                    assert event.receipt.summary == f"uploading {100 * 262144 // event.receipt.to_upload}%"
                    break
            await alice.history(bob.account_id)[0].unsend()
            await asyncio.sleep(30)
            await alice.drain()
            assert alice._engine.store.db.rows("SELECT * FROM files") == []
            assert town.pieces() <= 3 * 262_144, "pieces went on being sent"

    town.run(main)


def test_what_the_server_refuses_fails_and_can_be_sent_again(town, monkeypatch):
    upload = Transfers.upload

    async def refused(self, blob, **rest):
        raise FileError("the file is too large for the server", 413)

    async def main():
        async with town.create(0) as alice, town.create(1) as bob:
            monkeypatch.setattr(Transfers, "upload", refused)
            receipt = await alice.send(bob.account_id, attachments=[FileToSend(b"x")])
            assert receipt.summary == "failed because the file is too large for the server"
            monkeypatch.setattr(Transfers, "upload", upload)
            (message,) = alice.history(bob.account_id)
            assert (await alice.resend(message)).state is State.SENT
            assert await (await heard(bob)).attachments[0].read() == b"x"

    town.run(main)


def test_a_message_taken_back_is_not_uploaded_any_more(town):
    async def main():
        town.sim.crash(FILES_ADDRESS)
        async with town.create(0) as alice, town.create(1) as bob:
            receipt = await alice.send(bob.account_id, attachments=[FileToSend(b"x")], wait=False)
            await alice.history(bob.account_id)[0].unsend()
            town.sim.restart(FILES_ADDRESS)
            await alice.drain()
            await asyncio.sleep(60)
            assert alice._engine.store.db.rows("SELECT * FROM files") == []
            assert alice._engine.store.receipt(receipt.id).state is State.FAILED

    town.run(main)
    assert town.uploads() == 0


def test_mistakes_are_told_before_anything_is_kept(town, tmp_path):
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(10_000_001)
    fine = FileToSend(b"x")

    async def main():
        async with town.create(0) as alice:
            me = alice.account_id
            for attachments, text, error in (
                ([tmp_path / "missing"], "", BadAttachment),
                ([tmp_path], "", BadAttachment),
                ([fine, large], "", FileTooLarge),
                ([FileToSend(b"")], "", BadAttachment),
                ([fine] * 33, "", BadText),
                ([fine], "x" * 2001, BadText),
            ):
                with pytest.raises(error):
                    await alice.send(me, text, attachments=attachments)
            assert alice.history(me) == []
            assert alice._engine.store.db.rows("SELECT * FROM files") == []

    town.run(main)


def test_a_network_without_a_file_server_says_so(tmp_path):
    town = Town(tmp_path, file_server=False)

    async def main():
        async with town.create(0) as alice:
            with pytest.raises(NoFileServer):
                await alice.send(alice.account_id, attachments=[FileToSend(b"x")])
            with pytest.raises(NoFileServer):
                await alice.set_avatar(png())

    town.run(main)


def test_a_file_that_is_gone_is_said_to_be(town, monkeypatch):
    async def expired(*_arguments, **_named):
        raise FileGone

    async def main():
        async with town.create(0) as alice, town.create(1) as bob:
            await alice.send(bob.account_id, attachments=[FileToSend(b"x")])
            message = await heard(bob)
            monkeypatch.setattr(Transfers, "fetch", expired)
            with pytest.raises(FileGone):
                await message.attachments[0].read()
            assert bob.history(alice.account_id)[0].attachments[0].state is FileState.GONE
            loose = message.attachments[0].of(message.attachments[0].pointer, 0, 0, None)
            with pytest.raises(NoReply):
                await loose.read()

    town.run(main)


def test_our_picture_is_renewed_once_a_day_and_sooner_after_a_failure(town):
    asked = []

    class Server:
        """Stands in for `Avatars`, which decides when it is time."""

        fails = False

        async def renew(self, state, content, *, seed):
            asked.append((state, content()))
            if self.fails:
                raise FileError("busy", 503)
            return Renewal(state.picture, 0)

    async def main():
        async with town.create(0, name="Alice") as alice:
            await alice.set_avatar(png())
            pictures, profile, now = alice._engine.pictures, alice.profile, [alice._engine.carrier.now()]
            pictures._now = lambda: now[0]
            server = Server()
            for hours, calls in ((0, 1), (12, 1), (25, 2), (26, 2)):
                now[0] = alice._engine.carrier.now() + hours * HOUR_MS
                await pictures._renew(server)
                assert len(asked) == calls
            state, data = asked[0]
            assert (state.max_side, data) == (320, png())
            assert alice.profile.picture_url == profile.picture_url
            assert alice.profile.updated_s > profile.updated_s
            server.fails, now[0] = True, now[0] + DAY_MS
            for hours, calls in ((0, 3), (0, 3), (1, 4)):
                now[0] += hours * HOUR_MS
                await pictures._renew(server)
                assert len(asked) == calls

    town.run(main)


def test_pictures_are_shown_to_who_is_known_and_stay_on_the_server(town, tmp_path):
    async def main():
        told = []
        async with town.create(0, name="Alice") as alice, town.create(1, name="Bob") as bob:
            listening = asyncio.create_task(collect(bob.events(), told))
            with pytest.raises(NoPicture):
                await alice.set_avatar(b"no picture")
            path = tmp_path / "me.png"
            path.write_bytes(png(chunk(b"tEXt", b"where I live")))
            await alice.set_avatar(path)
            assert alice.avatar == png()
            await alice.send(bob.account_id, "hello")
            await until(bob.requests)
            await asyncio.sleep(120)
            assert bob.contact(alice.account_id).picture is not None
            assert bob.contact(alice.account_id).avatar is None, "a stranger's picture was fetched"
            await bob.accept(alice.account_id)
            await until(lambda: bob.contact(alice.account_id).avatar)
            assert bob.contacts()[0].avatar == png()
            assert PictureChanged(alice.account_id) in told
            listening.cancel()
            phrase = alice.phrase
            await alice.synced()
            async with town.create(2, phrase=phrase) as laptop:
                await until(lambda: laptop.avatar)
                assert laptop.avatar == png()
            await alice.set_avatar(None)
            assert alice.avatar is None

    town.run(main)


def test_a_picture_that_cannot_be_had_is_tried_again_soon_and_then_more_seldom(town):
    async def main():
        async with town.create(0, name="Alice") as alice, town.create(1, name="Bob") as bob:
            await alice.set_avatar(png())
            await alice.send(bob.account_id, "hello")
            await until(bob.requests)
            town.sim.crash(FILES_ADDRESS)
            await bob.accept(alice.account_id)
            tries, fetch, clock = [], bob._engine.pictures._avatars.fetch, asyncio.get_running_loop().time

            async def counted(picture):
                tries.append(clock())
                return await fetch(picture)

            bob._engine.pictures._avatars.fetch = counted
            await asyncio.sleep(1200)
            assert bob.contact(alice.account_id).avatar is None
            assert 3 <= len(tries) <= 6
            waits = [later - earlier for earlier, later in itertools.pairwise(tries)]
            assert waits == sorted(waits)
            town.sim.restart(FILES_ADDRESS)
            began = clock()
            await until(lambda: bob.contact(alice.account_id).avatar)
            assert clock() - began < 1200

    town.run(main)


def test_quotes_previews_and_invitations_are_sent_and_shown(town):
    invitation = CommunityInvitation("https://open.example/lobby?public_key=" + "ab" * 32, "Lobby")
    preview = LinkPreview("https://example.org/a", "A page")

    async def main():
        async with town.create(0) as alice, town.create(1) as bob:
            to = bob.account_id
            first = await alice.send(to, "look: https://example.org/a", previews=[preview])
            await alice.send(to, invitation=invitation)
            await alice.send(to, "as I said", quote=Quote(first.sent_ms, alice.account_id.hex))
            for bad in ([preview, preview], [LinkPreview("http://example.org", "x")], [LinkPreview(preview.url)]):
                with pytest.raises(BadText):
                    await alice.send(to, "https://example.org/a http://example.org", previews=bad)
            messages = bob.messages()
            return [await anext(messages) for _ in range(3)], first

    (shown, invited, quoting), first = town.run(main)
    assert shown.previews == (preview,)
    assert invited.invitation == invitation
    assert quoting.quote.sent_ms == first.sent_ms


def test_a_failed_message_whose_files_are_elsewhere_cannot_be_sent_again(town, tmp_path):
    async def main():
        town.sim.crash(FILES_ADDRESS)
        async with town.create(0) as alice:
            await alice.send(alice.account_id, attachments=[FileToSend(b"x")], wait=False)
            archive = await alice.export_archive("correct horse battery", cost=CHEAP)
            assert await alice.import_archive(archive, "correct horse battery") == 0
            (message,) = alice.history(alice.account_id)
            assert message.state is State.SENDING
            phrase = alice.phrase
        async with town.create(1, phrase=phrase) as laptop:
            await laptop.import_archive(archive, "correct horse battery")
            (message,) = laptop.history(laptop.account_id)
            assert message.state is State.FAILED
            with pytest.raises(NoSuchMessage, match="files"):
                await laptop.resend(message)

    town.run(main)


def test_what_another_program_sealed_meanwhile_is_not_sealed_again(town):
    async def main():
        async with town.create(0) as alice:
            receipt = await alice.send(alice.account_id, attachments=[FileToSend(b"x")])
            (before,) = alice.history(alice.account_id)
            alice._engine.uploads._seal(receipt.id)
            assert alice._engine.store.recipients() == []
            (after,) = alice.history(alice.account_id)
            assert after.attachments[0].pointer == before.attachments[0].pointer
            assert after.attachments[0].pointer.url

    town.run(main)
