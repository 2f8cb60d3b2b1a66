"""From parameters to typed requests: kinds, limits, spellings, and what is refused with which words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.crypto.account import AccountKeys
from ramson.protocol import bt, storage
from ramson.protocol.storage import BadRequest, Encoding, parse, sign, to_json

KEYS = AccountKeys.from_seed(b"\x01" * 32)
ACCOUNT = KEYS.id.raw
NOW = 1_700_000_000_000
STORE = {"pubkey": ACCOUNT.hex(), "data": "eA==", "timestamp": NOW, "ttl": 10_000}
SIGNED = sign(storage.Retrieve(account=ACCOUNT, timestamp=NOW), KEYS).to_json_params()
DELETE = sign(storage.Delete(account=ACCOUNT, messages=("A" * 43,)), KEYS).to_json_params()


def read(method, params, encoding=Encoding.JSON, testnet=False):
    return parse(method, params, encoding, testnet=testnet)


def refusal(method, params, encoding=Encoding.JSON, testnet=False):
    with pytest.raises(BadRequest) as caught:
        read(method, params, encoding, testnet)
    assert caught.value.status == 400
    return caught.value.text


def wrong(name):
    return f"invalid request: Invalid value for '{name}': "


def missing(name):
    return f"invalid request: Required field '{name}' missing"


# ---- writing and reading belong together

namespaces = st.integers(-(2**15), 2**15 - 1)
times = st.integers(10**9, (2**63 - 1) // 10**6)
hashes = st.lists(st.text("ABCabc019+/", min_size=43, max_size=43), min_size=1, max_size=4).map(tuple)
tokens = st.lists(st.binary(min_size=36, max_size=36), min_size=1, max_size=4).map(tuple)
some_or_all = st.one_of(st.none(), namespaces)
REQUESTS = st.one_of(
    st.builds(
        lambda data, at, ttl, namespace, signed: storage.Store(
            account=ACCOUNT, data=data, timestamp=at, expiry=at + ttl, namespace=namespace, sig_timestamp=signed
        ),
        st.binary(max_size=200),
        st.integers(10**9, 10**12),
        st.integers(0, 10**11),
        namespaces,
        st.none() | times,
    ),
    st.builds(
        storage.Retrieve,
        account=st.just(ACCOUNT),
        namespace=namespaces,
        timestamp=times,
        last_hash=st.text(max_size=50),
        max_count=st.integers(0, 2**63),
        max_size=st.integers(-(2**63), 2**63),
    ),
    st.builds(storage.Delete, account=st.just(ACCOUNT), messages=hashes, required=st.booleans()),
    st.builds(storage.DeleteAll, account=st.just(ACCOUNT), timestamp=times, namespace=some_or_all),
    st.builds(storage.DeleteBefore, account=st.just(ACCOUNT), before=times, namespace=some_or_all),
    st.builds(storage.ExpireAll, account=st.just(ACCOUNT), expiry=times, namespace=some_or_all),
    st.builds(
        storage.Expire,
        account=st.just(ACCOUNT),
        messages=hashes,
        expiry=times.map(lambda t: (t,)),
        extend=st.booleans(),
    ),
    st.builds(storage.GetExpiries, account=st.just(ACCOUNT), messages=hashes, timestamp=times),
    st.builds(storage.RevokeSubaccount, account=st.just(ACCOUNT), tokens=tokens, timestamp=times),
    st.builds(storage.UnrevokeSubaccount, account=st.just(ACCOUNT), tokens=tokens, timestamp=times),
)


@given(REQUESTS)
def test_a_signed_request_survives_json_and_the_forwarded_form(request_):
    request = sign(request_, KEYS)
    name = request.method.name
    assert read(name, request.to_json_params()) == request
    assert storage.parse_rpc_json(__import__("json").dumps(to_json(request)).encode(), testnet=True) == request
    body = bt.encode(request.to_bt())
    forwarded, encoding = storage.parse_omq(name, [body], testnet=False)
    assert encoding is Encoding.BT
    if isinstance(request, storage.Delete):  # `required` is the contacted member's business
        assert (forwarded.messages, forwarded.credentials) == (request.messages, request.credentials)
    else:
        assert forwarded == request
    assert forwarded.signed_message() == request.signed_message()


def test_methods_have_one_name_and_aliases():
    assert storage.BY_NAME["get_snodes_for_pubkey"] is storage.GetSwarm
    assert set(storage.METHODS) < set(storage.BY_NAME)
    assert refusal("zz", {}) == "no method zz"


# ---- values


@pytest.mark.parametrize(
    "bad", ["05", "zz" * 33, "0" * 65, "05" * 34, "", 5, ["x"], " 5" + "0" * 64, "é" * 66, "05" * 32]
)
def test_malformed_accounts(bad):
    assert refusal("store", {**STORE, "pubkey": bad}).startswith(wrong("pubkey"))


def test_accounts_of_either_case_and_encoding():
    assert read("get_swarm", {"pubkey": ACCOUNT.hex().upper()}).account == ACCOUNT
    for form in (ACCOUNT, ACCOUNT.hex().encode()):
        assert read("get_swarm", {b"pubkey": form}, Encoding.BT).account == ACCOUNT
    for form in (ACCOUNT[1:], b"zz" * 33, 5, [ACCOUNT]):
        assert refusal("get_swarm", {b"pubkey": form}, Encoding.BT).startswith(wrong("pubkey"))


def test_only_the_test_network_completes_accounts():
    short = ACCOUNT.hex()[2:]
    assert read("get_swarm", {"pubkey": short}, testnet=True).account == ACCOUNT
    assert read("get_swarm", {b"pubkey": short.encode()}, Encoding.BT, testnet=True).account == ACCOUNT
    assert refusal("get_swarm", {"pubkey": short}).startswith(wrong("pubkey"))
    assert refusal("get_swarm", {"pubkey": 5}, testnet=True).startswith(wrong("pubkey"))


@pytest.mark.parametrize(
    "bad", ["!!!", "YQ=", "YWJj\n", "YW Jj", "YWJj-_", "YWJj====", "Y", "=", "YQ==YQ==", 5, ["YQ=="], {}]
)
def test_data_is_strict_base64(bad):
    assert refusal("store", {**STORE, "data": bad}).startswith(wrong("data"))


@pytest.mark.parametrize(("text", "data"), [("", b""), ("YQ", b"a"), ("YQ==", b"a"), ("YR==", b"a"), ("YWJj", b"abc")])
def test_padding_is_all_or_nothing_and_spare_bits_are_free(text, data):
    assert read("store", {**STORE, "data": text}).data == data


def test_data_is_bounded():
    for length in (76_800, 76_801, 10_000_000):
        text = storage.to_json(storage.Store(account=ACCOUNT, data=bytes(length), timestamp=NOW, expiry=NOW))["params"][
            "data"
        ]
        if length == 76_800:
            assert len(read("store", {**STORE, "data": text}).data) == length
        else:
            assert "76800" in refusal("store", {**STORE, "data": text})
            raw = {b"pubkey": ACCOUNT, b"timestamp": NOW, b"ttl": 1, b"data": bytes(length)}
            assert "76800" in refusal("store", raw, Encoding.BT)


@pytest.mark.parametrize("bad", [32768, -32769, 10**6, "10", 10.0, True, [1], "all"])
def test_namespaces_are_integers_of_16_bits(bad):
    assert refusal("store", {**STORE, "namespace": bad}).startswith(wrong("namespace"))


@pytest.mark.parametrize("bad", ["foo", "5", "ALL", "", 1.5, 99999, True])
def test_one_namespace_or_all(bad):
    params = {**sign(storage.DeleteAll(account=ACCOUNT, timestamp=NOW), KEYS).to_json_params(), "namespace": bad}
    assert refusal("delete_all", params).startswith(wrong("namespace"))


@pytest.mark.parametrize(
    ("name", "value"), [("ttl", "86400000"), ("ttl", "000086400000"), ("timestamp", "-5"), ("timestamp", str(NOW))]
)
def test_numeric_strings(name, value):
    request = read("store", {**STORE, name: value})
    assert getattr(request, name) == int(value)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        " 5",
        "5 ",
        "+5",
        "1e5",
        "0x5",
        "5.0",
        "٣",
        "--5",
        "-",
        str(2**64),
        "9" * 5000,
        -1.0,
        1.5,
        True,
        [5],
        2**64,
        10**30,
    ],
)
@pytest.mark.parametrize("name", ["ttl", "timestamp"])
def test_malformed_numbers(name, bad):
    assert refusal("store", {**STORE, name: bad}).startswith(wrong(name))


@pytest.mark.parametrize("bad", [-5, "-5"])
def test_lifetimes_are_not_negative(bad):
    assert refusal("store", {**STORE, "ttl": bad}).startswith(wrong("ttl"))


def test_only_store_in_json_takes_numeric_strings():
    params = {key: value for key, value in STORE.items() if key != "ttl"}
    assert refusal("store", {**params, "expiry": str(NOW)}).startswith(wrong("expiry"))
    assert refusal("retrieve", {**SIGNED, "timestamp": str(NOW)}).startswith(wrong("timestamp"))
    raw = {b"pubkey": ACCOUNT, b"data": b"", b"timestamp": b"%d" % NOW, b"ttl": 10_000}
    assert refusal("store", raw, Encoding.BT).startswith(wrong("timestamp"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10**9 - 1, "must be in milliseconds"),
        (0, "must be in milliseconds"),
        (2**63 - 1, "must be in milliseconds"),
        (2**63, "must be in milliseconds"),
        (2**64 - 1, "must be in milliseconds"),
        ((2**63 - 1) // 10**6 + 1, "must be in milliseconds"),
        (-1, "an integer"),
        (2**64, "an integer"),
        (1.7e12, "an integer"),
    ],
)
def test_timestamps_are_milliseconds_that_fit_nanoseconds(value, text):
    said = refusal("retrieve", {**SIGNED, "timestamp": value})
    assert said.startswith(wrong("timestamp"))
    assert text in said


def test_a_lifetime_may_lead_anywhere():
    assert read("store", {**STORE, "ttl": 2**64 - 1}).ttl == 2**64 - 1


# ---- absence


@pytest.mark.parametrize("name", ["pubkey", "timestamp", "data"])
def test_missing_and_null_are_the_same(name):
    assert refusal("store", {key: value for key, value in STORE.items() if key != name}) == missing(name)
    assert refusal("store", {**STORE, name: None}) == missing(name)


def test_a_store_needs_one_end():
    params = {key: value for key, value in STORE.items() if key != "ttl"}
    assert refusal("store", params) == "invalid request: Required field 'expiry' or 'ttl' missing"
    assert refusal("store", {**STORE, "expiry": NOW}) == "invalid request: Cannot specify both 'expiry' and 'ttl'"
    assert read("store", {**STORE, "expiry": None}).ttl == 10_000


def test_a_store_looks_for_its_timestamp_first():
    assert refusal("store", {}) == missing("timestamp")


@pytest.mark.parametrize("bad", ["abc", "!" * 88, "", 5, "A" * 87, "A" * 85, "A" * 88, "A" * 87 + "="])
def test_malformed_signatures(bad):
    for method, params in (("retrieve", SIGNED), ("delete", DELETE), ("store", STORE)):
        assert refusal(method, {**params, "signature": bad}).startswith(wrong("signature"))


def test_signatures_are_raw_in_bencode():
    raw = {b"pubkey": ACCOUNT, b"messages": [b"A" * 43], b"signature": bytes(64)}
    assert read("delete", raw, Encoding.BT).credentials.signature == bytes(64)
    assert refusal("delete", {**raw, b"signature": b"A" * 86}, Encoding.BT).startswith(wrong("signature"))


def test_an_unsigned_store_reads_no_authentication():
    params = {**STORE, "pubkey_ed25519": 5, "subaccount": [], "subaccount_sig": "x"}
    assert read("store", params).credentials is None


@pytest.mark.parametrize("bad", ["xx", "A" * 47, "zz" * 36, 5, ["A" * 48]])
def test_malformed_tokens(bad):
    text = refusal("retrieve", {**SIGNED, "subaccount": bad, "subaccount_sig": SIGNED["signature"]})
    assert text.startswith("invalid request: invalid subaccount: ")


def test_tokens_in_every_form():
    token = bytes(range(36))
    sig = SIGNED["signature"]
    for form in (storage.kinds.encode_base64(token), token.hex()):
        request = read("retrieve", {**SIGNED, "subaccount": form, "subaccount_sig": sig})
        assert request.credentials.subaccount.token == token
    raw = {b"pubkey": ACCOUNT, b"timestamp": NOW, b"signature": bytes(64), b"subaccount_sig": bytes(64)}
    for form in (token, token.hex().encode()):
        assert read("retrieve", {**raw, b"subaccount": form}, Encoding.BT).credentials.subaccount.token == token
    assert read("retrieve", {**raw, b"subaccount": b""}, Encoding.BT).credentials.subaccount is None


@pytest.mark.parametrize("bad", [[], ["x"], "x", [5], {"a": 1}, "!" * 43, "A" * 44, ["A" * 43, "é" * 43], 5])
def test_malformed_hashes(bad):
    assert refusal("delete", {**DELETE, "messages": bad}).startswith(wrong("messages"))


def test_at_most_20_000_hashes():
    assert len(read("delete", {**DELETE, "messages": ["A" * 43] * 20_000}).messages) == 20_000
    assert "20000" in refusal("delete", {**DELETE, "messages": ["A" * 43] * 20_001})


def test_a_scalar_is_a_list_of_one():
    assert read("delete", {**DELETE, "messages": "B" * 43}).messages == ("B" * 43,)
    assert read("get_expiries", {**SIGNED, "messages": "all"}).messages == ("all",)
    params = {**SIGNED, "revoke": storage.kinds.encode_base64(bytes(36))}
    assert read("revoke_subaccount", params).tokens == (bytes(36),)


@pytest.mark.parametrize("bad", [1, 0, "true", [True]])
def test_flags_are_booleans(bad):
    assert refusal("delete", {**DELETE, "required": bad}).startswith(wrong("required"))


def test_flags_are_0_or_1_in_bencode():
    raw = {b"pubkey": ACCOUNT, b"messages": [b"A" * 43], b"signature": bytes(64)}
    assert read("delete", {**raw, b"required": 1}, Encoding.BT).required
    assert not read("delete", {**raw, b"required": 0}, Encoding.BT).required
    for bad in (2, -1, b"1", []):
        assert refusal("delete", {**raw, b"required": bad}, Encoding.BT).startswith(wrong("required"))


def test_expire_modes_and_lists():
    params = sign(storage.Expire(account=ACCOUNT, messages=("A" * 43,) * 3, expiry=(NOW,)), KEYS).to_json_params()
    assert refusal("expire", {**params, "shorten": True, "extend": True}).startswith(
        "invalid request: Cannot specify both"
    )
    assert read("expire", {**params, "shorten": False, "extend": False}).mode_text == ""
    assert read("expire", {**params, "expiry": [NOW] * 3}).expiry == (NOW,) * 3
    assert read("expire", {**params, "expiry": [NOW]}).expiry == (NOW,)
    for bad in ([NOW] * 2, [NOW] * 4, [], [5] * 3, [str(NOW)] * 3):
        assert refusal("expire", {**params, "expiry": bad}).startswith(wrong("expiry"))


def test_at_most_50_tokens():
    token = storage.kinds.encode_base64(bytes(36))
    for name in ("revoke", "unrevoke"):
        assert len(read(f"{name}_subaccount", {**SIGNED, name: [token] * 50}).tokens) == 50
        assert "50" in refusal(f"{name}_subaccount", {**SIGNED, name: [token] * 51})


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("max_count", "3"),
        ("max_count", [3]),
        ("max_count", -1),
        ("max_size", 1.5),
        ("max_size", 2**64),
        ("last_hash", 5),
    ],
)
def test_malformed_limits(name, bad):
    assert refusal("retrieve", {**SIGNED, name: bad}).startswith(wrong(name))


@pytest.mark.parametrize(
    ("method", "one", "other"),
    [("store", "pubkey", "pubKey"), ("retrieve", "last_hash", "lastHash"), ("get_swarm", "pubkey", "pubKey")],
)
def test_two_spellings_at_once(method, one, other):
    params = {"store": STORE, "retrieve": SIGNED, "get_swarm": {"pubkey": ACCOUNT.hex()}}[method]
    value = params.get(one, "A" * 43)
    both = {**params, one: value, other: value}
    assert refusal(method, both) == f"invalid request: Cannot specify both '{one}' and '{other}'"
    assert read(method, {**both, one: None}) == read(method, {**both, other: None})


def test_the_alias_of_the_account_is_not_known_everywhere():
    assert refusal(
        "delete", {**{key: value for key, value in DELETE.items() if key != "pubkey"}, "pubKey": ACCOUNT.hex()}
    ) == missing("pubkey")
