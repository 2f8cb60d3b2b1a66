"""HTTP in the simulated world: whole messages, honest refusals, pins, limits, and faults that are counted."""

import asyncio
import base64
import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.world import (
    AddressRefused,
    CannotListen,
    Certificate,
    Endpoint,
    HttpLimits,
    HttpRequest,
    HttpResponse,
    NetError,
    Stage,
    Tls,
)
from ramson.world.pins import pin_of
from ramson.world.simulated import Model, Simulation

SERVER, CLIENT = "10.0.0.1", "10.0.0.2"
AT = Endpoint(SERVER, 80)
NO_LIMITS = HttpLimits()
EXACT = Model(distances_ms={("here", "here"): 100.0}, jitter=0.0, bandwidth=1_000_000.0)


def make_certificate():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    now = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Certificate(certificate, private)


CERTIFICATE, OTHER_CERTIFICATE = make_certificate(), make_certificate()


def echo(request):
    return HttpResponse(200, {"X-Seen": request.peer}, request.method.encode() + b" " + request.body)


def ask(world, body=b"", *, target="/", tls=None, timeout=10.0, at=AT, **options):
    return world.net.request(at, HttpRequest("POST", target, {}, body), tls=tls, timeout=timeout, **options)


def serve(sim, handler=echo, *, certificate=None, limits=NO_LIMITS, at=AT):
    return sim.world(SERVER).net.listen(at, handler, certificate=certificate, limits=limits)


async def outcome(request):
    try:
        return await request
    except NetError as error:
        return error


def run(sim, exchange, **listening):
    async def main():
        await serve(sim, **listening)
        return await exchange(sim.world(CLIENT))

    return sim.run(main())


def test_a_request_is_handled_and_its_reply_returned():
    reply = run(Simulation(1), lambda world: ask(world, b"hello"))
    assert (reply.status, reply.body) == (200, b"POST hello")
    assert reply.headers["x-seen"] == CLIENT


def test_header_names_arrive_in_lower_case():
    def handler(request):
        return HttpResponse(200, {}, request.headers["x-session-test"].encode())

    async def exchange(world):
        request = HttpRequest("GET", "/", {"X-Session-Test": "Yes"})
        return await world.net.request(AT, request, tls=None, timeout=5)

    assert run(Simulation(1), exchange, handler=handler).body == b"Yes"


def test_a_handler_may_answer_later():
    async def later(request):
        await asyncio.sleep(3)
        return HttpResponse(204)

    sim = Simulation(1)
    assert run(sim, ask, handler=later).status == 204
    assert sim.now > 3


def test_a_narrow_line_makes_what_is_large_late():
    sim = Simulation(1, model=EXACT)
    sim.host(CLIENT).bandwidth = 10_000
    run(sim, lambda world: ask(world, bytes(50_000), timeout=30.0))
    assert 10 < sim.now < 11.5  # the echo comes back over the same line


def test_time_is_connect_tls_and_one_round_trip_and_a_kept_connection_saves_the_first_two():
    times = []
    sim = Simulation(1, model=EXACT)

    async def exchange(world):
        for _ in range(2):
            began = sim.now
            await ask(world, tls=Tls())
            times.append(sim.now - began)

    run(sim, exchange, certificate=CERTIFICATE)
    assert times == [pytest.approx(0.6, abs=0.01), pytest.approx(0.2, abs=0.01)]


def test_size_costs_time():
    sim = Simulation(1, model=EXACT)
    run(sim, lambda world: ask(world, bytes(2_000_000)))
    assert sim.now == pytest.approx(0.4 + 2 + 2, abs=0.01)


def test_a_port_nobody_listens_at_refuses():
    with pytest.raises(NetError) as caught:
        run(Simulation(1), lambda world: ask(world, at=Endpoint(SERVER, 81)))
    assert caught.value.stage is Stage.CONNECT


def test_an_address_without_a_host_cannot_be_reached_and_an_unknown_name_is_no_name():
    with pytest.raises(NetError) as caught:
        run(Simulation(1), lambda world: ask(world, at=Endpoint("10.9.9.9", 80)))
    assert caught.value.stage is Stage.CONNECT
    with pytest.raises(NetError) as caught:
        run(Simulation(1), lambda world: ask(world, at=Endpoint("seed.example", 80)))
    assert caught.value.stage is Stage.NAME


def test_a_name_leads_to_its_address_and_the_caller_may_veto_the_address():
    sim = Simulation(1)
    sim.name("seed.example", SERVER)
    seen = []

    async def exchange(world):
        at = Endpoint("seed.example", 80)
        await ask(world, at=at, allow=lambda address: not seen.append(address))
        with pytest.raises(AddressRefused):
            await ask(world, at=at, allow=lambda address: address != SERVER)

    run(sim, exchange)
    assert seen == [SERVER]


def test_port_0_takes_a_free_port_and_closing_frees_it():
    sim = Simulation(1)

    async def main():
        one = await serve(sim, at=Endpoint("0.0.0.0", 0))
        two = await serve(sim, at=Endpoint(SERVER, 0))
        assert one.endpoint.port != two.endpoint.port
        with pytest.raises(CannotListen):
            await serve(sim, at=one.endpoint)
        await one.close()
        await serve(sim, at=one.endpoint)

    sim.run(main())


def test_a_host_cannot_listen_at_the_address_of_another():
    with pytest.raises(CannotListen):
        run(Simulation(1), ask, at=Endpoint("10.0.0.9", 80))


@pytest.mark.parametrize(
    ("certificate", "tls", "stage"),
    [
        (CERTIFICATE, Tls(pins=frozenset({pin_of(CERTIFICATE)})), None),
        (CERTIFICATE, Tls(), None),
        (CERTIFICATE, Tls(pins=frozenset({pin_of(OTHER_CERTIFICATE)})), Stage.TLS),
        (CERTIFICATE, Tls(verify=True), Stage.TLS),
        (None, Tls(), Stage.TLS),
        (None, None, None),
        (CERTIFICATE, None, Stage.REPLY),
    ],
)
def test_what_tls_proves_is_modelled(certificate, tls, stage):
    def exchange(world):
        return ask(world, tls=tls)

    if stage is None:
        assert run(Simulation(1), exchange, certificate=certificate).status == 200
    else:
        with pytest.raises(NetError) as caught:
            run(Simulation(1), exchange, certificate=certificate)
        assert caught.value.stage is stage


def test_a_kept_connection_is_no_way_around_a_pin():
    async def exchange(world):
        await ask(world, tls=Tls())
        with pytest.raises(NetError):
            await ask(world, tls=Tls(pins=frozenset({pin_of(OTHER_CERTIFICATE)})))

    run(Simulation(1), exchange, certificate=CERTIFICATE)


def test_the_limits_of_the_listener_and_of_the_caller_hold():
    limits = HttpLimits(max_body=10, bodyless=frozenset({"/ping"}), too_large="No.", server="ramson")

    async def exchange(world):
        assert (await ask(world, bytes(10))).status == 200
        refused = await ask(world, bytes(11))
        assert (refused.status, refused.body) == (413, b"No.")
        ping = await ask(world, bytes(11), target="/ping?x")
        assert ping.body == b"POST "
        assert ping.headers["server"] == "ramson"
        with pytest.raises(NetError) as caught:
            await ask(world, bytes(10), max_reply=5)
        assert caught.value.stage is Stage.REPLY

    run(Simulation(1), exchange, limits=limits)


@pytest.mark.parametrize("kind", ["at once", "later"])
def test_a_handler_that_fails_costs_one_reply_of_status_500(kind):
    def fails(request):
        raise KeyError("secret")

    async def fails_later(request):
        raise KeyError("secret")

    reply = run(Simulation(1), ask, handler=fails if kind == "at once" else fails_later)
    assert (reply.status, reply.body) == (500, b"request failed")


def test_a_caller_that_gave_up_does_not_end_the_handler():
    done = []

    async def slow(request):
        await asyncio.sleep(5)
        done.append(True)
        return HttpResponse(200)

    async def exchange(world):
        with pytest.raises(NetError) as caught:
            await ask(world, timeout=2)
        assert caught.value.stage is Stage.TIMEOUT
        await asyncio.sleep(10)

    sim = Simulation(1)
    run(sim, exchange, handler=slow)
    assert done
    assert sim.faults["timeout"] == 1


def test_a_request_sent_arrives_though_its_sender_gives_up_at_once():
    arrived = []

    async def exchange(world):
        with pytest.raises(NetError):
            await ask(world, timeout=0.25)  # connected after 0.2, would arrive at 0.3
        await asyncio.sleep(1)

    run(Simulation(1, model=EXACT), exchange, handler=lambda request: arrived.append(1) or HttpResponse(200))
    assert arrived


def test_closing_lets_a_request_finish_and_cancels_what_takes_too_long():
    async def later(request):
        await asyncio.sleep(float(request.body))
        return HttpResponse(200)

    sim = Simulation(1)

    async def main():
        listener = await serve(sim, later)
        world = sim.world(CLIENT)
        async with asyncio.TaskGroup() as group:
            quick = group.create_task(ask(world, b"5", timeout=100))
            slow = group.create_task(outcome(ask(world, b"50", timeout=100)))
            await asyncio.sleep(1)
            await listener.close()
            with pytest.raises(NetError):
                await ask(world, b"0")
        assert quick.result().status == 200
        assert isinstance(slow.result(), NetError)

    sim.run(main())
    assert sim.now < 20


def test_a_lost_message_is_silence_until_the_time_limit():
    sim = Simulation(1, model=Model(http_loss=1.0))
    with pytest.raises(NetError) as caught:
        run(sim, lambda world: ask(world, timeout=7))
    assert caught.value.stage is Stage.TIMEOUT
    assert sim.now == pytest.approx(7)
    assert sim.faults["request-lost"] == 1


def test_loss_takes_requests_and_replies_about_as_often_as_the_model_says():
    handled = []
    sim = Simulation(3, model=Model(http_loss=0.1))

    async def exchange(world):
        results = await asyncio.gather(*(ask(world, timeout=30) for _ in range(1000)), return_exceptions=True)
        return sum(isinstance(result, HttpResponse) for result in results)

    answered = run(sim, exchange, handler=lambda request: handled.append(1) or HttpResponse(200))
    assert len(handled) == 1000 - sim.faults["request-lost"]
    assert answered == len(handled) - sim.faults["reply-lost"]
    assert 750 < answered < 870


def test_a_partition_is_silence_and_heals():
    sim = Simulation(1)

    async def exchange(world):
        assert (await ask(world)).status == 200
        sim.partition([{SERVER}])
        began = sim.now
        with pytest.raises(NetError) as caught:
            await ask(world, timeout=4)
        assert caught.value.stage is Stage.TIMEOUT
        assert sim.now - began == pytest.approx(4)
        await world.net.close()
        with pytest.raises(NetError):
            await ask(world, timeout=4)
        sim.heal()
        assert (await ask(world)).status == 200

    run(sim, exchange)
    assert sim.faults["parted"] == 2


def test_a_partition_leaves_hosts_of_one_group_together():
    sim = Simulation(1)

    async def exchange(world):
        sim.partition([{SERVER, CLIENT}, {"10.0.0.3"}])
        assert (await ask(world)).status == 200
        with pytest.raises(NetError):
            await ask(sim.world("10.0.0.3"), timeout=5)
        with pytest.raises(NetError):
            await ask(sim.world("10.0.0.4"), timeout=5)

    run(sim, exchange)


def test_a_reply_on_its_way_does_not_cross_a_new_partition():
    sim = Simulation(1, model=EXACT)

    async def exchange(world):
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(outcome(ask(world, timeout=3)))
            await asyncio.sleep(0.35)  # handled at 0.3
            sim.partition([[CLIENT]])
        assert isinstance(asked.result(), NetError)

    run(sim, exchange)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    schedule=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.floats(0, 20), st.binary(max_size=40)), max_size=30
    ),
    loss=st.sampled_from([0.0, 0.2]),
)
def test_whatever_is_sent_is_answered_or_fails_and_one_seed_gives_one_log(seed, schedule, loss):
    def play():
        sim = Simulation(seed, model=Model(http_loss=loss))
        addresses = [f"10.0.0.{number}" for number in range(1, 5)]
        handled = []

        async def send(origin, target, after, body):
            await asyncio.sleep(after)
            at = Endpoint(addresses[target], 80)
            try:
                return (await ask(sim.world(addresses[origin]), body, at=at)).body == b"POST " + body
            except NetError as error:
                return error.stage is Stage.TIMEOUT and loss > 0

        def handler(request):
            handled.append(request.body)
            return echo(request)

        async def main():
            for address in addresses:
                await sim.world(address).net.listen(
                    Endpoint(address, 80), handler, certificate=None, limits=HttpLimits()
                )
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(send(*entry)) for entry in schedule]
            return all(task.result() for task in tasks)

        assert sim.run(main())
        lost = sim.faults["request-lost"]
        assert len(handled) == len(schedule) - lost
        return sim.log

    assert play() == play()


def test_two_seeds_give_two_logs():
    logs = set()
    for seed in range(3):
        sim = Simulation(seed)
        run(sim, lambda world: ask(world, b"same"))
        logs.add(sim.log_digest())
    assert len(logs) == 3


def test_the_log_has_a_line_for_each_leg_and_no_content():
    sim = Simulation(1)
    body = b"nobody should read this"
    run(sim, lambda world: ask(world, body))
    kinds = [line.split()[1:4] for line in sim.log]
    assert kinds == [["request", CLIENT, SERVER], ["reply", SERVER, CLIENT]]
    assert body.decode() not in "".join(sim.log)
    assert base64.b64encode(body).decode() not in "".join(sim.log)
