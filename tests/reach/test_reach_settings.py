"""What a person can say about the way out, and that none of it is ever shown."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.errors import LocalError, RamsonError
from ramson.network.hop_policy import ANY_NODE, HopPolicy
from ramson.protocol.bridge.link import make
from ramson.reach import Rung, kept
from ramson.reach.settings import ReachSettings, ReachSettingsError, parse
from ramson.reach.transport_line import BadTransportLine, TransportLine
from ramson.world import Endpoint, ProxyKind

LINK = make("https://site.example/notes/", b"K" * 32, "mainnet").uri
INNER = make("http://127.0.0.1:8080/notes/", b"K" * 32, "mainnet").uri
LINE = "obfs4 192.0.2.7:443 cert=SECRETCERT iat-mode=0"
WHOLE = f"""
route = "transport"
country = "ir"
proxies = ["socks5://user:SECRETPASS@192.0.2.1:1080", "tor://127.0.0.1:9050"]
bridges = ["{LINK}"]

[[transports]]
line = "{LINE}"
bridge = "{INNER}"
program = ["/opt/obfs4proxy", "-x"]

[[transports]]
line = "{LINE}"
bridge = "{INNER}"
"""


def test_everything_that_can_be_said():
    settings = parse(WHOLE.encode())
    assert (settings.pinned, settings.country) == (Rung.TRANSPORT, "IR")
    assert [proxy.kind for proxy in settings.proxies] == [ProxyKind.SOCKS5] * 2
    assert [bridge.uri for bridge in settings.bridges] == [LINK]
    assert settings.transports[0].program == ("/opt/obfs4proxy", "-x")
    assert settings.transports[1].program == ()
    assert settings.transports[0].line.arguments == {"cert": "SECRETCERT", "iat-mode": "0"}


def test_rules_about_hops():
    said = parse(b'[hops]\navoid = ["ru", "185.0.0.0/8"]\nonly = ["DE"]').hops
    assert said == HopPolicy.parse(avoid=["RU", "185.0.0.0/8"], only=["DE"])
    assert parse(b"").hops == ANY_NODE


def test_a_pinned_path_is_kept_and_forgotten(tmp_path):
    keys = (b"g" * 32, b"m" * 32, b"l" * 32)
    assert kept.pinned_path(tmp_path) == ()
    kept.pin_path(tmp_path / "ramson", keys)
    assert kept.load({"XDG_CONFIG_HOME": str(tmp_path)}).path == keys
    kept.unpin_path(tmp_path / "ramson")
    kept.unpin_path(tmp_path / "ramson")
    assert kept.load({"XDG_CONFIG_HOME": str(tmp_path)}).path == ()
    (tmp_path / kept.PIN_FILE).write_text("something else")
    (tmp_path / kept.PIN_FILE).chmod(0o600)
    with pytest.raises(LocalError, match="not what was written"):
        kept.pinned_path(tmp_path)


def test_nothing_said_is_free_choice():
    assert parse(b"") == ReachSettings()


@pytest.mark.parametrize(
    ("text", "straight"),
    [
        ("", True),
        ('country = "IR"', True),
        ('route = "direct"', True),
        (f'route = "direct"\nbridges = ["{LINK}"]', True),
        ('route = "split"', False),
        ('proxies = ["tor://127.0.0.1:9050"]', False),
        (f'bridges = ["{LINK}"]', False),
        (f'[[transports]]\nline = "{LINE}"\nbridge = "{INNER}"', False),
        (WHOLE, False),
    ],
)
def test_only_who_names_no_other_way_is_taken_to_go_straight(text, straight):
    assert parse(text.encode()).straight is straight


def test_nothing_of_it_is_shown():
    settings = parse(WHOLE.encode())
    shown = repr(settings) + repr(settings.proxies) + repr(settings.transports) + repr(settings.bridges)
    for secret in ("SECRET", "192.0.2", "user", "site.example", "notes", "opt/obfs4proxy -x"):
        assert secret not in shown


@pytest.mark.parametrize(
    "text",
    [
        "route = 1",
        "hops = 1",
        '[hops]\navoid = "RU"',
        '[hops]\navoid = ["Russia"]',
        '[hops]\nonly = ["RU"]\navoid = ["RU"]',
        "[hops]\nother = []",
        'route = "tunnel"',
        'route = "proxy"',
        'route = "bridge"',
        'route = "transport"',
        'colour = "SECRET"',
        'country = "IRN"',
        'proxies = "SECRET"',
        "proxies = [1]",
        'proxies = ["SECRET"]',
        'bridges = ["SECRET"]',
        'transports = ["SECRET"]',
        "[[transports]]",
        '[[transports]]\nline = "SECRET"',
        f'[[transports]]\nline = "own 192.0.2.1:1 k=SECRET"\nbridge = "{INNER}"',
        f'[[transports]]\nline = "{LINE}"\nbridge = "SECRET"',
        f'[[transports]]\nline = "{LINE}"\nbridge = "{INNER}"\npassword = "SECRET"',
        "not TOML SECRET",
        "x = " + "[" * 5000,
    ],
)
def test_mistakes_are_named_and_not_repeated(text):
    with pytest.raises(RamsonError) as caught:
        parse(text.encode())
    assert "SECRET" not in str(caught.value) + caught.value.remedy


@given(st.binary(max_size=200))
def test_whatever_the_file_holds_the_outcome_is_settings_or_an_error_of_ours(data):
    with contextlib.suppress(RamsonError):
        parse(data)


def test_what_is_said_later_counts():
    settings = parse(WHOLE.encode())
    assert settings.changed(route="direct").pinned is Rung.DIRECT
    assert settings.changed(route="auto").pinned is None
    assert settings.changed(country="ru").country == "RU"
    assert settings.changed() == settings
    assert [bridge.uri for bridge in settings.changed(bridge=LINK).bridges] == [LINK]


def test_who_names_a_proxy_is_not_seen_without_it():
    settings = ReachSettings().changed(proxy="http://192.0.2.9:3128")
    assert settings.pinned is Rung.PROXY
    assert [proxy.endpoint for proxy in settings.proxies] == [Endpoint("192.0.2.9", 3128)]
    assert ReachSettings().changed(proxy="http://192.0.2.9:3128", route="auto").pinned is None


def test_a_route_that_is_not_there_cannot_be_pinned():
    with pytest.raises(ReachSettingsError):
        ReachSettings().changed(route="bridge")


# ---- lines of transports


@pytest.mark.parametrize(
    "text",
    [LINE, f"Bridge {LINE}", f"obfs4 192.0.2.7:443 {'A1' * 20} cert=SECRETCERT iat-mode=0"],
)
def test_lines_of_bridges(text):
    line = TransportLine.parse(text)
    assert (line.method, line.bridge) == ("obfs4", Endpoint("192.0.2.7", 443))
    assert dict(line.arguments) == {"cert": "SECRETCERT", "iat-mode": "0"}
    assert repr(line) == "TransportLine(method='obfs4')"


def test_a_bridge_at_an_ipv6_address():
    assert TransportLine.parse("webtunnel [2001:db8::1]:443 url=https://a.b/c=d").arguments["url"] == "https://a.b/c=d"
    assert TransportLine.parse("webtunnel [2001:db8::1]:443").bridge == Endpoint("2001:db8::1", 443)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "obfs4",
        "obfs4 192.0.2.7",
        "obfs4 192.0.2.7:0",
        "obfs4 :1",
        "4obfs 192.0.2.7:1",
        "obfs4 a:1 SECRET",
        "obfs4 a:1 k=SECRET k=SECRET",
        "obfs4 a:1 =SECRET",
        "obfs4 a:1 k=",
        "obfs4 a:1 " + "k=SECRET" * 400,
    ],
)
def test_other_lines_are_refused_and_not_repeated(text):
    with pytest.raises(BadTransportLine) as caught:
        TransportLine.parse(text)
    assert "SECRET" not in str(caught.value)
    assert isinstance(caught.value, LocalError)


def test_bridges_to_other_networks_are_left_out():
    assert parse(WHOLE.encode()).for_network("mainnet") == parse(WHOLE.encode())
    with pytest.raises(ReachSettingsError, match="transport"):
        parse(WHOLE.encode()).for_network("testnet")
    assert parse(WHOLE.encode()).changed(route="auto").for_network("testnet").bridges == ()


def test_bridges_known_from_elsewhere_are_added():
    (known,) = parse(b"", bridges=parse(WHOLE.encode()).bridges).bridges
    assert known.uri == LINK
