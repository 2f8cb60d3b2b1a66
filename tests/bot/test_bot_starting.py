"""A new bot's directory: it works as it is, and nothing is overwritten."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from ramson.bot.starting import FILES, BadBotName, DirectoryExists, start_bot
from ramson.cli.app import app


def test_the_tests_of_a_new_bot_pass(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = CliRunner().invoke(app, ["bot", "new", "Helper"])
    assert made.exit_code == 0, made.output
    directory = tmp_path / "Helper"
    assert {path.name for path in directory.iterdir()} == set(FILES)
    assert 'Bot("Helper.ramson", name="Helper")' in (directory / "bot.py").read_text()
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert "1 passed" in ran.stdout
    told = subprocess.run(
        [sys.executable, "bot.py", "init"],
        cwd=directory,
        env=os.environ | {"RAMSON_PASSPHRASE": "correct horse"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout.startswith("05")


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine").mkdir()
    start_bot("mine", tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "mine").iterdir()}
    with pytest.raises(DirectoryExists):
        start_bot("mine", tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "mine").iterdir()} == before
    (tmp_path / "file").write_text("")
    with pytest.raises(DirectoryExists):
        start_bot("file", tmp_path)


@pytest.mark.parametrize("name", ["", "..", "a/b", "1st", "a b", "x" * 41, "é", 'a"b'])
def test_a_name_is_a_plain_word(tmp_path, name):
    with pytest.raises(BadBotName):
        start_bot(name, tmp_path)
    assert list(tmp_path.iterdir()) == []
