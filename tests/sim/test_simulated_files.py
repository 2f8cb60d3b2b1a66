"""Files through three hops in virtual time: the client, the nodes and the file server are the real code."""

import asyncio
import os
import random
from dataclasses import replace
from itertools import pairwise

import apsw
import pytest

from ramson.errors import RemoteError
from ramson.messenger.avatars import Avatars
from ramson.messenger.file_errors import FileGone
from ramson.messenger.files import Files, Form
from ramson.network import MemoryCache, Network, NoPath, RequestFailed
from ramson.protocol.file_server import FileServer
from ramson.protocol.file_url import FileUrl
from ramson.servers.files import FileServerConfig, FileService
from ramson.servers.files.config import Limits
from ramson.servers.keys import ServerKeys
from ramson.sim import SimulatedNetwork
from ramson.world import Endpoint
from ramson.world.simulated import CALM, ROUGH, Simulation

pytestmark = [pytest.mark.sim]

ADDRESS = "10.1.0.2"
ADDRESS_A = "10.2.0.2"
KEYS = ServerKeys.from_seed(bytes(range(32)))
SERVER = FileServer(f"http://{ADDRESS}:80", KEYS.x25519.public, ranges=True, resumable=True)
SEED = bytes(range(32))
SEEDS = 30 if os.environ.get("RAMSON_SOAK") else 2


def simulate(tmp_path, scenario, *, model=CALM, seed=1, **settings):
    simulation = Simulation(seed, model=model)
    network = SimulatedNetwork(simulation, tmp_path / "nodes", nodes=8, swarms=2)

    async def serve(world):
        config = FileServerConfig(Endpoint(ADDRESS, 80), tmp_path / "server", **settings)
        async with FileService(world, KEYS, config):
            await asyncio.Event().wait()

    simulation.host(ADDRESS).start(serve)

    async def main():
        await network.up()
        a, b = network.client_world(1), network.client_world(2)
        async with (
            Network(a, network.profile, MemoryCache()) as network_a,
            Network(b, network.profile, MemoryCache()) as network_b,
            Files(network_a, a, SERVER) as files_a,
            Files(network_b, b, SERVER) as files_b,
        ):
            files_a.whole = Files(network_a, a, replace(SERVER, resumable=False))
            await scenario(simulation, files_a, files_b)

    simulation.run(main())
    return simulation


def files_in(tmp_path):
    return [path for path in (tmp_path / "server" / "files").glob("??/*") if path.is_file()]


def test_one_uploads_and_another_downloads(tmp_path):
    async def scenario(_simulation, a, b):
        for form in Form:
            data = random.Random(1).randbytes(2_500_000)
            attachment = await a.attach(data, form=form, seed=SEED)
            assert await b.load(attachment) == data

    simulation = simulate(tmp_path, scenario)
    events = [line.split() for line in simulation.log]
    callers = {event[2] for event in events if event[1] == "request" and event[3] == ADDRESS}
    assert callers
    assert all(address.startswith("10.3.") for address in callers), "a client met the server without a path"


def test_files_expire_and_pictures_are_kept_by_renewing(tmp_path):
    async def scenario(simulation, a, b):
        pictures = Avatars(a.transfers, simulation.world("10.2.0.2"))
        attachment = await a.attach(b"content", ttl_s=200)
        picture = await pictures.upload(b"webp", seed=SEED)
        await asyncio.sleep(120)
        assert await b.load(attachment) == b"content"
        await a.transfers.extend(FileUrl.parse(picture.url), ttl_s=400)
        await asyncio.sleep(120)
        with pytest.raises(FileGone):
            await b.load(attachment)
        assert await pictures.fetch(picture) == b"webp"
        await asyncio.sleep(300)
        with pytest.raises(FileGone):
            await pictures.fetch(picture)

    simulate(tmp_path, scenario, limits=Limits(default_ttl_s=180))
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(("bandwidth", "size"), [(30_000, 1_500_000), (6_000, 300_000)])
def test_over_a_slow_line_pieces_arrive_where_one_request_does_not(tmp_path, bandwidth, size):
    async def scenario(simulation, a, b):
        simulation.host(ADDRESS_A).bandwidth = bandwidth
        data, told = random.Random(1).randbytes(size), []
        with pytest.raises(RequestFailed):
            await a.whole.attach(data)
        attachment = await a.attach(data, progress=lambda done, total: told.append(100 * done // total))
        assert await b.load(attachment) == data
        assert told == sorted(told)
        assert max(later - earlier for earlier, later in pairwise(told)) < 25

    simulate(tmp_path, scenario)


@pytest.mark.parametrize("seed", range(5))
def test_losses_and_a_server_that_crashes_cost_nothing_that_was_acknowledged(tmp_path, seed):
    async def scenario(simulation, a, b):
        sent = []

        async def upload(number):
            data = random.Random(number).randbytes(300_000)
            sent.append((data, await a.attach(data, form=Form.DETERMINISTIC, seed=SEED)))

        async def trouble():
            for _ in range(3):
                await asyncio.sleep(1)
                simulation.crash(ADDRESS)
                await asyncio.sleep(0.5)
                simulation.restart(ADDRESS)

        async with asyncio.TaskGroup() as group:
            group.create_task(trouble())
            for number in range(6):
                group.create_task(upload(number))
        assert len(sent) == 6
        simulation.crash(ADDRESS)
        simulation.restart(ADDRESS)
        for data, attachment in sent:
            assert await b.load(attachment) == data

    simulation = simulate(tmp_path, scenario, model=ROUGH, seed=seed)
    assert simulation.faults["crash"] == 4


@pytest.mark.parametrize("seed", range(SEEDS))
def test_pieces_arrive_once_and_whole_over_lossy_links_while_the_server_crashes(tmp_path, seed):
    data = [random.Random(number).randbytes(1_200_000 + number) for number in range(2)]

    async def scenario(simulation, a, b):
        async def trouble():
            while len(sent) < len(data):
                await asyncio.sleep(simulation.world(ADDRESS_A).entropy.uniform(0.5, 4))
                simulation.crash(ADDRESS)
                await asyncio.sleep(0.5)
                simulation.restart(ADDRESS)

        simulation.host(ADDRESS_A).bandwidth = 200_000
        sent = []
        harm = asyncio.create_task(trouble())
        for content in data:
            blob, begun = (await a._disk.run(lambda content=content: a._seal(content, Form.LEGACY, b""))), [""]
            for _ in range(40):  # as `uploads` does with what it has noted
                try:
                    where = {"begun": begun[-1], "note": begun.append}
                    uploaded = await a.transfers.upload(blob.blob, deterministic=False, **where)
                except (RemoteError, NoPath):
                    await asyncio.sleep(2)
                else:
                    break
            sent.append((blob.blob, uploaded.url))
        await harm
        await asyncio.sleep(10)
        for blob, url in sent:
            assert await b.transfers.fetch(url) == blob

    model = replace(ROUGH, http_loss=0.05, peer_loss=0.03)
    simulation = simulate(tmp_path, scenario, model=model, seed=seed)
    assert simulation.faults["crash"] >= 2
    assert simulation.faults["request-lost"] + simulation.faults["reply-lost"] + simulation.faults["peer-lost"]
    catalogue = apsw.Connection(str(tmp_path / "server" / "catalogue.sqlite"))
    assert catalogue.execute("SELECT count(*) FROM files").get == len(data)
    catalogue.close()
