"""Two devices of one account and a friend, on a network where everything goes wrong: in the end all agree.

Messages are lost, repeated and reordered, nodes and devices crash and lag, clocks are off.  What was written is on both
devices and with the friend, once; contacts, profile, reactions, read states and configs are the same on both.

Where the friend has two devices as well, it is also looked at what people know of each other: name, picture, approval,
what was read, what was taken back, what has disappeared.  Where they quarrel, that is block and remove each other,
what is missed depends on when who heard of it; that they find together again does not.
"""

import asyncio
import os
import random
from dataclasses import replace

import pytest
from devices import Device, Swarm, switched_on, virtually

from ramson.crypto.account import AccountKeys
from ramson.messenger.actions import Blocked, NotApproved
from ramson.messenger.configs import KINDS
from ramson.messenger.intake import READ_RECEIPTS
from ramson.messenger.message import Kind, State
from ramson.protocol.config import Picture
from ramson.protocol.content import NEVER, Expiration, ExpirationMode

pytestmark = pytest.mark.sim

CHUNKS, SEEDS = 10, 10
FRIENDS = 200 if os.environ.get("RAMSON_SOAK") else 8
STORM = 240.0  # seconds
CALM = 400.0
TROUBLE = 0.15


def keys(seed):
    return AccountKeys.generate(random.Random(seed))


class Story:
    """One run: who is there, and what they did."""

    def __init__(self, directory, seed):
        self.chance = random.Random(seed)
        self.swarm = Swarm(seed, nodes=4, trouble=TROUBLE)
        alice, bob = keys(f"alice {seed}"), keys(f"bob {seed}")
        skew = self.chance.randint(-2000, 2000)  # what is left after the network has told the time
        self.phone = Device(directory / "phone", alice, self.swarm, name="Alice", seed=1)
        self.laptop = Device(directory / "laptop", alice, self.swarm, restored=True, skew_ms=skew, seed=2)
        self.bob = Device(directory / "bob", bob, self.swarm, name="Bob", skew_ms=-skew, seed=3)
        self.devices = (self.phone, self.laptop, self.bob)
        self.strangers = [keys(f"stranger {seed} {number}").id for number in range(4)]
        self.written = []  # (author, body)
        self.unsent = set()

    def peer(self, device):
        return self.phone if device.id == self.bob.id else self.bob

    def do_something(self, device):
        """Let one device do one thing."""
        peer, chance = self.peer(device), self.chance
        what = chance.choice(
            ["send", "send", "send", "react", "read", "unsend", "contact", "name", "picture", "note", "pin"]
        )
        history = device.history(peer)
        texts = [message for message in history if message.kind is Kind.TEXT]
        own = [message for message in texts if message.sender == device.id]
        match what:
            case "send":
                self.write(device)
            case "note":
                body = f"note {len(self.written)}"
                device.send(device, body)
            case "react" if texts and (contact := device.contact(peer)) and contact.approved and contact.approved_me:
                message = chance.choice(texts)
                device.act.react(message, chance.choice("👍😂"), removed=chance.random() < 0.3)
            case "read":
                self.read(device)
            case "unsend" if own and chance.random() < 0.4:
                message = chance.choice(own)
                device.act.unsend(message)
                self.unsent.add(message.body)
            case "contact":
                stranger = chance.choice(self.strangers)
                if chance.random() < 0.3:
                    device.act.decline(stranger)
                else:
                    device.act.block(stranger, blocked=chance.random() < 0.5)
            case "name":
                device.act.set_profile(f"{chance.getrandbits(20):x}", None, keep_picture=True)
            case "picture":
                picture = Picture(f"https://files.example/{chance.getrandbits(20):x}", b"k" * 32)
                device.act.set_profile(None, picture, keep_picture=False)
            case "pin":
                device.act.set_priority(peer.id, chance.randint(0, 3)) if device.contact(peer) else None

    def write(self, device):
        """Let a device write something that was never written before; return it."""
        body = f"{len(self.written)} {self.chance.getrandbits(40):x}"
        device.send(self.peer(device), body)
        self.written.append((device.id, body))
        return body

    def read(self, device):
        """Let a device have read everything of the other side."""
        device.act.mark_read(self.peer(device).id)

    async def live(self, device, ends):
        """Do things until the storm is over; crash now and then."""
        loop = asyncio.get_running_loop()
        while loop.time() < ends:
            await asyncio.sleep(self.chance.uniform(1, 25))
            if self.chance.random() < 0.15:
                await device.off()
                await asyncio.sleep(self.chance.uniform(0, 60))
                device.on()
            elif self.chance.random() < 0.15:
                device.net.online = False
                await asyncio.sleep(self.chance.uniform(0, 40))
                device.net.online = True
            else:
                self.do_something(device)

    async def play(self):
        loop = asyncio.get_running_loop()
        async with switched_on(*self.devices):
            crashes = loop.create_task(self.swarm.crashes())
            async with asyncio.TaskGroup() as group:
                for device in self.devices:
                    group.create_task(self.live(device, STORM))
            crashes.cancel()
            self.swarm.trouble = 0.0
            for node in self.swarm.nodes:
                node.up = True
                self.swarm.hand_over(node)
            await asyncio.sleep(CALM)
            for device in self.devices:
                device.net.online = True
                assert device.store.recipients() == []
                assert not device.store.configs.needs_push
            self.check()
            await self.introduce()

    async def introduce(self):
        """Whoever hears from either device knows the profile that both agree on."""
        for device in (self.phone, self.laptop):
            device.send(self.bob, "who I am")
            await asyncio.sleep(CALM / 4)
            known, profile = self.bob.contact(device), device.store.configs.profile
            assert (known.name, known.picture) == (profile.name, profile.picture)

    def check(self):
        phone, laptop = self.phone, self.laptop
        for peer in (self.bob, self.phone):
            assert shown(phone, peer) == shown(laptop, peer)
        agree_on_configs(phone, laptop)
        assert phone.store.conversations.last_read(self.bob.id) == laptop.store.conversations.last_read(self.bob.id)
        mine = shown(phone, self.bob)
        assert mine == shown(self.bob, phone)
        assert sorted(entry[3] for entry in mine) == sorted(body for _, body in self.written if body not in self.unsent)


class Friends(Story):
    """Both people have two devices, and do more with them."""

    def __init__(self, directory, seed):
        super().__init__(directory, seed)
        bobs = keys(f"bob {seed}")
        self.tablet = Device(directory / "tablet", bobs, self.swarm, restored=True, skew_ms=500, seed=4)
        self.people = ((self.phone, self.laptop), (self.bob, self.tablet))
        self.devices = (self.phone, self.laptop, self.bob, self.tablet)
        self.quarrel = seed % 4 == 3
        self.deeds = ["picture", "picture", "both", "nickname", "timer", "timer", "unread", "read", "delete", "accept"]
        if self.quarrel:
            self.deeds += ["block", "unblock", "remove"] * 2
        self.passing = set()  # bodies of what disappears
        self.deleted = {}  # body → device
        self.acted = set()  # who wrote or accepted
        self.told_read, self.had_read = set(), set()  # sent times: of what must be told, and may be

    def write(self, device):
        passing = device.act.expiration(self.peer(device).id).active
        body = super().write(device)
        self.acted.add(device.id)
        if passing:
            self.passing.add(body)
        return body

    def do_something(self, device):
        if self.chance.random() < 0.5:
            try:
                super().do_something(device)
            except (Blocked, NotApproved):
                assert self.quarrel
            return
        peer, chance = self.peer(device), self.chance
        contact, texts = device.contact(peer), [each for each in device.history(peer) if each.kind is Kind.TEXT]
        name = chance.choice(["", "A", "B", "C"])  # so that one becomes the other's again
        picture = chance.choice(
            [None, *(Picture(f"https://files.example/{each}", bytes([each]) * 32) for each in (1, 2))]
        )
        match chance.choice(self.deeds):
            case "picture":
                device.act.set_profile(None, picture, keep_picture=False)
            case "both":
                device.act.set_profile(name, picture, keep_picture=False)
            case "nickname" if contact:
                device.act.change_contact(peer.id, lambda each: replace(each, nickname=f"my {name}"))
            case "timer" if contact and not contact.blocked:
                mode = chance.choice([ExpirationMode.AFTER_READ, ExpirationMode.AFTER_SEND])
                timer = chance.choice([NEVER, Expiration(mode, chance.choice([20, 60, 300]))])
                device.act.set_disappearing(peer.id, timer)
                self.acted.add(device.id)
            case "read":
                self.read(device)
            case "unread":
                device.act.mark_unread(peer.id)
            case "delete" if texts and chance.random() < 0.5:
                message = chance.choice(texts)
                device.act.delete(message)
                self.deleted[message.body] = device
            case "accept" if contact and texts and not contact.blocked:
                device.act.accept(peer.id)
                self.acted.add(device.id)
            case "block" if contact:
                device.act.block(peer.id)
            case "unblock" if contact:
                device.act.block(peer.id, blocked=False)
            case "remove" if contact:
                device.act.decline(peer.id)

    def read(self, device):
        peer = self.peer(device)
        unread, contact = device.store.conversations.unread(peer.id), device.contact(peer)
        if device.store.setting(READ_RECEIPTS):
            self.had_read.update(unread)
            if contact and contact.approved:
                self.told_read.update(unread)
        super().read(device)

    async def live(self, device, ends):
        device.store.set_setting(READ_RECEIPTS, on=self.chance.random() < 0.5)
        await super().live(device, ends)

    def check(self):
        for devices in self.people:
            agree_on_configs(*devices)
        for device in self.devices:
            bodies = [message.body for message in device.history(self.peer(device)) if message.kind is Kind.TEXT]
            assert len(bodies) == len(set(bodies))
            assert not [body for body in bodies if self.deleted.get(body) is device]
        if self.quarrel:
            return
        for devices in self.people:
            first, second = (device.store.conversations for device in devices)
            peer = self.peer(devices[0])
            assert first.last_read(peer.id) == second.last_read(peer.id)
            assert shown(devices[0], devices[0]) == shown(devices[1], devices[1])
        for device in self.devices:
            self.check_view(device)

    def lasting(self, device):
        """Return what a device shows of what neither disappears nor was deleted anywhere."""
        shown_here = shown(device, self.peer(device))
        return [each for each in shown_here if each[3] not in self.passing and each[3] not in self.deleted]

    def check_view(self, device):
        peer = self.peer(device)
        assert self.lasting(device) == self.lasting(self.phone)
        gone = self.unsent | self.passing | self.deleted.keys()
        assert sorted(each[3] for each in self.lasting(device)) == sorted(b for _, b in self.written if b not in gone)
        texts = [message for message in device.history(peer) if message.kind is Kind.TEXT]
        assert not [message for message in texts if message.body in self.unsent]
        contact = device.contact(peer)
        if contact is None:
            assert not self.acted
            return
        assert contact.approved >= (device.id in self.acted)
        assert contact.approved_me >= (peer.id in self.acted)
        for message in texts:
            if message.sender == device.id and message.state is State.SENT:
                assert message.read <= (message.sent_ms in self.had_read)
                if device.store.setting(READ_RECEIPTS):
                    assert message.read >= (message.sent_ms in self.told_read)

    async def introduce(self):
        """Whoever hears from any device knows the profile, and is no request any more once both have written."""
        for device, _ in self.people:
            if (contact := device.contact(self.peer(device))) and contact.blocked:
                device.act.block(contact.id, blocked=False)
        await asyncio.sleep(CALM / 8)
        for speaker in [self.chance.choice(devices) for devices in self.people]:
            self.write(speaker)
            await asyncio.sleep(CALM / 8)
            for listener in self.people[speaker.id == self.phone.id]:
                known, profile = listener.contact(speaker), speaker.store.configs.profile
                assert (known.name, known.picture) == (profile.name, profile.picture)
        for device in self.devices:
            contact = device.contact(self.peer(device))
            assert contact.approved
            assert contact.approved_me
            assert self.peer(device).id not in [each.peer for each in device.act.conversations(requests=True)]
        await self.disappear()

    async def disappear(self):
        """What has to disappear is gone once it was read and its time is over, and nothing else."""
        for devices in self.people:
            self.read(devices[0])
        before = [self.lasting(device) for device in self.devices]
        await asyncio.sleep(CALM)
        for device, lasting in zip(self.devices, before, strict=True):
            history = device.history(self.peer(device))
            assert not [each for each in history if each.expiration.active and each.kind is not Kind.DELETED]
            assert self.lasting(device) == lasting
            assert self.quarrel or device.store.conversations.unread(self.peer(device).id) == []


def agree_on_configs(first, second):
    for kind in KINDS:
        ours, theirs = first.store.configs.config(kind), second.store.configs.config(kind)
        assert ours.data == theirs.data, kind
        assert ours.current_hashes == theirs.current_hashes, kind


def shown(device, peer):
    """Return all texts; where one was taken back before a device had fetched it, there is no stub on that device."""
    return [
        (
            message.sender,
            message.sent_ms,
            message.kind,
            message.body,
            sorted((reaction.emoji, reaction.reactor) for reaction in message.reactions),
        )
        for message in device.history(peer)
        if message.kind is Kind.TEXT
    ]


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_all_devices_come_to_agree(tmp_path, chunk):
    tell(Story, tmp_path, range(chunk * SEEDS, (chunk + 1) * SEEDS))


@pytest.mark.parametrize("chunk", range(FRIENDS // 4))
def test_friends_know_what_they_should(tmp_path, chunk):
    tell(Friends, tmp_path, range(chunk * 4, chunk * 4 + 4))


def tell(story, directory, seeds):
    for seed in seeds:
        place = directory / str(seed)
        place.mkdir()
        try:
            virtually(story(place, seed).play())
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
