"""Methods batch, sequence, ifelse, and oxend_request, get_swarm, info: forms and refusals."""

import itertools
import json

import pytest
from sntest.helpers import UNKNOWN, hashes, refused, sub, without
from sntest.keys import DAY, now
from sntest.swarm import swarm_for

INFO = sub("info")
INVALID = "invalid request: "
NO_REQUESTS = 'invalid request: Invalid batch request: no valid "requests" field'
BOTH = pytest.mark.parametrize("method", ["batch", "sequence"])


def reqs(*r):
    return {"requests": list(r)}


def codes(reply):
    return [x["code"] for x in reply["results"]]


@BOTH
@pytest.mark.parametrize(
    "params",
    [
        {},
        reqs(),
        {"requests": None},
        {"requests": {}},
        {"requests": INFO},
        {"requests": "x"},
        {"requests": 5},
        {"Requests": [INFO]},
    ],
)
def test_no_valid_requests(a, method, params):
    """CORRECTIONS, §4 batch: an empty list, and no scalar for a list."""
    refused(a.rpc(method, params), 400, NO_REQUESTS)


def test_scalar_request(a):
    """CORRECTIONS, §4 batch: `requests` is not subject to scalar-for-list."""
    refused(a.rpc("batch", {"requests": INFO}), 400, NO_REQUESTS)


@BOTH
@pytest.mark.parametrize(
    "bad",
    [
        5,
        "info",
        None,
        [],
        {},
        {"method": "info"},
        {"params": {}},
        {"method": 5, "params": {}},
        {"method": "info", "params": []},
        {"method": "info", "params": None},
    ],
)
def test_malformed_subrequests(a, alice, method, bad):
    """CORRECTIONS, §4 batch: one bad subrequest refuses the whole, and nothing is done."""
    refused(a.rpc(method, reqs(sub("store", alice.store(b"x")), bad)), 400, starts=INVALID)
    assert hashes(a, alice) == []


def bad_parameters(acct):
    e = now() + DAY
    return {
        "unknown method": sub("zz"),
        "empty name": sub(""),
        "missing field": sub("store", without(acct.store(b"x"), "data")),
        "malformed pubkey": sub("get_swarm", {"pubkey": "zz"}),
        "missing signature": sub("delete", without(acct.delete([UNKNOWN]), "signature")),
        "malformed hash": sub("delete", acct.delete(["x"])),
        "malformed number": sub("expire_all", acct.expire_all(5)),
        "both": sub("store", acct.store(b"x", expiry=e)),
        "huge": sub("store", acct.store(bytes(76_801))),
        "endpoint": sub("oxend_request", {"endpoint": "zz"}),
        "namespace": sub("retrieve", acct.retrieve(ns=99_999)),
        "unsigned private retrieve": sub("retrieve", {"pubkey": acct.id, "namespace": 5}),
        "batch": sub("batch", reqs(INFO)),
        "sequence": sub("sequence", reqs(INFO)),
        "ifelse": sub("ifelse", {"if": {"hf_at_least": [1]}, "then": INFO}),
    }


BAD = [
    "unknown method",
    "empty name",
    "missing field",
    "malformed pubkey",
    "missing signature",
    "malformed hash",
    "malformed number",
    "both",
    "huge",
    "endpoint",
    "namespace",
    "unsigned private retrieve",
    "batch",
    "sequence",
    "ifelse",
]


@BOTH
@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("place", [0, 1])
def test_bad_parameters_refuse_the_whole_batch(a, alice, method, what, place):
    """CORRECTIONS, §4 batch: all are parsed first; any refusal of parsing is 400 and nothing is executed."""
    bad = bad_parameters(alice)[what]
    rs = [sub("store", alice.store(b"x"))]
    rs.insert(place, bad)
    refused(a.rpc(method, reqs(*rs)), 400, starts=INVALID)
    assert hashes(a, alice) == []


def test_failures_of_execution_become_results(a, net, alice, foreigner):
    """CORRECTIONS, §4 batch: 401, 403, 404, 406, 421 are results; text bodies are strings, others objects."""
    r = a.ok(
        "batch",
        reqs(
            sub("retrieve", {"pubkey": alice.id}),
            sub("store", alice.store(b"x", ttl=5)),
            sub("delete", alice.delete([UNKNOWN], required=True)),
            sub("retrieve", alice.retrieve(ts=now() - 70_000)),
            sub("store", foreigner.store(b"x")),
            sub("store", alice.store(b"y")),
        ),
    )
    assert codes(r) == [401, 403, 404, 406, 421, 200]
    bodies = [x["body"] for x in r["results"]]
    assert bodies[:2] == ["retrieve: request signature required", "Provided expiry/TTL is not valid."]
    assert set(bodies[2]) == {"swarm", "t", "hf"}
    assert bodies[3] == "retrieve timestamp too far from current time"
    assert bodies[4]["swarm"] == f"{net.other:x}"
    assert bodies[5]["hash"] == alice.hash(b"y")


@pytest.mark.parametrize("failure", ["401", "403", "404", "406", "421", "oxend 400"])
def test_sequence_stops_at_any_failure(a, alice, foreigner, failure):
    """storage-rpc §4 sequence: stops after the first non-2xx, included."""
    bad = {
        "401": sub("retrieve", {"pubkey": alice.id}),
        "403": sub("store", alice.store(b"x", ttl=5)),
        "404": sub("delete", alice.delete([UNKNOWN], required=True)),
        "406": sub("retrieve", alice.retrieve(ts=now() - 70_000)),
        "421": sub("retrieve", foreigner.retrieve()),
        "oxend 400": sub("oxend_request", {"endpoint": "ons_resolve", "params": {"type": 0}}),
    }[failure]
    r = a.ok("sequence", reqs(INFO, bad, sub("store", alice.store(b"never"))))
    assert codes(r) == [200, int(failure[-3:])]
    assert hashes(a, alice) == []


@BOTH
def test_twenty_of_everything(a, alice, method):
    """storage-rpc §4 batch: 20 stores, then 20 retrieves."""
    r = a.ok(method, reqs(*[sub("store", alice.store(b"%d" % i)) for i in range(20)]))
    assert codes(r) == [200] * 20
    assert [x["body"]["hash"] for x in r["results"]] == [alice.hash(b"%d" % i) for i in range(20)]
    r = a.ok(method, reqs(*[sub("retrieve", alice.retrieve(max_count=1)) for _ in range(20)]))
    assert codes(r) == [200] * 20
    assert set(r) == {"results"}


@BOTH
def test_keys_beside_are_ignored(a, method):
    """storage-rpc §2: unknown keys, outside and inside."""
    r = a.ok(method, {"requests": [{**INFO, "zz": 1}], "zz": 1, "method": "x"})
    assert codes(r) == [200]


def test_alias_inside(a, alice):
    """storage-rpc §4: aliases of methods inside a batch."""
    r = a.ok("batch", reqs(sub("get_snodes_for_pubkey", {"pubKey": alice.id})))
    assert r["results"][0]["body"]["snodes"]


# ---- ifelse


def ifelse(node, cond, **branches):
    return node.ok("ifelse", {"if": cond, **branches})


@pytest.mark.parametrize(
    ("cond", "want"),
    [
        ({"hf_at_least": 19}, True),
        ({"hf_at_least": 20}, False),
        ({"hf_before": 20}, True),
        ({"hf_before": 19}, False),
        ({"hf_at_least": [19, 4, 0]}, True),
        ({"hf_at_least": [19, 3, 99]}, True),
        ({"hf_at_least": [19, 4, 1]}, False),
        ({"hf_before": [19, 4, 1]}, True),
        ({"hf_before": [19, 4, 0]}, False),
        ({"hf_at_least": [19, 0]}, True),
        ({"hf_at_least": [0]}, True),
        ({"v_at_least": 1}, True),
        ({"v_at_least": [1, 0]}, True),
        ({"v_at_least": [2, 8, 0]}, True),
        ({"v_before": 1000}, True),
        ({"v_before": [2]}, False),
        ({"v_before": [2, 8, 0]}, False),
        ({"v_before": [2, 8, 1]}, True),
        ({"v_at_least": [2, 8, 1]}, False),
        ({"height_at_least": 0, "height_before": 0}, False),
        ({"hf_at_least": [1], "zz": 5}, True),
        ({"hf_at_least": [1], "hf_before": None}, True),
    ],
)
def test_ifelse_forms(net, a, cond, want):
    """CORRECTIONS, §4 ifelse: a bare integer for a list, three numbers for hf too; unknown ones beside are ignored."""
    if net.hardfork != [19, 4] or a.ok("info")["version"] != [2, 8, 0]:
        pytest.skip("made for hardfork 19.4 and version 2.8.0")
    assert ifelse(a, cond, then=INFO)["condition"] is want


@pytest.mark.parametrize(
    "cond",
    [
        None,
        [],
        "x",
        5,
        True,
        {},
        {"zz": 1},
        {"hf_at_least": "19"},
        {"hf_at_least": ["19"]},
        {"hf_at_least": [1.5]},
        {"hf_at_least": {}},
        {"v_before": "2.8.0"},
        {"height_before": "5"},
        {"height_at_least": [1]},
        {"hf_at_least": None},
    ],
)
def test_ifelse_malformed_conditions(a, cond):
    """storage-rpc §4 ifelse, CORRECTIONS: at least one known condition; unknown ones alone are 400."""
    refused(a.rpc("ifelse", {"if": cond, "then": INFO}), 400, starts=INVALID)


@pytest.mark.parametrize("what", [w for w in BAD if w not in {"batch", "sequence", "ifelse"}])
@pytest.mark.parametrize("taken", [False, True])
def test_ifelse_untaken_branch_is_parsed(a, alice, what, taken):
    """CORRECTIONS, §4 ifelse: both branches are parsed."""
    bad = bad_parameters(alice)[what]
    good = sub("store", alice.store(b"x"))
    p = {"if": {"hf_at_least": [1]}, "then": bad if taken else good, "else": good if taken else bad}
    refused(a.rpc("ifelse", p), 400, starts=INVALID)
    assert hashes(a, alice) == []


@pytest.mark.parametrize("branch", [5, "info", [], {}, {"method": "info"}, {"params": {}}, [INFO]])
@pytest.mark.parametrize("name", ["then", "else"])
def test_ifelse_malformed_branches(a, name, branch):
    """storage-rpc §4 ifelse: a branch is a request."""
    p = {"if": {"hf_at_least": [1]}, "then": INFO, "else": INFO, name: branch}
    refused(a.rpc("ifelse", p), 400, starts=INVALID)


def test_ifelse_null_branch_is_absent(a):
    """storage-rpc §2: null = absent."""
    r = a.ok("ifelse", {"if": {"hf_at_least": [1]}, "then": None, "else": INFO})
    assert r["condition"] is True
    assert "result" not in r
    refused(a.rpc("ifelse", {"if": {"hf_at_least": [1]}, "then": None, "else": None}), 400, starts=INVALID)


def test_ifelse_result_of_a_failure(a, alice, foreigner):
    """storage-rpc §4 ifelse: the status is 200, the result has its own code."""
    r = ifelse(a, {"hf_at_least": [1]}, then=sub("retrieve", {"pubkey": alice.id}))
    assert r["result"] == {"code": 401, "body": "retrieve: request signature required"}
    assert ifelse(a, {"hf_at_least": [1]}, then=sub("retrieve", foreigner.retrieve()))["result"]["code"] == 421


@pytest.mark.parametrize("meta", ["batch", "sequence"])
def test_ifelse_with_many_inside(a, alice, meta):
    """CORRECTIONS, §4 ifelse: batch and sequence inside."""
    inner = sub(meta, reqs(sub("store", alice.store(b"x")), sub("retrieve", {"pubkey": alice.id}), INFO))
    r = ifelse(a, {"hf_before": [1]}, **{"else": inner})
    assert codes(r["result"]["body"]) == ([200, 401, 200] if meta == "batch" else [200, 401])
    assert hashes(a, alice) == [alice.hash(b"x")]


def test_ifelse_nested_ten_deep(a):
    """storage-rpc §4 ifelse: nested ifelse is allowed."""
    p = INFO
    for _ in range(10):
        p = sub("ifelse", {"if": {"hf_at_least": [1]}, "then": p})
    r = a.ok(p["method"], p["params"])
    for _ in range(9):
        r = r["result"]["body"]
    assert "version" in r["result"]["body"]


def test_batch_inside_ifelse_keeps_its_rules(a):
    """storage-rpc §4: no meta-methods inside a batch, wherever that is."""
    inner = sub("batch", reqs(sub("ifelse", {"if": {"hf_at_least": [1]}, "then": INFO})))
    refused(a.rpc("ifelse", {"if": {"hf_at_least": [1]}, "then": inner}), 400, starts=INVALID)
    refused(
        a.rpc("ifelse", {"if": {"hf_at_least": [1]}, "then": sub("batch", reqs(*[INFO] * 21))}), 400, starts=INVALID
    )


# ---- info, get_swarm


@pytest.mark.parametrize("params", [{}, {"zz": 1}, {"pubkey": "zz"}])
def test_info_takes_nothing(a, params):
    """storage-rpc §4 info: no parameters."""
    assert set(a.ok("info", params)) == {"version", "timestamp", "t", "hf"}


@pytest.mark.parametrize("bad", ["", "05", "zz" * 33, "0" * 65, "05" * 34, 5, [], {}, True])
@pytest.mark.parametrize("key", ["pubkey", "pubKey"])
@pytest.mark.parametrize("method", ["get_swarm", "get_snodes_for_pubkey"])
def test_get_swarm_malformed(a, method, key, bad):
    """storage-rpc §2: 66 hex digits."""
    refused(a.rpc(method, {key: bad}), 400, starts=INVALID)


def test_get_swarm_missing(a):
    """storage-rpc §4."""
    for p in ({}, {"pubkey": None}, {"pubKey": None}):
        refused(a.rpc("get_swarm", p), 400, "invalid request: Required field 'pubkey' missing")


@pytest.mark.parametrize("word", [0, 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1, 2**62])
@pytest.mark.parametrize("prefix", ["05", "03", "00"])
def test_get_swarm_at_the_edges(net, a, prefix, word):
    """swarms §2: the ring and its ties, for any prefix."""
    key = prefix + "00" * 24 + f"{word:016x}"
    assert a.ok("get_swarm", {"pubkey": key})["swarm"] == f"{swarm_for(net.swarms, bytes.fromhex(key)):x}"


def test_get_swarm_mapping_at_swarm_ids(net, a):
    """swarms §2: at, beside and between all swarm ids; exactly half-way goes left."""
    ids = sorted(net.swarms)
    points = {(i + d) % 2**64 for i in ids for d in (-1, 0, 1)}
    for left, right in itertools.pairwise(ids):
        points |= {(left + right) // 2 + d for d in (-1, 0, 1)}
    for v in sorted(points):
        key = "05" + f"{v:016x}" + "00" * 24
        assert a.ok("get_swarm", {"pubkey": key})["swarm"] == f"{swarm_for(net.swarms, bytes.fromhex(key)):x}", v


def test_unassigned_node_maps_as_all(net, unassigned, alice):
    """storage-rpc §1, Readiness: over HTTPS it is not ready."""
    assert unassigned.rpc("get_swarm", {"pubkey": alice.id}).status == 503


# ---- oxend_request


@pytest.mark.parametrize(
    "endpoint",
    [
        "get_service_nodes ",
        "GET_SERVICE_NODES",
        "rpc.ons_resolve",
        "ons_resolve\x00",
        "get_n_service_nodes",
        "info",
        "é",
    ],
)
def test_oxend_endpoint_texts(a, endpoint):
    """CORRECTIONS, §4 oxend_request."""
    refused(
        a.rpc("oxend_request", {"endpoint": endpoint}), 400, f"invalid request: Invalid oxend endpoint '{endpoint}'"
    )


@pytest.mark.parametrize("p", [{}, {"endpoint": None}, {"params": {}}])
def test_oxend_without_endpoint(a, p):
    """storage-rpc §4: endpoint is required."""
    refused(a.rpc("oxend_request", p), 400, "invalid request: Required field 'endpoint' missing")


@pytest.mark.parametrize(
    "p",
    [
        {"endpoint": 5},
        {"endpoint": ["ons_resolve"]},
        {"endpoint": "ons_resolve", "params": 5},
        {"endpoint": "ons_resolve", "params": "{}"},
        {"endpoint": "ons_resolve", "params": []},
    ],
)
def test_oxend_malformed(a, p):
    """storage-rpc §4: endpoint is a string, params an object."""
    refused(a.rpc("oxend_request", p), 400, starts=INVALID)


def test_oxend_limit_and_fields(net, a):
    """storage-rpc §4 / oxend-interface §4: params reach the daemon."""
    for limit in (1, 3):
        r = a.ok(
            "oxend_request",
            {"endpoint": "get_service_nodes", "params": {"limit": limit, "fields": {"pubkey_ed25519": True}}},
        )
        states = r["result"]["service_node_states"]
        assert len(states) == limit
        assert all("pubkey_ed25519" in s and "public_ip" not in s for s in states)
    r = a.ok("oxend_request", {"endpoint": "get_service_nodes", "params": None})
    assert len(r["result"]["service_node_states"]) >= len(net.active)


@pytest.mark.parametrize(
    "p",
    [
        {"type": 0, "name_hash": "zz"},
        {"type": 0, "name_hash": 5},
        {"name_hash": [], "type": "x"},
        {"type": 0, "name_hash": None},
    ],
)
def test_oxend_daemon_errors(a, p):
    """storage-rpc §4 oxend_request: the daemon's refusal is 400 with its text."""
    r = a.rpc("oxend_request", {"endpoint": "ons_resolve", "params": p})
    assert r.status in (400, 502)
    assert r.text
    assert r.headers["Content-Type"] == "text/plain"


def test_oxend_in_a_batch(net, a):
    """storage-rpc §4: with others."""
    r = a.ok(
        "batch",
        reqs(INFO, sub("oxend_request", {"endpoint": "ons_resolve", "params": {"type": 0, "name_hash": "00" * 32}})),
    )
    assert codes(r) == [200, 200]
    assert r["results"][1]["body"]["result"] == {}
    assert json.dumps(r)
