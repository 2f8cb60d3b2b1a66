"""Files on real sockets: two clients, three hops each, and a file server that is restarted and killed in between."""

import random
from dataclasses import replace

import pytest

from ramson.crypto.files import of_bytes
from ramson.devnet import Devnet
from ramson.devnet.devnet import FILES
from ramson.errors import ParseError
from ramson.messenger.file_errors import FileGone
from ramson.messenger.files import Files, Form, seal_legacy
from ramson.network import MemoryCache, Network, NetworkProfile
from ramson.network.trace import RequestSent
from ramson.protocol import network_file
from ramson.protocol.file_server import content_id
from ramson.protocol.file_url import FileUrl
from ramson.world import real

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SEED = bytes(range(32))


class EnoughError(Exception):
    """The program ends here."""


def stop_half_way(done, _total):
    if done > 1_000_000:
        raise EnoughError


async def test_files_travel_by_three_hops_and_survive_restarts(tmp_path):
    events = []
    async with Devnet(real.world(), tmp_path / "network", nodes=8, swarms=2, file_server=True) as devnet:
        described = network_file.parse(devnet.network_path.read_bytes())
        assert described.file_server == devnet.network.file_server
        profile = NetworkProfile.from_file(described)
        a, b = real.world(), real.world()
        async with (
            Network(a, profile, MemoryCache(), trace=events.append) as network_a,
            Network(b, profile, MemoryCache()) as network_b,
            Files(network_a, a, profile.file_server) as files_a,
            Files(network_b, b, profile.file_server) as files_b,
        ):
            data = random.Random(1).randbytes(3_000_000)
            events.clear()
            attachment = await files_a.attach(data, name="photo.webp")
            paths = [event.path for event in events if isinstance(event, RequestSent)]
            assert paths
            assert all(len({hop.ip for hop in path.hops}) == 3 for path in paths)
            assert await files_b.load(attachment) == data

            with pytest.raises(ParseError, match="digest"):
                await files_b.load(replace(attachment, digest=bytes(32)))

            await devnet.kill(FILES)
            await devnet.restart(FILES)
            await files_b.save(attachment, tmp_path / "photo.webp")
            assert (tmp_path / "photo.webp").read_bytes() == data

            blob, notes, told = seal_legacy(of_bytes(data), len(data), a.entropy).blob, [], []
            with pytest.raises(EnoughError):
                await files_a.transfers.upload(blob, deterministic=False, note=notes.append, progress=stop_half_way)
            await devnet.kill(FILES)
            await devnet.restart(FILES)
            uploaded = await files_a.transfers.upload(
                blob, deterministic=False, begun=notes[-1], progress=lambda done, _: told.append(done)
            )
            assert told[0] > 1_000_000, "nothing that had arrived was sent again"
            assert await files_b.transfers.fetch(uploaded.url) == blob
            async with Files(network_a, a, replace(profile.file_server, resumable=False)) as at_once:
                assert (await at_once.transfers.upload(blob, deterministic=False)).url == uploaded.url

            largest = random.Random(2).randbytes(10_218_286)
            attachment = await files_a.attach(largest, form=Form.DETERMINISTIC, seed=SEED)
            assert await files_b.load(attachment) == largest
            async with Files(network_b, b, replace(profile.file_server, ranges=False)) as whole:
                assert await whole.load(attachment) == largest

            missing = FileUrl(profile.file_server.url, content_id(b"never uploaded"))
            with pytest.raises(FileGone):
                await files_b.transfers.fetch(missing)
        for world in (a, b):
            await world.net.close()

    home = tmp_path / "network" / FILES
    assert (home / "server_key").stat().st_mode & 0o777 == 0o600
    log = (home / "log").read_text()
    assert "ERROR" not in log
    assert "127." not in log
