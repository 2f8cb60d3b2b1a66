"""Requests through real proxies on this machine."""

import sys
from pathlib import Path

import pytest

from ramson.errors import LocalError
from ramson.world import Endpoint, HttpRequest, HttpResponse, NetError, ProxyAddress, Stage, Tls, real
from ramson.world.http import HttpLimits

sys.path.insert(0, str(Path(__file__).parent))
from proxies import Connect, Socks

ASK = HttpRequest("POST", "/x", {}, b"body")
LOOPBACK = Endpoint("127.0.0.1", 0)


def echo(request):
    return HttpResponse(200, {"X-Peer": request.peer}, request.body)


@pytest.fixture
async def server(certificate):
    listener = await real.world().net.listen(LOOPBACK, echo, certificate=certificate, limits=HttpLimits())
    yield listener
    await listener.close()


def way(proxy, login=""):
    address = ProxyAddress.parse(f"{proxy.scheme}://{login}127.0.0.1:{proxy.port}")
    return real.world().outlets.through(address)


@pytest.mark.parametrize("kind", [Socks, Connect])
@pytest.mark.parametrize("login", ["", "user:pass"])
async def test_a_request_goes_through(server, kind, login):
    async with kind(*login.split(":") if login else (), names={"node.example": "127.0.0.1"}) as proxy:
        net = way(proxy, f"{login}@" if login else "")
        for _ in range(2):
            reply = await net.request(Endpoint("node.example", server.endpoint.port), ASK, tls=Tls(), timeout=5)
            assert reply.body == b"body"
        assert proxy.asked == [("node.example", server.endpoint.port)]  # one connection for both
        await net.close()


@pytest.mark.parametrize("kind", [Socks, Connect])
async def test_a_wrong_login_a_refusal_and_no_proxy_at_all(server, kind):
    async with kind("user", "right") as proxy:
        for login in ("user:wrong@", ""):
            with pytest.raises(NetError) as caught:
                await way(proxy, login).request(server.endpoint, ASK, tls=Tls(), timeout=5)
            assert caught.value.stage is Stage.PROXY
    with pytest.raises(NetError) as caught:  # it is closed now
        await way(proxy).request(server.endpoint, ASK, tls=Tls(), timeout=5)
    assert caught.value.stage is Stage.PROXY
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize(("kind", "refusal"), [(Socks, 5), (Connect, 503)])
async def test_a_far_end_that_cannot_be_reached(server, kind, refusal):
    async with kind(refusal=refusal) as proxy:
        with pytest.raises(NetError) as caught:
            await way(proxy).request(server.endpoint, ASK, tls=Tls(), timeout=5)
        assert caught.value.stage is Stage.CONNECT


async def test_a_silent_proxy_is_the_stage_that_was_reached(server):
    async with Socks(silent=True) as proxy:
        with pytest.raises(NetError) as caught:
            await way(proxy).request(server.endpoint, ASK, tls=Tls(), timeout=0.2)
        assert (caught.value.stage, caught.value.reached) == (Stage.TIMEOUT, Stage.PROXY)


async def test_pins_hold_behind_a_proxy(server):
    async with Socks() as proxy:
        with pytest.raises(NetError, match="pinned"):
            await way(proxy).request(server.endpoint, ASK, tls=Tls(pins=frozenset({bytes(32)})), timeout=5)


async def test_addresses_of_a_name_cannot_be_chosen_behind_a_proxy(server):
    async with Socks() as proxy:
        with pytest.raises(LocalError):
            await way(proxy).request(server.endpoint, ASK, tls=Tls(), timeout=5, allow=lambda _: True)
        assert proxy.asked == []


async def test_tor_is_asked_for_each_far_end_under_another_name(certificate):
    world = real.world()
    listeners = [await world.net.listen(LOOPBACK, echo, certificate=certificate, limits=HttpLimits()) for _ in range(3)]
    async with Socks() as proxy:
        net = world.outlets.through(ProxyAddress.parse(f"tor://127.0.0.1:{proxy.port}"))
        for listener in listeners:
            await net.request(listener.endpoint, ASK, tls=Tls(), timeout=5)
        again = {login[0] for login in proxy.logins}
        await net.close()
        await net.request(listeners[0].endpoint, ASK, tls=Tls(), timeout=5)
        assert len(again) == 3
        assert {login[0] for login in proxy.logins} == again  # the same far end, the same circuit
        await net.close()
    for listener in listeners:
        await listener.close()
