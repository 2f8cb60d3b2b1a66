"""Whatever a stranger sends, the service answers with a documented status: thousands of mutated requests.

Requests start out valid, in JSON or bencode, and are then damaged: values replaced, removed, wrapped, spelled
otherwise, and finally single bytes.  Nothing may raise, hang, or come back as an internal error.
"""

import asyncio
import json
import random
from collections.abc import Awaitable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ramson.node.outcome import Outcome
from ramson.protocol import bt, storage
from ramson.protocol.storage import to_json
from ramson.protocol.storage.json_document import decode_json

DOCUMENTED = {200, 400, 401, 403, 404, 406, 421}
UNKNOWN = "A" * 43


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def network(runner, tmp_path_factory, make_network):
    network = make_network(tmp_path_factory.mktemp("fuzz"))

    async def open_it():
        network.open()

    runner.run(open_it())
    yield network
    runner.run(network.close())


@pytest.fixture(scope="module")
def samples(network):
    """One valid request of each method that is about an account, or holds others."""
    person, group = network.person(), network.group()
    now = network.now
    token = group.token(7)
    about = [
        network.message(person),
        person.sign(network.message(person, namespace=5)),
        token.sign(network.message(group, namespace=-1)),
        person.sign(storage.Retrieve(account=person.raw, timestamp=now, last_hash=UNKNOWN, max_count=3, max_size=-5)),
        token.sign(storage.Retrieve(account=group.raw, timestamp=now, namespace=11)),
        person.sign(storage.Delete(account=person.raw, messages=(UNKNOWN,), required=True)),
        person.sign(storage.DeleteAll(account=person.raw, timestamp=now, namespace=None)),
        person.sign(storage.DeleteBefore(account=person.raw, before=now)),
        person.sign(storage.ExpireAll(account=person.raw, expiry=now)),
        token.sign(storage.Expire(account=group.raw, messages=(UNKNOWN, UNKNOWN), expiry=(now, now), extend=True)),
        person.sign(storage.GetExpiries(account=person.raw, messages=(UNKNOWN,), timestamp=now)),
        group.sign(storage.RevokeSubaccount(account=group.raw, tokens=(bytes(36),), timestamp=now)),
        group.sign(storage.UnrevokeSubaccount(account=group.raw, tokens=(bytes(36),), timestamp=now)),
    ]
    others = [
        storage.Info(),
        storage.GetSwarm(account=person.raw),
        storage.OxendRequest(endpoint="ons_resolve", params={"type": 0}),
        storage.Batch(requests=(about[0], about[3])),
        storage.Sequence(requests=(about[6], storage.Info())),
        storage.IfElse(conditions=storage.Conditions(hf_at_least=(19, 0, 0)), then=storage.Info(), otherwise=about[1]),
    ]
    return about, others


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(
        ["", "all", "0", "-1", "+1", " 1", "1e5", "٣", "A" * 43, "A" * 48, "A" * 72, "A" * 86, "a" * 66, "\x00"]
    ),
    st.sampled_from(
        [0, -1, 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**9, 10**30, 1.5, -0.0, 1e300]
    ),
    st.integers(),
    st.text(max_size=100),
    st.lists(st.one_of(st.integers(), st.text(max_size=50), st.none()), max_size=4),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)
NAMES = [
    "pubkey",
    "pubKey",
    "signature",
    "pubkey_ed25519",
    "subaccount",
    "subaccount_sig",
    "namespace",
    "timestamp",
    "ttl",
]
NAMES += [
    "expiry",
    "data",
    "messages",
    "last_hash",
    "lastHash",
    "max_count",
    "max_size",
    "required",
    "before",
    "shorten",
]
NAMES += ["extend", "revoke", "unrevoke", "requests", "if", "then", "else", "endpoint", "params", "sig_timestamp"]


def damage(draw, document):
    """Change one to four things of a params object."""
    document = dict(document)
    for _ in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from([*document, *NAMES] if document else NAMES))
        how = draw(st.sampled_from(["replace", "remove", "wrap", "text", "twice"]))
        if how == "replace":
            document[name] = draw(ODD)
        elif how == "remove":
            document.pop(name, None)
        elif name in document:
            value = document[name]
            document[name] = [value] if how == "wrap" else str(value) if how == "text" else [value, value]
    return document


def answered(runner, outcome):
    """Wait for an outcome, if need be."""

    async def wait():
        return await outcome

    return runner.run(wait()) if isinstance(outcome, Awaitable) else outcome


relaxed = settings(
    max_examples=800,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@relaxed
@given(data=st.data())
def test_damaged_json(data, runner, network, samples):
    about, others = samples
    request = data.draw(st.sampled_from([*about, *about, *others]))
    document = to_json(request)
    document["params"] = damage(data.draw, document["params"])
    body = json.dumps(document, ensure_ascii=data.draw(st.booleans())).encode("utf-8", "surrogatepass")
    outcome = answered(runner, network.home[0].service.handle_json(body))
    assert isinstance(outcome, Outcome)
    assert outcome.status in DOCUMENTED, (body, outcome)
    if outcome.is_json:
        decode_json(outcome.body)
    else:
        outcome.body.decode()


@relaxed
@given(data=st.data())
def test_damaged_bytes_of_json(data, runner, network, samples):
    about, others = samples
    body = bytearray(json.dumps(to_json(data.draw(st.sampled_from([*about, *others])))).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] = data.draw(st.sampled_from(b'[]{}",:0-9eE\\u\x00\xff\xc3 ntf'))
    outcome = answered(runner, network.home[0].service.handle_json(bytes(body)))
    assert outcome.status in DOCUMENTED, (bytes(body), outcome)


def bencodable(value):
    """What bencode can hold of a damaged value."""
    if isinstance(value, dict):
        return {key: bencodable(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [bencodable(member) for member in value if member is not None]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return 2**64 - 1
    return repr(value) if isinstance(value, float) else value


@relaxed
@given(data=st.data())
def test_damaged_bencode(data, runner, network, samples):
    about, others = samples
    request = data.draw(st.sampled_from([*about, *about, *others]))
    params = request.to_bt() if request in about else request.to_json_params()
    body = bt.encode(bencodable(damage(data.draw, params)))
    service = network.home[0].service
    method = request.method.name
    parts = answered(runner, service.handle_omq(method, [body]))
    assert len(parts) in {1, 2}
    assert len(parts) == 1 or int(parts[0]) in DOCUMENTED, (body, parts)
    forwarded = answered(runner, service.handle_forwarded([method.encode(), body]))
    assert forwarded is None or len(forwarded) == 1 or int(forwarded[0]) in DOCUMENTED, (body, forwarded)


@relaxed
@given(data=st.data())
def test_damaged_bytes_of_bencode(data, runner, network, samples):
    about, _ = samples
    request = data.draw(st.sampled_from(about))
    body = bytearray(bt.encode(request.to_bt()))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    parts = answered(runner, network.home[0].service.handle_omq(request.method.name, [bytes(body)]))
    # A dict that cannot be read is the reference server's 500.
    assert len(parts) == 1 or int(parts[0]) in DOCUMENTED or parts == [b"500", b"request failed"], (body, parts)


def test_random_bytes_as_bodies(runner, network):
    rng = random.Random(7)
    service = network.home[0].service
    for _ in range(3000):
        noise = rng.randbytes(rng.randrange(40))
        assert service.handle_json(noise).status == 400
        assert answered(runner, service.handle_omq("store", [noise]))[0] in {b"400", b"500"}
        answered(runner, service.handle_forwarded([noise[:5], noise]))
        answered(runner, network.home[0].monitor.subscribe(None, [noise]))
