"""A bot as a program; what happens on the network is shown by the tests of serving."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import keyring
import pytest
from keyring.backends.fail import Keyring as NoKeyring

from ramson import Bot, LocalError, Message, RemoteError
from ramson.bot import command_line
from ramson.bot.account_secret import read_passphrase
from ramson.protocol import network_file
from ramson.protocol.network_file import NetworkFile, Seed
from ramson.sync import Bot as SyncBot
from ramson.testing import on_fake_network

sys.path.insert(0, str(Path(__file__).parents[1] / "messenger"))  # tests are no package
from keyrings import in_memory

ECHO = Path(__file__).parents[2] / "examples" / "echo.py"


@pytest.fixture
def bot(tmp_path, monkeypatch):
    monkeypatch.setenv("RAMSON_PASSPHRASE", "correct horse")
    monkeypatch.delenv("RAMSON_NETWORK", raising=False)
    return Bot(tmp_path / "bot.ramson", name="Bot")


@pytest.fixture
def ring(monkeypatch):
    """A keyring, and nothing else that could open an account."""
    monkeypatch.delenv("RAMSON_PASSPHRASE", raising=False)
    monkeypatch.delenv("RAMSON_NETWORK", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with in_memory() as ring:
        yield ring


def failed(bot, *arguments):
    with pytest.raises(SystemExit) as ended:
        bot.run(arguments)
    return ended.value.code


def test_an_account_is_made_once_and_shown(bot, tmp_path, capsys, monkeypatch):
    bot.run(["init"])
    identity, phrase = capsys.readouterr().out.splitlines()
    assert (identity[:2], len(identity), len(phrase.split())) == ("05", 66, 13)
    bot.run(["id"])
    assert capsys.readouterr().out.split() == [identity]
    (tmp_path / "secret").write_text("correct horse\n")
    monkeypatch.delenv("RAMSON_PASSPHRASE")
    bot.run(["qr", "--passphrase-file", str(tmp_path / "secret")])
    *picture, last = capsys.readouterr().out.splitlines()
    assert last == identity
    assert len(picture) > 10
    assert failed(bot, "init") == 1
    assert "already" in capsys.readouterr().err


def test_mistakes_end_with_one_line_that_says_what_to_do(bot, tmp_path, capsys, monkeypatch):
    assert failed(bot, "id") == 1
    assert "Make it with `init`" in capsys.readouterr().err
    assert failed(bot, "dance") == 2
    capsys.readouterr()
    assert failed(bot, "id", "--network", "nowhere.json") == 1
    assert "mainnet, testnet" in capsys.readouterr().err
    assert failed(bot, "init", "--passphrase-file", str(tmp_path / "none")) == 1
    assert "cannot be read" in capsys.readouterr().err
    monkeypatch.delenv("RAMSON_PASSPHRASE")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    bot.passphrase_file = None
    assert failed(bot, "init") == 1
    assert "Set RAMSON_PASSPHRASE" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [Bot, SyncBot])
def test_an_account_whose_key_is_in_the_keyring_is_made_and_opened_without_a_passphrase(kind, ring, tmp_path, capsys):
    bot = kind(tmp_path / "bot.ramson", name="Bot")
    bot.run(["init", "--keyring"])
    identity, _phrase = capsys.readouterr().out.splitlines()
    assert len(ring.kept) == 1
    bot.run(["id"])
    assert capsys.readouterr().out.split() == [identity]
    assert failed(bot, "id", "--keyring") == 2
    assert "--keyring is for init" in capsys.readouterr().err


def test_without_the_keyring_the_error_is_one_line_that_says_what_to_do(ring, tmp_path, capsys):
    bot = Bot(tmp_path / "bot.ramson")
    bot.run(["init", "--keyring"])
    capsys.readouterr()
    keyring.set_keyring(NoKeyring())
    assert failed(bot) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "no keyring on this machine" in lines[0]
    assert "Start a desktop's keyring" in lines[0]
    assert "recovery phrase" in lines[0]


@on_fake_network
async def test_it_works_with_an_account_of_the_keyring(net, ring, tmp_path):
    world = net.network.client_world(7)
    bot = Bot(tmp_path / "bot.ramson", network=net.network.profile, world=world)

    @bot.on()
    async def answer(message: Message) -> str:
        return "yes"

    await command_line._init(bot, keyring=True)
    async with bot, net.person("Alice") as alice:
        await alice.say(str(bot.account_id), "Are you there?")
        assert (await alice.hear()).body == "yes"


def test_it_serves_until_it_is_told_to_stop(tmp_path):
    nowhere = NetworkFile(nodes=(), seeds=(Seed("https://127.0.0.1:9/json_rpc", bytes(32)),))
    (tmp_path / "network.json").write_bytes(network_file.encode(nowhere))
    environment = os.environ | {"RAMSON_PASSPHRASE": "correct horse", "RAMSON_NETWORK": "network.json"}
    with subprocess.Popen(
        [sys.executable, ECHO], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout.readline() == "ready\n"
        program.send_signal(signal.SIGTERM)
        assert program.wait(timeout=30) == 0
    assert (tmp_path / "echo.ramson").exists()


def test_a_terminal_is_asked_until_the_same_was_typed_twice(monkeypatch, capsys):
    answers = ["one", "two", "three", "three"]
    monkeypatch.delenv("RAMSON_PASSPHRASE", raising=False)
    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": lambda _self: True})())
    monkeypatch.setattr("getpass.getpass", lambda _question: answers.pop(0))
    assert read_passphrase(None, new=True) == "three"
    assert "differ" in capsys.readouterr().err


def test_to_subscribe_past_a_proxy_is_refused_in_one_line(bot, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("RAMSON_PROXY", "socks5://127.0.0.1:1")
    assert not bot.subscribe
    bot.run(["init", "--subscribe"])
    assert bot.subscribe
    capsys.readouterr()
    assert failed(bot, "serve") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Subscriptions connect straight to nodes, past the proxies")


@on_fake_network
async def test_the_doctor_looks_whether_nodes_tell(net, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RAMSON_PASSPHRASE", "correct horse")
    bot = Bot(tmp_path / "bot.ramson", network=net.network.profile, world=net.network.client_world(7), subscribe=True)
    bot.on()(lambda: None)
    await command_line._init(bot, keyring=False)
    capsys.readouterr()
    await command_line._doctor(bot)
    assert capsys.readouterr().out.splitlines()[-1] == "ok  nodes tell it of messages at once"


@on_fake_network
async def test_the_doctor_tells_what_is_missing_and_init_stays_in_the_bots_world(net, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RAMSON_PASSPHRASE", "correct horse")
    world = net.network.client_world(7)
    bot = Bot(tmp_path / "bot.ramson", network=net.network.profile, world=world)
    with pytest.raises(LocalError, match="nothing to do"):
        await command_line._doctor(bot)

    @bot.on()
    async def answer(message: Message) -> str:
        return "yes"

    with pytest.raises(LocalError, match="no account file"):
        await command_line._doctor(bot)
    drawn = world.entropy.getstate()
    await command_line._init(bot, keyring=False)
    assert world.entropy.getstate() != drawn
    capsys.readouterr()
    await command_line._doctor(bot)
    assert [line[:2] for line in capsys.readouterr().out.splitlines()] == ["ok"] * 4
    for number in range(8):
        net.network.kill(number)
    with pytest.raises(RemoteError):
        await command_line._doctor(bot)
    told = capsys.readouterr().out
    assert "This contacts:" in told
    assert "There is no way into the network from here." in told
    bot.path.chmod(0o644)
    with pytest.raises(LocalError, match="others can read"):
        await command_line._doctor(bot)
