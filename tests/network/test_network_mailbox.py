"""Mailbox operations against a swarm of doubles, honest and not, in virtual time."""

import asyncio
import base64
import dataclasses

import pytest

from ramson.crypto.account import AccountKeys
from ramson.crypto.hashing import message_hash
from ramson.crypto.keys import Ed25519KeyPair
from ramson.network import (
    CannotStore,
    ClockSkew,
    Failure,
    NotAuthorised,
    RequestFailed,
    SwarmUnavailable,
    TooManyRequests,
)
from ramson.network.mailbox import MAX_PAGES, max_size
from ramson.network.trace import NodeDropped, RequestSent
from ramson.protocol import storage as r
from ramson.protocol import strict_json

KEYS = AccountKeys.from_entropy(b"sixteen bytes ok")
ACCOUNT = KEYS.id.raw
DAY = 86_400_000
STAMP = {"t": 1_750_000_000_000, "hf": [19, 4]}


def swarm_of(fake):
    return fake.swarm(ACCOUNT)


def only_to(method, answer):
    """Let a node say something of its own when asked for `method`."""
    return lambda request: answer(request) if request.method.name == method else None


def asked(fake, method):
    return [each for each in fake.nodes for name in each.served if name == method]


async def store(network):
    return await network.store(KEYS.id, b"hello", ttl_ms=DAY)


# ---- store


def test_a_message_is_stored_by_the_whole_swarm(fake):
    receipt = fake.run(store)
    assert receipt.hash == message_hash(ACCOUNT, 0, b"hello")
    assert {node.ed25519 for node in receipt.stored_by} == {each.keys.public for each in swarm_of(fake)}
    assert receipt.failed == ()
    assert receipt.path in {event.path for event in fake.of_kind(RequestSent)}
    assert len(asked(fake, "store")) == 1


def test_members_that_failed_are_named(fake):
    lost = swarm_of(fake)[0]

    async def main(network):
        await network.swarm(KEYS.id)
        lost.silent = True
        return await store(network)

    receipt = fake.run(main)
    assert [node.ed25519 for node in receipt.failed] == [lost.keys.public]
    assert len(receipt.stored_by) == len(swarm_of(fake)) - 1


def test_namespaces_not_open_to_all_are_signed(fake):
    async def main(network):
        with pytest.raises(CannotStore, match="only the account itself"):
            await network.store(KEYS.id, b"config", ttl_ms=DAY, namespace=2)
        return await network.store(KEYS.id, b"config", ttl_ms=DAY, namespace=2, keys=KEYS)

    seen = []
    for each in fake.nodes:
        each.says = only_to("store", seen.append)
    assert fake.run(main).hash == message_hash(ACCOUNT, 2, b"config")
    (request,) = seen
    assert request.credentials.ed25519 == KEYS.ed25519.public


@pytest.mark.parametrize(
    "wishes",
    [
        {"data": bytes(76_801), "ttl_ms": DAY},
        {"data": b"x", "ttl_ms": 9_999},
        {"data": b"x", "ttl_ms": 14 * DAY + 1},
        {"data": b"x", "ttl_ms": 30 * DAY + 1, "namespace": 3, "keys": KEYS},
    ],
)
def test_what_no_node_would_take_is_not_sent(fake, wishes):
    async def main(network):
        with pytest.raises(CannotStore):
            await network.store(KEYS.id, wishes.pop("data"), **wishes)

    fake.run(main)
    assert asked(fake, "store") == []


def lies_about_a_store(fake, change):
    """Let two of five members change their store replies; the others are honest."""
    liars = swarm_of(fake)[:2]

    def lie(each):
        def answer(request):
            code, body = each.execute(request)
            return code, change(body, request, each)

        return only_to("store", answer)

    for each in liars:
        each.says = lie(each)
    return liars


def other_hash(body, request, liar):
    for report in body["swarm"].values():
        report["hash"] = message_hash(ACCOUNT, 0, b"other")
        report["signature"] = base64.b64encode(liar.keys.sign(report["hash"].encode())).decode()
    return body


def signatures_of_one(body, request, liar):
    name = message_hash(ACCOUNT, 0, b"hello")
    signature = base64.b64encode(Ed25519KeyPair.from_seed(b"s" * 32).sign(name.encode())).decode()
    for report in body["swarm"].values():
        report["signature"] = signature
    return body


def invented_members(body, request, liar):
    name = message_hash(ACCOUNT, 0, b"hello")
    swarm = {}
    for i in range(5):
        keys = Ed25519KeyPair.from_seed(b"%032d" % i)
        signature = base64.b64encode(keys.sign(name.encode())).decode()
        swarm[keys.public.hex()] = {"hash": name, "expiry": 1, "signature": signature}
    return {**body, "swarm": swarm}


@pytest.mark.parametrize(
    "change",
    [
        other_hash,
        signatures_of_one,
        invented_members,
        lambda *_: {"hash": message_hash(ACCOUNT, 0, b"hello")},
        lambda *_: {"swarm": {}, **STAMP},
        lambda *_: {"swarm": [1, 2]},
        lambda *_: {"swarm": {"zz": 1, "": None}},
        lambda *_: "stored",
        lambda *_: None,
        lambda body, *_: {**body, "swarm": {key: {"failed": True, "query_failure": True} for key in body["swarm"]}},
        lambda *_: {"swarm": {f"{i:064x}": {} for i in range(1000)}, **STAMP},
    ],
)
def test_a_store_that_no_member_vouches_for_does_not_count(make_fake, change):
    fake = make_fake(count=25)
    lies_about_a_store(fake, change)

    async def main(network):
        return [await store(network) for _ in range(5)]

    for receipt in fake.run(main):
        assert receipt.stored_by
        assert {node.ed25519 for node in receipt.stored_by} <= {each.keys.public for each in swarm_of(fake)}


def test_if_all_members_lie_the_store_has_failed(fake):
    for each in swarm_of(fake):
        each.says = only_to("store", lambda _request: (200, {"swarm": {}, **STAMP}))

    async def main(network):
        with pytest.raises(RequestFailed, match="confirms") as caught:
            await store(network)
        return caught.value

    assert fake.run(main).failure is Failure.DESTINATION_ERROR
    assert len(set(asked(fake, "store"))) == 3


def test_one_forged_report_beside_honest_ones_only_counts_as_failed(fake):
    liars = swarm_of(fake)
    victim = liars[3].keys.public.hex()

    def forge(each):
        def answer(request):
            code, body = each.execute(request)
            body["swarm"][victim]["signature"] = body["swarm"][liars[0].keys.public.hex()]["signature"]
            return code, body

        return only_to("store", answer)

    for each in liars:
        each.says = forge(each)
    receipt = fake.run(store)
    assert [node.ed25519.hex() for node in receipt.failed] == [victim]


# ---- refusals


@pytest.mark.parametrize("code", [500, 503, 404])
def test_a_member_that_cannot_is_passed_over_while_others_can(fake, code):
    broken = swarm_of(fake)[0]
    broken.says = only_to("store", lambda _request: (code, "query failed"))

    async def main(network):
        for _ in range(30):
            await store(network)

    fake.run(main)
    assert broken.served.count("store") == 1


@pytest.mark.parametrize("code", [500, 503, 404])
def test_a_member_that_cannot_is_at_last_dropped(make_fake, code):
    fake = make_fake(count=12, swarms=12)
    (broken,) = swarm_of(fake)
    broken.says = only_to("store", lambda _request: (code, "query failed"))

    async def main(network):
        for _ in range(3):
            with pytest.raises(RequestFailed):
                await store(network)
        return {node.ed25519 for node in network.nodes}

    assert broken.keys.public not in fake.run(main)
    assert broken.keys.public in {event.node.ed25519 for event in fake.of_kind(NodeDropped)}


def test_a_signature_not_accepted_is_the_callers_affair_at_once(fake):
    for each in fake.nodes:
        each.says = only_to("retrieve", lambda _request: (401, "retrieve signature verification failed"))

    async def main(network):
        with pytest.raises(NotAuthorised):
            await network.retrieve(KEYS, [0], {})

    fake.run(main)
    assert len(asked(fake, "retrieve")) == 1


def test_a_swarm_that_has_changed_is_replaced_when_another_node_says_the_same(fake):
    old = [each for each in fake.nodes if each not in swarm_of(fake)][:5]
    named = fake.named(old)

    async def main(network):
        for each in fake.nodes:
            each.says = only_to("get_swarm", lambda _request: (200, named))
        before = await network.swarm(KEYS.id)
        for each in fake.nodes:
            each.says = None
        receipt = await store(network)
        return before, receipt, await network.swarm(KEYS.id)

    before, receipt, after = fake.run(main)
    assert {node.ed25519 for node in before} == {each.keys.public for each in old}
    assert {node.ed25519 for node in after} == {each.keys.public for each in swarm_of(fake)}
    assert receipt.stored_by
    assert len(asked(fake, "get_swarm")) == 2 + 1


def test_a_swarm_is_believed_when_two_nodes_by_two_paths_agree_on_it_and_then_remembered(fake):
    async def main(network):
        await asyncio.sleep(10)  # by then there are two paths
        for _ in range(3):
            await network.swarm(KEYS.id)

    fake.run(main)
    assert len(set(asked(fake, "get_swarm"))) == 2
    first, second = fake.of_kind(RequestSent)
    assert first.path.guard != second.path.guard


@pytest.mark.parametrize("seed", range(20))
def test_one_node_that_names_a_false_swarm_changes_nothing(make_fake, seed):
    fake = make_fake(seed=seed)
    false = fake.named([each for each in fake.nodes if each not in swarm_of(fake)][:5])
    answered = []

    def lie_at_first(_request):
        answered.append(1)
        return (200, false) if len(answered) == 1 else None

    for each in fake.nodes:
        each.says = only_to("get_swarm", lie_at_first)

    async def main(network):
        return await network.swarm(KEYS.id)

    assert {node.ed25519 for node in fake.run(main)} == {each.keys.public for each in swarm_of(fake)}
    assert len(answered) == 3


def test_a_member_that_names_a_false_swarm_when_it_refuses_is_not_believed(fake):
    liar = swarm_of(fake)[0]
    false = fake.named([each for each in fake.nodes if each not in swarm_of(fake)][:5])
    liar.says = only_to("store", lambda _request: (421, false))

    async def main(network):
        for _ in range(20):
            await store(network)
        return {node.ed25519 for node in await network.swarm(KEYS.id)}

    swarm = {each.keys.public for each in swarm_of(fake)}
    assert swarm - {liar.keys.public} <= fake.run(main) <= swarm


def test_of_three_that_all_differ_what_two_of_them_say_is_believed(fake):
    honest, stranger = swarm_of(fake), next(each for each in fake.nodes if each not in swarm_of(fake))
    views = [honest[:5], honest[1:], [*honest[:3], stranger]]

    def differ(_request):
        return (200, fake.named(views.pop()))

    for each in fake.nodes:
        each.says = only_to("get_swarm", differ)

    async def main(network):
        return {node.ed25519 for node in await network.swarm(KEYS.id)}

    assert fake.run(main) == {each.keys.public for each in honest[:5]}


def test_a_single_answer_is_not_enough_for_a_swarm(fake):
    answered = []

    def only_one(_request):
        answered.append(1)
        return None if len(answered) == 1 else (500, "no")

    for each in fake.nodes:
        each.says = only_to("get_swarm", only_one)

    async def main(network):
        with pytest.raises(SwarmUnavailable):
            await network.swarm(KEYS.id)

    fake.run(main)
    assert len(answered) == 5


def test_a_member_that_refuses_without_naming_a_swarm_leaves_it(fake):
    odd = swarm_of(fake)[0]
    odd.says = only_to("store", lambda _request: (421, "go away"))

    async def main(network):
        for _ in range(60):
            await store(network)
        return await network.swarm(KEYS.id)

    assert odd.keys.public not in {node.ed25519 for node in fake.run(main)}


def test_members_our_list_does_not_know_are_not_believed(fake):
    named = fake.named(swarm_of(fake))
    for i, each in enumerate(named["snodes"]):
        each["pubkey_ed25519"] = Ed25519KeyPair.from_seed(b"%032d" % i).public.hex()
    for each in fake.nodes:
        each.says = only_to("get_swarm", lambda _request: (200, named))

    async def main(network):
        with pytest.raises(SwarmUnavailable):
            await store(network)

    fake.run(main)


def test_a_swarm_that_contradicts_known_swarm_ids_is_not_believed(make_fake):
    fake = make_fake(count=20, swarms=2)
    wrong = [each for each in fake.nodes if each not in swarm_of(fake)]
    named = fake.named(wrong)
    for each in fake.nodes:
        each.says = only_to("get_swarm", lambda _request: (200, named))
    bundled = tuple(each.record for each in fake.nodes)

    async def main(network):
        with pytest.raises(SwarmUnavailable):
            await network.swarm(KEYS.id)

    fake.run(main, profile=dataclasses.replace(fake.profile, seeds=(), bundled=bundled))


# ---- time


def test_a_wrong_local_clock_is_corrected_by_what_nodes_say(fake):
    fake.sim.world("10.200.0.1", skew_ms=3_600_000)

    async def main(network):
        receipt = await store(network)
        return receipt.timestamp - fake.now_ms(), network.now() - fake.now_ms()

    sent, now = fake.run(main)
    assert abs(sent) < 1000
    assert abs(now) < 1000


def test_a_clock_that_jumps_is_measured_again_and_the_request_repeated(fake):
    async def main(network):
        await store(network)
        fake.sim.world("10.200.0.1", skew_ms=-7_200_000)
        receipt = await store(network)
        return receipt.timestamp - fake.now_ms()

    assert abs(fake.run(main)) < 1000


def test_a_swarm_of_one_is_asked_again_after_the_clock_was_measured(make_fake):
    fake = make_fake(count=12, swarms=12)

    async def main(network):
        await store(network)
        fake.sim.world("10.200.0.1", skew_ms=-7_200_000)
        return await store(network)

    assert len(fake.run(main).stored_by) == 1


def test_if_nodes_still_refuse_the_time_the_person_is_told(fake):
    for each in fake.nodes:
        each.says = only_to("store", lambda _request: (406, "Timestamp error: check your clock"))

    async def main(network):
        with pytest.raises(ClockSkew) as caught:
            await store(network)
        return caught.value

    assert "time" in fake.run(main).remedy
    assert len(asked(fake, "store")) == 2


# ---- retrieve


async def filled(network, count):
    for i in range(count):
        await network.store(KEYS.id, b"message %d" % i, ttl_ms=DAY)


def test_messages_come_back_page_by_page_in_order_of_arrival(fake):
    fake.page = 3

    async def main(network):
        await filled(network, 10)
        return await network.retrieve(KEYS, [0, 2], {})

    found = fake.run(main)
    assert [each.data for each in found.messages[0]] == [b"message %d" % i for i in range(10)]
    assert found.messages[2] == ()
    assert not found.more
    assert found.last == {0: message_hash(ACCOUNT, 0, b"message 9")}
    assert len(asked(fake, "retrieve")) == 2 + 3  # both namespaces, then what is left of one
    assert all(each.expiry - each.timestamp == DAY for each in found.messages[0])


def test_reading_goes_on_after_the_last_hash_of_that_node(fake):
    async def main(network):
        await filled(network, 4)
        first = await network.retrieve(KEYS, [0], {})
        await network.store(KEYS.id, b"new", ttl_ms=DAY)
        return await network.retrieve(KEYS, [0], {first.node.ed25519: first.last}, node=first.node)

    assert [each.data for each in fake.run(main).messages[0]] == [b"new"]


def test_more_pages_than_one_call_fetches_are_said_to_be_there(fake):
    fake.page = 1

    async def main(network):
        await filled(network, MAX_PAGES + 2)
        return await network.retrieve(KEYS, [0], {})

    found = fake.run(main)
    assert len(found.messages[0]) == MAX_PAGES
    assert found.more


def test_a_node_that_always_says_more_ends_nothing(fake):
    for each in fake.nodes:
        each.says = only_to("retrieve", lambda _request: (200, {"messages": [], "more": True, **STAMP}))

    async def main(network):
        return await network.retrieve(KEYS, [0], {})

    found = fake.run(main)
    assert not found.more
    assert len(asked(fake, "retrieve")) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": [], "more": False},
        {"messages": {}},
        {"messages": [1]},
        {"messages": [{}]},
        {"messages": [{"hash": "", "data": "", "timestamp": 1, "expiration": 1}]},
        {"messages": [{"hash": "h" * 43, "data": "?", "timestamp": 1, "expiration": 1}]},
        {"messages": [{"hash": "h" * 43, "data": "YQ==", "timestamp": "1", "expiration": 1}]},
        {"messages": [{"hash": "h" * 43, "data": "YQ==", "timestamp": 1}]},
        {"messages": [{"hash": "h" * 43, "data": "YQ==", "timestamp": 1, "expiration": 2**63}]},
        {"messages": [{"hash": "h" * 43, "data": "YWFh" * 25_601, "timestamp": 1, "expiration": 1}]},
        {"messages": [], "more": 1},
        "text",
        None,
    ],
)
def test_a_reply_that_makes_no_sense_is_asked_of_another_member(fake, body):
    broken = swarm_of(fake)[:2]
    for each in broken:
        each.says = only_to("retrieve", lambda _request: (200, body))

    async def main(network):
        await filled(network, 1)
        return [(await network.retrieve(KEYS, [0], {})).messages[0][0].data for _ in range(6)]

    assert set(fake.run(main)) == {b"message 0"}


def test_polling_asks_two_members_and_unites_what_they_have(fake):
    first, second = swarm_of(fake)[:2]

    def only_some(each, wanted):
        def answer(request):
            code, body = each.execute(request)
            body["messages"] = [body["messages"][i] for i in wanted]
            return code, body

        return only_to("retrieve", answer)

    first.says, second.says = only_some(first, [0, 1]), only_some(second, [1, 2])
    for each in swarm_of(fake)[2:]:
        each.says = only_to("get_swarm", lambda _request: None)

    async def main(network):
        await filled(network, 3)
        seen = set()
        for _ in range(40):
            polled = await network.poll(KEYS, [0], {})
            assert len({answer.node for answer in polled.answers}) == 2
            seen.add(tuple(each.data for each in polled.messages[0]))
        return seen

    assert (b"message 0", b"message 1", b"message 2") in fake.run(main)


def test_the_same_message_under_two_names_is_one(fake):
    liar = swarm_of(fake)[0]

    def rename(request):
        code, body = liar.execute(request)
        for each in body["messages"]:
            each["hash"] = "x" * 43
        return code, body

    liar.says = only_to("retrieve", rename)

    async def main(network):
        await filled(network, 2)
        return [len((await network.poll(KEYS, [0], {})).messages[0]) for _ in range(20)]

    assert set(fake.run(main)) == {2}


def test_one_answer_to_a_poll_is_enough_and_none_is_an_error(fake):
    for each in swarm_of(fake)[1:]:
        each.says = only_to("retrieve", lambda _request: (500, "query failed"))

    async def main(network):
        await filled(network, 1)
        outcomes = set()
        for _ in range(3):
            try:
                outcomes.add(len((await network.poll(KEYS, [0], {})).answers))
            except RequestFailed:
                outcomes.add(0)
        return outcomes

    assert fake.run(main) <= {0, 1}


@pytest.mark.parametrize(
    ("namespaces", "sizes"),
    [([0], [0]), ([0, 2, 3, 5, 4], [-2, -8, -8, -8, -8]), ([2, 3], [-2, -2]), ([0, 11], [-2, -2])],
)
def test_namespaces_share_one_reply(namespaces, sizes):
    assert [max_size(each, namespaces) for each in namespaces] == sizes
    assert sum(1 / -size for size in sizes if size) <= 1


# ---- delete, expire


def test_messages_are_deleted(fake):
    async def main(network):
        receipt = await store(network)
        done = await network.delete(KEYS, [receipt.hash, message_hash(ACCOUNT, 0, b"never")])
        return receipt, done, await network.retrieve(KEYS, [0], {})

    receipt, done, found = fake.run(main)
    assert done.deleted == {receipt.hash}
    assert len(done.deleted_by) == len(swarm_of(fake))
    assert found.messages[0] == ()


def test_expiries_are_changed_and_what_is_missing_is_gone(fake):
    never = message_hash(ACCOUNT, 0, b"never")

    async def main(network):
        receipt = await store(network)
        wanted = network.now() + 2 * DAY
        done = await network.expire(KEYS, [receipt.hash, never], wanted, extend=True)
        return receipt, wanted, done, await network.get_expiries(KEYS, [receipt.hash, never])

    receipt, wanted, done, known = fake.run(main)
    assert done.expiries == known == {receipt.hash: wanted}
    assert len(done.changed_by) == len(swarm_of(fake))


def test_a_deletion_nobody_signs_for_has_failed(fake):
    for each in fake.nodes:
        each.says = only_to("delete", lambda _request: (200, {"swarm": {}, **STAMP}))

    async def main(network):
        with pytest.raises(RequestFailed, match="confirms"):
            await network.delete(KEYS, [message_hash(ACCOUNT, 0, b"x")])

    fake.run(main)


# ---- raw batches


def test_a_batch_gives_its_results_in_order_good_and_bad(fake):
    stranger = next(each for each in fake.nodes if each not in swarm_of(fake))

    async def main(network):
        foreign = r.Store(account=ACCOUNT, data=b"x", timestamp=network.now(), expiry=network.now() + DAY)
        return await network.request(stranger.record, [r.Info(), foreign])

    info, refused = fake.run(main)
    assert (info.code, info.body["version"]) == (200, [2, 8, 0])
    assert refused.code == 421


@pytest.mark.parametrize("count", [0, 21])
def test_a_batch_has_one_to_twenty_requests(fake, count):
    async def main(network):
        with pytest.raises(TooManyRequests):
            await network.request(fake.nodes[0].record, [r.Info()] * count)

    fake.run(main)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"results":{}}', b'{"results":[]}', b'{"results":[{}]}', b'{"results":[{"code":"200"}]}'],
)
def test_results_that_make_no_sense_cost_the_destination(fake, body):
    target = fake.nodes[5]
    target.serve = lambda _payload: (200, body)

    async def main(network):
        for _ in range(3):
            with pytest.raises(RequestFailed):
                await network.request(target.record, [r.Info()])
        return {node.ed25519 for node in network.nodes}

    assert target.keys.public not in fake.run(main)


def test_an_oxen_server_error_costs_nobody_anything(fake):
    target = fake.nodes[5]
    target.serve = lambda _payload: (500, strict_json.encode("Oxen Server error")[1:-1])

    async def main(network):
        for _ in range(5):
            with pytest.raises(RequestFailed) as caught:
                await network.request(target.record, [r.Info()])
        return caught.value.failure, {node.ed25519 for node in network.nodes}

    failure, left = fake.run(main)
    assert failure is Failure.OXEN_SERVER_ERROR
    assert target.keys.public in left
