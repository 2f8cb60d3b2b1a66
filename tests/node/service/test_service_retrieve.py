"""retrieve and get_expiries: storage-rpc.md §4 and its corrections."""

import base64

import pytest

from ramson.protocol.storage import GetExpiries, Retrieve

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN = "A" * 43
UNSIGNED = (401, "retrieve: request signature required")
NO_SIGNATURE = (400, "invalid request: Required field 'signature' missing")


async def fill(network, account, count, size=20, namespace=0):
    return [await network.store(account, b"%04d".ljust(size) % i, namespace) for i in range(count)]


def retrieve(network, account, **changes):
    return account.sign(Retrieve(account=account.raw, timestamp=network.now, **changes))


async def test_messages_come_back_as_they_were_stored(network, alice):
    name = await network.store(alice, bytes(range(256)))
    status, document = await network.ask(retrieve(network, alice))
    assert status == 200
    assert document == {
        "messages": [
            {
                "hash": name,
                "timestamp": network.now,
                "expiration": network.now + 86_400_000,
                "data": base64.b64encode(bytes(range(256))).decode(),
            }
        ],
        "more": False,
        "t": network.now,
        "hf": [19, 4],
    }


async def test_an_empty_mailbox_is_no_error(network, alice):
    reply = await network.ok(retrieve(network, alice))
    assert (reply.messages, reply.more) == ((), False)


async def test_pages(network, alice):
    names = await fill(network, alice, 5)

    async def page(**changes):
        reply = await network.ok(retrieve(network, alice, **changes))
        return [message.hash for message in reply.messages], reply.more

    assert await page(max_count=2) == (names[:2], True)
    assert await page(max_count=2, last_hash=names[1]) == (names[2:4], True)
    assert await page(max_count=2, last_hash=names[3]) == (names[4:], False)
    assert await page(last_hash=UNKNOWN) == (names, False)
    assert await page(max_count=5) == (names, False)
    assert await page(max_size=1) == (names[:1], True)


async def test_size_limits(network, alice):
    names = await fill(network, alice, 16, size=75_000)  # 100,143 each

    async def count(**changes):
        return len((await network.ok(retrieve(network, alice, **changes))).messages)

    assert await count() == await count(max_size=-5) == 15
    assert await count(max_count=100) == await count(max_size=-1) == len(names)
    assert await count(max_size=3 * 100_143) == 3
    assert await count(max_size=3 * 100_143 - 1) == 2
    assert await count(max_size=10**12) == len(names)
    assert await count(max_size=-(2**63)) == 1


@pytest.mark.parametrize("name", ["max_count", "max_size"])
async def test_zero_is_unset(network, alice, name):
    names = await fill(network, alice, 2)
    params = {**retrieve(network, alice).to_json_params(), name: 0}
    _, document = await network.post("retrieve", params)
    assert [message["hash"] for message in document["messages"]] == names


async def test_a_negative_count_is_refused(network, alice):
    status, text = await network.post("retrieve", {**retrieve(network, alice).to_json_params(), "max_count": -1})
    assert status == 400
    assert text.startswith("invalid request: Invalid value for 'max_count'")


# ---- who may read


async def test_nothing_given_is_401(network, alice):
    assert await network.post("retrieve", {"pubkey": alice.id}) == UNSIGNED
    assert await network.post("retrieve", {"pubkey": alice.id, "subaccount": ""}) == UNSIGNED


@pytest.mark.parametrize("namespace", [0, 5, -20, -11])
async def test_a_private_namespace_makes_the_signature_mandatory(network, alice, namespace):
    assert await network.post("retrieve", {"pubkey": alice.id, "namespace": namespace}) == NO_SIGNATURE


@pytest.mark.parametrize("given", [{"timestamp": 1_700_000_000_000}, {"pubkey_ed25519": "ab" * 32}])
@pytest.mark.parametrize("namespace", [{}, {"namespace": -10}])
async def test_half_an_authentication_makes_the_signature_mandatory(network, alice, given, namespace):
    assert await network.post("retrieve", {"pubkey": alice.id, **namespace, **given}) == NO_SIGNATURE


async def test_a_signature_needs_its_time(network, alice):
    params = retrieve(network, alice).to_json_params()
    del params["timestamp"]
    status, text = await network.post("retrieve", params)
    assert (status, text) == (400, "invalid request: Required field 'timestamp' missing")


@pytest.mark.parametrize("namespace", [-10, -1, -21, -41])
async def test_public_namespaces_need_no_signature_but_check_one(network, alice, namespace):
    name = await network.store(alice, b"open", namespace)
    status, document = await network.post("retrieve", {"pubkey": alice.id, "namespace": namespace})
    assert status == 200
    assert [message["hash"] for message in document["messages"]] == [name]
    request = retrieve(network, alice, namespace=namespace)
    assert (await network.ask(request))[0] == 200
    forged = {**request.to_json_params(), "signature": "A" * 86}
    assert await network.post("retrieve", forged) == (401, "retrieve signature verification failed")


async def test_a_signature_is_for_one_namespace_and_time(network, alice):
    params = retrieve(network, alice, namespace=2).to_json_params()
    refused = (401, "retrieve signature verification failed")
    assert await network.post("retrieve", {**params, "namespace": 3}) == refused
    assert await network.post("retrieve", {**params, "timestamp": network.now + 1}) == refused


@pytest.mark.parametrize(("off", "fine"), [(-60_000, True), (60_000, True), (-60_001, False), (60_001, False)])
async def test_signed_time(network, alice, off, fine):
    request = alice.sign(Retrieve(account=alice.raw, timestamp=network.now + off))
    status, text = await network.ask(request)
    assert status == 200 if fine else (status, text) == (406, "retrieve timestamp too far from current time")


async def test_both_spellings_are_refused(network, alice):
    params = {**retrieve(network, alice).to_json_params(), "last_hash": UNKNOWN, "lastHash": UNKNOWN}
    status, text = await network.post("retrieve", params)
    assert (status, text) == (400, "invalid request: Cannot specify both 'last_hash' and 'lastHash'")
    status, text = await network.post("retrieve", {"pubkey": alice.id, "pubKey": alice.id})
    assert (status, text) == (400, "invalid request: Cannot specify both 'pubkey' and 'pubKey'")


async def test_strangers_are_told_the_right_swarm(network, alice):
    status, document = await network.ask(retrieve(network, alice), member=3)
    assert status == 421
    assert document["swarm"] == "1000"
    assert {node["pubkey_ed25519"] for node in document["snodes"]} == {member.name for member in network.home}


# ---- get_expiries


async def test_expiries_of_known_messages(network, alice):
    name = await network.store(alice, namespace=5)
    request = alice.sign(GetExpiries(account=alice.raw, messages=(name, UNKNOWN), timestamp=network.now))
    assert await network.ask(request) == (200, {"expiries": {name: network.now + 86_400_000}})


async def test_all_is_looked_up_like_a_hash(network, alice):
    await network.store(alice)
    request = alice.sign(GetExpiries(account=alice.raw, messages=("all",), timestamp=network.now))
    assert await network.post("get_expiries", {**request.to_json_params(), "messages": "all"}) == (
        200,
        {"expiries": {}},
    )
