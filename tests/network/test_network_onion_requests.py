"""Onion requests when nodes of the path, destinations and servers misbehave; in virtual time."""

import asyncio
import dataclasses

import pytest

from ramson.crypto.keys import Ed25519KeyPair
from ramson.network import Failure, RequestFailed, TooManyRequests
from ramson.network.requests import ATTEMPTS
from ramson.network.trace import NodeDropped, PathPatched, RequestAnswered, RequestOvertaken, RequestSent
from ramson.protocol import onion, server_v4
from ramson.protocol import storage as r
from ramson.world import HttpResponse


async def two_paths(network):
    async with asyncio.timeout(120):
        async for status in network.watch():
            if len(status.paths) == 2:
                return status.paths
    raise AssertionError


def off_the(paths, fake):
    return next(each.record for each in fake.nodes if not any(path.holds(each.keys.public) for path in paths))


def failures(fake):
    return [event.failure for event in fake.of_kind(RequestAnswered)]


def test_a_node_that_left_the_network_is_patched_out_and_the_request_succeeds(fake):
    async def main(network):
        paths = await two_paths(network)
        gone = paths[0].middle
        del fake.by_key[gone.ed25519]
        target = off_the(paths, fake)
        results = [await network.request(target, [r.Info()]) for _ in range(10)]
        return gone, paths, results, network.status.paths, network.nodes

    gone, before, results, after, left = fake.run(main)
    assert all(result[0].code == 200 for result in results)
    assert [event.before for event in fake.of_kind(PathPatched)] == [before[0]]
    assert {path.guard for path in after} == {path.guard for path in before}
    assert gone not in left
    assert failures(fake).count(Failure.NEXT_NODE_MISSING) == 1


def test_a_destination_that_left_the_network_is_not_asked_again(fake):
    async def main(network):
        paths = await two_paths(network)
        target = off_the(paths, fake)
        del fake.by_key[target.ed25519]
        with pytest.raises(RequestFailed) as caught:
            await network.request(target, [r.Info()])
        return caught.value.failure, target in network.nodes, network.status.paths == paths

    assert fake.run(main) == (Failure.NEXT_NODE_MISSING, False, True)


def test_a_guard_cannot_have_other_nodes_dropped(fake):
    async def main(network):
        paths = await two_paths(network)
        guard, victim = fake.by_key[paths[0].guard.ed25519], paths[1].last
        guard.blames = victim.ed25519
        for _ in range(30):
            await network.request(off_the(paths, fake), [r.Info()])
        return guard.keys.public, victim, network.nodes

    guard, victim, left = fake.run(main)
    assert victim in left
    assert guard not in {node.ed25519 for node in left}


def test_a_dead_middle_costs_its_path_and_the_requests_get_through(fake):
    async def main(network):
        paths = await two_paths(network)
        dead = fake.by_key[paths[0].middle.ed25519]
        dead.silent = True
        for _ in range(12):
            assert (await network.request(off_the(paths, fake), [r.Info()]))[0].code == 200
        await asyncio.sleep(15)
        after = await two_paths(network)
        assert {path.guard for path in after} == {path.guard for path in paths}
        return dead.keys.public, {node.ed25519 for node in network.nodes}

    dead, left = fake.run(main)
    assert dead not in left
    assert fake.of_kind(RequestOvertaken)


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (HttpResponse(504, {}, b"Request time out"), Failure.GUARD_ERROR),
        (HttpResponse(503, {}, b"Snode not ready: " + b"a" * 64), Failure.GUARD_ERROR),
        (HttpResponse(502, {}, b"Next node not found: " + b"a" * 64), Failure.NEXT_NODE_MISSING),
        (HttpResponse(200, {}, b""), Failure.UNREADABLE),
        (HttpResponse(200, {}, b"not base64!"), Failure.UNREADABLE),
        (HttpResponse(200, {}, b"QUJD" * 100), Failure.UNREADABLE),
        (HttpResponse(200, {}, b'{"result":1}'), Failure.UNREADABLE),
        (HttpResponse(200, {}, b'{"body":"{}","status":200}'), Failure.UNREADABLE),
    ],
)
def test_a_lying_guard_is_found_out_and_replaced(fake, reply, failure):
    async def main(network):
        paths = await two_paths(network)
        guard = fake.by_key[paths[0].guard.ed25519]
        guard.relays = reply
        for _ in range(20):
            assert (await network.request(off_the(paths, fake), [r.Info()]))[0].code == 200
        await asyncio.sleep(60)
        return guard.keys.public, {node.ed25519 for node in network.nodes}

    guard, left = fake.run(main)
    assert guard not in left
    assert set(failures(fake)) == {None, failure}
    assert not [event for event in fake.of_kind(RequestSent) if event.repeats]


def test_a_destination_whose_replies_cannot_be_read_is_given_up_after_three_attempts(fake):
    async def main(network):
        paths = await two_paths(network)
        target = off_the(paths, fake)
        fake.by_key[target.ed25519].garbled = True
        with pytest.raises(RequestFailed) as caught:
            await network.request(target, [r.Info()])
        caught.value.target = target.ed25519
        return caught.value

    error = fake.run(main)
    assert error.failure is Failure.UNREADABLE
    assert error.remedy
    assert fake.by_key[error.target].served == ["info"] * ATTEMPTS


def test_a_retry_takes_the_other_path(fake):
    async def main(network):
        paths = await two_paths(network)
        fake.by_key[paths[0].guard.ed25519].relays = HttpResponse(500, {}, b"")
        for _ in range(6):
            await network.request(off_the(paths, fake), [r.Info()])

    fake.run(main)
    sent = [event.path.guard for event in fake.of_kind(RequestSent)]
    for event, guard, following in zip(fake.of_kind(RequestAnswered), sent, sent[1:], strict=False):
        if event.failure is not None:
            assert following != guard


def test_a_silent_swarm_member_is_given_up_before_the_guards_are(fake):
    async def main(network):
        paths = await two_paths(network)
        target = off_the(paths, fake)
        fake.by_key[target.ed25519].silent = True
        with pytest.raises(RequestFailed):
            await network.request(target, [r.Info()])
        return (
            target in network.nodes,
            {path.guard for path in paths},
            {path.guard for path in await two_paths(network)},
        )

    known, before, after = fake.run(main)
    assert not known
    assert before == after


def test_with_a_little_loss_guards_stay(make_fake):
    from ramson.world.simulated import Model

    fake = make_fake(model=Model(http_loss=0.02))

    async def main(network):
        paths = await two_paths(network)
        failed = 0
        for _ in range(300):
            try:
                await network.request(off_the(paths, fake), [r.Info()])
            except RequestFailed:
                failed += 1
        return failed, {path.guard for path in paths}, {path.guard for path in await two_paths(network)}

    failed, before, after = fake.run(main)
    assert failed == 0
    assert before & after


def test_a_node_whose_listed_key_is_none_cannot_be_asked(fake):
    async def main(network):
        await two_paths(network)
        with pytest.raises(RequestFailed):
            await network.request(dataclasses.replace(fake.nodes[3].record, x25519=bytes(32)), [r.Info()])

    fake.run(main)
    assert fake.nodes[3].served == []


def test_what_is_too_large_for_a_node_is_not_sent(fake):
    async def main(network):
        await two_paths(network)
        with pytest.raises(TooManyRequests, match="10 MiB"):
            await network.call_server(FILES, server_v4.ServerRequest("POST", "/file", body=bytes(11 * 1024 * 1024)))

    fake.run(main)
    assert all(len(body) < 2000 for _, _, _, body in fake.contacted)  # nothing but tests of guards


def test_the_trace_pairs_requests_with_answers(fake):
    async def main(network):
        await network.request(fake.nodes[3].record, [r.Info(), r.Info()])

    fake.run(main)
    (sent,), (answered,) = fake.of_kind(RequestSent), fake.of_kind(RequestAnswered)
    assert (sent.destination, sent.what) == ("10.1.3.1:22021", ("info", "info"))
    assert (answered.number, answered.path, answered.failure) == (sent.number, sent.path, None)
    assert 60 < answered.elapsed_ms < 2000


# ---- servers

SERVER = Ed25519KeyPair.from_seed(b"server".ljust(32))
FILES = onion.ServerDestination("files.test", SERVER.to_x25519().public)
ASK = server_v4.ServerRequest("GET", "/version")


def call(fake):
    async def main(network):
        await two_paths(network)
        return await network.call_server(FILES, ASK)

    return fake.run(main)


@pytest.mark.parametrize("code", [200, 404, 500])
def test_a_server_answers_through_the_network_whatever_its_code(fake, server_reply, code):
    relayed = []

    def outside(request):
        relayed.append(request)
        response = server_v4.ServerResponse(code, {"Content-Type": "text/plain"}, b"12")
        return HttpResponse(200, {}, server_reply(SERVER, request, response))

    fake.outside = outside
    assert call(fake) == server_v4.ServerResponse(code, {"content-type": "text/plain"}, b"12")
    assert (relayed[0].host, relayed[0].port, relayed[0].target) == ("files.test", 443, "/oxen/v4/lsrpc")
    assert len(relayed) == 1


@pytest.mark.parametrize(
    ("reply", "failure", "attempts"),
    [
        (HttpResponse(502, {}, b"Could not resolve host"), Failure.SERVER_UNREACHABLE, 3),
        (HttpResponse(500, {}, b"502 Bad Gateway\n\nnginx"), Failure.SERVER_UNREACHABLE, 3),
        (HttpResponse(404, {}, b"nothing here"), Failure.SERVER_NOT_FOUND, 1),
    ],
)
def test_a_server_that_fails_is_not_the_paths_fault(fake, reply, failure, attempts):
    fake.outside = lambda _request: reply

    async def main(network):
        paths = await two_paths(network)
        for _ in range(4):
            with pytest.raises(RequestFailed) as caught:
                await network.call_server(FILES, ASK)
        return caught.value.failure, network.status.paths == paths

    assert fake.run(main) == (failure, True)
    assert len(fake.of_kind(RequestSent)) == 4 * attempts
    assert fake.of_kind(NodeDropped) == []
