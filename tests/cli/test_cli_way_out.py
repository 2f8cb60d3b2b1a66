"""The options before the command: what they add up to, and that secrets never come from the arguments."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ramson
from ramson.cli.way_out import Wishes, reach_settings, remember
from ramson.errors import LocalError, RamsonError
from ramson.protocol.bridge.link import make
from ramson.reach import NO_WISHES, Rung
from ramson.reach.bridge_book import add
from ramson.world import Endpoint

PROXY = "socks5://user:SECRET@192.0.2.1:1080\n"
LINK = make("https://site.example/notes/", b"K" * 32, "mainnet")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("RAMSON_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "ramson").mkdir()
    yield tmp_path / "ramson"
    remember(Wishes())


def private(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return path


def settings(**wishes):
    """What a command sees."""
    remember(Wishes(**wishes))
    return reach_settings()


def test_nothing_said(home):
    assert settings() == NO_WISHES


def test_a_proxy_from_a_file_or_the_environment_is_pinned(home, monkeypatch):
    from_file = settings(proxy_file=private(home / "proxy", PROXY))
    monkeypatch.setenv("RAMSON_PROXY", PROXY)
    assert settings() == from_file
    assert from_file.pinned is Rung.PROXY
    assert from_file.proxies[0].endpoint == Endpoint("192.0.2.1", 1080)


def test_what_stands_on_the_command_line_counts_more_than_the_file(home):
    private(home / "reach.toml", 'route = "split"\ncountry = "IR"')
    assert (settings().pinned, settings().country) == (Rung.SPLIT, "IR")
    assert (settings(route="direct").pinned, settings(country="ru").country) == (Rung.DIRECT, "RU")
    assert settings(reach_file=private(home / "other.toml", "")) == NO_WISHES


def test_bridges_that_were_kept_are_used(home, monkeypatch):
    add(home / "bridges", LINK)
    assert settings(route="bridge").bridges == (LINK,)
    other = make("https://other.example/x/", b"L" * 32, "mainnet")
    monkeypatch.setenv("RAMSON_BRIDGE", other.uri)
    assert settings(route="bridge").bridges == (other,)


@pytest.mark.parametrize("name", ["proxy_file", "reach_file"])
def test_a_file_that_others_can_read_or_that_is_not_there_is_refused(home, name):
    path = private(home / "file", PROXY)
    path.chmod(0o640)
    with pytest.raises(LocalError, match="others can read") as caught:
        settings(**{name: path})
    assert "chmod 600" in caught.value.remedy
    with pytest.raises(LocalError, match="cannot be read"):
        settings(**{name: home / "missing"})


def test_a_mistake_in_a_proxy_is_not_repeated(home):
    with pytest.raises(RamsonError) as caught:
        settings(proxy_file=private(home / "proxy", "socks9://user:SECRET@x:1"))
    assert "SECRET" not in str(caught.value)


def test_the_options_stand_before_the_command():
    command = [sys.executable, "-m", "ramson", "--route", "proxy", "path", "--timeout", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "he route is to be proxy, but there is none to use" in done.stderr


def test_no_command_goes_out_in_another_way():
    """Whatever opens a client that connects, or a network, hands it the way out that the person asked for."""
    source = Path(ramson.__file__).parent
    calls = [
        (path.name, ast.unparse(call))
        for room in ("cli", "bot")
        for path in (source / room).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in {"Client.open", "Client.create", "Network"}
    ]
    assert len(calls) > 8
    for _file, text in calls:
        assert "reach=" in text or "entry=" in text or "connect=False" in text, text


def test_an_empty_proxy_file_does_not_mean_the_straight_way(home):
    with pytest.raises(LocalError, match="no address"):
        settings(proxy_file=private(home / "proxy", " \n"))
