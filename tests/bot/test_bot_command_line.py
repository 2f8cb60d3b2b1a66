"""A bot as a program; what happens on the network is shown by the tests of serving."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ramson import Bot
from ramson.protocol import network_file
from ramson.protocol.network_file import NetworkFile, Seed

ECHO = Path(__file__).parents[2] / "examples" / "echo.py"


@pytest.fixture
def bot(tmp_path, monkeypatch):
    monkeypatch.setenv("RAMSON_PASSPHRASE", "correct horse")
    monkeypatch.delenv("RAMSON_NETWORK", raising=False)
    return Bot(tmp_path / "bot.ramson", name="Bot")


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
