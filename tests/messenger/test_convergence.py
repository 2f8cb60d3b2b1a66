"""Two devices of one account and a friend, on a network where everything goes wrong: in the end all agree.

Messages are lost, repeated and reordered, nodes and devices crash and lag, clocks are off.  What was written is on both
devices and with the friend, once; contacts, profile, reactions, read states and configs are the same on both.
"""

import asyncio
import random

import pytest
from devices import Device, Swarm, switched_on, virtually

from ramson.crypto.account import AccountKeys
from ramson.messenger.configs import KINDS
from ramson.messenger.message import Kind
from ramson.protocol.config import Picture

pytestmark = pytest.mark.sim

CHUNKS, SEEDS = 10, 10
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
        return self.phone if device is self.bob else self.bob

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
                body = f"{len(self.written)} {chance.getrandbits(40):x}"
                device.send(peer, body)
                self.written.append((device.id, body))
            case "note":
                body = f"note {len(self.written)}"
                device.send(device, body)
            case "react" if texts and (contact := device.contact(peer)) and contact.approved and contact.approved_me:
                message = chance.choice(texts)
                device.act.react(message, chance.choice("👍😂"), removed=chance.random() < 0.3)
            case "read":
                device.act.mark_read(peer.id)
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
        for kind in KINDS:
            ours, theirs = phone.store.configs.config(kind), laptop.store.configs.config(kind)
            assert ours.data == theirs.data, kind
            assert ours.current_hashes == theirs.current_hashes, kind
        assert phone.store.conversations.last_read(self.bob.id) == laptop.store.conversations.last_read(self.bob.id)
        mine = shown(phone, self.bob)
        assert mine == shown(self.bob, phone)
        assert sorted(entry[3] for entry in mine) == sorted(body for _, body in self.written if body not in self.unsent)


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
    for seed in range(chunk * SEEDS, (chunk + 1) * SEEDS):
        directory = tmp_path / str(seed)
        directory.mkdir()
        try:
            virtually(Story(directory, seed).play())
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
