"""`ramson contacts`, `requests`, `search`, `profile`, `export` and `import` on an account file, without a network."""

import errno
import io
import json
import os
import random
import sys
from dataclasses import replace

import pytest

from ramson.cli import chat, keeping, main
from ramson.crypto.account import AccountKeys
from ramson.messenger import KeyCost, account
from ramson.messenger.archive import seal
from ramson.messenger.client import Client
from ramson.messenger.intake import Intake
from ramson.messenger.letters import Letter
from ramson.messenger.store import Store
from ramson.protocol import content, network_file
from ramson.protocol.config import Picture
from ramson.protocol.content import Profile, TextMessage
from ramson.protocol.network_file import NetworkFile, Seed

PASSPHRASE, SECRET = "correct horse", "another secret"
GIF = b"GIF89a\x01\x00\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
CHEAP = KeyCost(passes=1, memory=13)
ALICE, BOB, EVE = (AccountKeys.generate(random.Random(number)) for number in (1, 2, 3))
BOBS, EVES = (f"{each.id.hex[:8]}…{each.id.hex[-6:]}" for each in (BOB, EVE))


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    """Alice's account file: Bob is a contact, Eve has made a request."""
    for function in (account.create, account.create_from_archive, Client.export_archive):
        monkeypatch.setitem(function.__kwdefaults__, "cost", CHEAP)
    path = tmp_path / "alice.ramson"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAMSON_ACCOUNT", str(path))
    monkeypatch.setenv("RAMSON_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("RAMSON_ARCHIVE_PASSPHRASE", SECRET)
    nowhere = tmp_path / "nowhere.json"
    nowhere.write_bytes(network_file.encode(NetworkFile(nodes=(), seeds=(Seed("https://127.255.255.254:1/json_rpc"),))))
    monkeypatch.setenv("RAMSON_NETWORK", str(nowhere))
    Store.create(path, PASSPHRASE, ALICE, name="Alice", now_ms=1, entropy=random.Random(4), cost=CHEAP)
    store = Store.open(path, PASSPHRASE, entropy=random.Random(0))
    letters = []
    for keys, name, text in ((BOB, "Bob", "the owl flies at noon"), (EVE, "Eve\x1b[2J", "buy owls")):
        message = TextMessage(text, 1_700_000_000_000, profile=Profile(name))
        letters.append(Letter(keys.id, keys.id, message, content.encode(message), name))
    Intake(store).receive(letters, {}, [], [], 1_700_000_000_000)
    with store.configs.changing():
        store.configs.contacts.set(replace(store.configs.contact(BOB.id), approved=True))
    store.close()
    return path


@pytest.fixture
def ramson(monkeypatch, capsys):
    def type_command(*arguments, stdin=""):
        monkeypatch.setattr(sys, "argv", ["ramson", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        try:
            main()
            code = 0
        except SystemExit as stopped:
            code = stopped.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return type_command


def fields(answer):
    code, out, err = answer
    assert (code, err) == (0, "")
    return json.loads(out)


def test_contacts_are_listed(ramson):
    assert ramson("contacts") == (0, f"{BOB.id}  “Bob”\n", "")
    (contact,) = fields(ramson("contacts", "--json"))
    assert (contact["id"], contact["name"], contact["approved"], contact["blocked"]) == (BOB.id.hex, "Bob", True, False)


def test_programs_are_told_of_the_pictures_of_contacts(ramson, file):
    store = Store.open(file, PASSPHRASE, entropy=random.Random(0))
    shown = Picture("http://files.example/file/1#d", bytes(32))
    with store.configs.changing():
        store.configs.contacts.set(replace(store.configs.contact(BOB.id), picture=shown))
        store.db.execute("INSERT INTO pictures VALUES (?, ?, ?, 0)", (shown.url, shown.key, GIF))
    store.close()
    (contact,) = fields(ramson("contacts", "--json"))
    assert contact["avatar"] == {"type": "image/gif", "bytes": len(GIF)}
    assert ramson("contacts") == (0, f"{BOB.id}  “Bob”\n", "")


def test_requests_are_listed_with_what_was_said_and_names_cannot_touch_the_terminal(ramson):
    code, out, _ = ramson("requests", "list")
    assert code == 0
    assert "buy owls" in out
    assert out.startswith(f"{EVE.id}  “Eve�[2J”\n    20")
    assert out.endswith(f" {EVES} “Eve�[2J”: buy owls\n")
    (request,) = fields(ramson("requests", "list", "--json"))
    assert (request["id"], request["unread"], request["last"]["body"]) == (EVE.id.hex, 1, "buy owls")
    assert (request["last"]["request"], request["last"]["profile_name"]) == (True, "Eve\x1b[2J")
    assert (request["profile_name"], request["nickname"]) == ("Eve\x1b[2J", "")


def test_conversations_are_listed_and_a_request_is_none(ramson):
    code, out, _ = ramson("conversations")
    first, last = out.splitlines()
    assert (code, first) == (0, f"{BOB.id}  “Bob”  1 unread")
    assert last.endswith(f" {BOBS} “Bob”: the owl flies at noon")
    (line,) = fields(ramson("conversations", "--json"))
    assert (line["id"], line["unread"], line["last"]["body"]) == (BOB.id.hex, 1, "the owl flies at noon")


def test_what_was_said_can_be_read_with_its_numbers_and_stays_unread(ramson):
    code, out, _ = ramson("history", BOB.id.hex)
    (message,) = fields(ramson("history", BOB.id.hex, "--json"))
    assert code == 0
    assert out.startswith(f"{message['id']:>6}  20")
    assert out.endswith(f" {BOBS} “Bob”: the owl flies at noon\n")
    assert (message["sender"], message["profile_name"], message["nickname"]) == (BOB.id.hex, "Bob", "")
    assert message["request"] is False
    assert fields(ramson("conversations", "--json"))[0]["unread"] == 1
    assert ramson("history", ALICE.id.hex) == (0, "", "")


def test_messages_are_found(ramson):
    found = fields(ramson("search", "owl", "--json"))
    assert {message["body"] for message in found} == {"the owl flies at noon", "buy owls"}
    (only,) = fields(ramson("search", "owl", "--with", BOB.id.hex, "--json"))
    assert only["sender"] == BOB.id.hex
    assert "the owl flies at noon" in ramson("search", "owl flies")[1]
    assert ramson("search", "nothing like it") == (0, "", "")


@pytest.fixture
def nicknamed(file):
    """What Alice calls Bob and Eve, who has taken Bob's name."""
    store = Store.open(file, PASSPHRASE, entropy=random.Random(0))
    with store.configs.changing():
        for keys, name, nickname in ((BOB, "Robert", "Bobby"), (EVE, "Bob", "")):
            store.configs.contacts.set(replace(store.configs.contact(keys.id), name=name, nickname=nickname))
    store.close()


def test_people_are_shown_as_we_call_them(ramson, nicknamed):
    assert ramson("contacts") == (0, f"{BOB.id}  Bobby\n", "")
    assert ramson("conversations")[1].startswith(f"{BOB.id}  Bobby  1 unread\n")
    assert ramson("history", BOB.id.hex)[1].endswith(" Bobby: the owl flies at noon\n")
    assert ramson("search", "flies")[1].endswith(" Bobby: the owl flies at noon\n")
    assert ramson("search", "buy")[1].endswith(f" {EVES} “Bob”: buy owls\n")
    (line,) = fields(ramson("conversations", "--json"))
    assert (line["name"], line["nickname"], line["profile_name"]) == ("Bobby", "Bobby", "Robert")
    (message,) = fields(ramson("search", "flies", "--json"))
    assert (message["nickname"], message["profile_name"]) == ("Bobby", "Robert")


def test_what_we_call_somebody_is_taken_for_their_id(ramson, nicknamed):
    assert ramson("history", "bobby") == ramson("history", BOB.id.hex)
    (only,) = fields(ramson("search", "owl", "--with", "BOBBY", "--json"))
    assert only["sender"] == BOB.id.hex


@pytest.mark.parametrize("command", [("history",), ("search", "owl", "--with"), ("send",), ("chat",)])
@pytest.mark.parametrize("name", ["Bob", "Robert", "Bobbi"])
def test_what_they_call_themselves_is_not_and_the_error_says_what_would_fit(ramson, nicknamed, command, name):
    code, out, err = ramson(*command, name, *(("hello",) if command == ("send",) else ()))
    assert (code, out) == (1, "")
    fits = "Give the account id, or" if name == "Robert" else "Did you mean Bobby?"
    assert err.startswith(f"You call nobody “{name}”, and it is no account id. {fits}")
    assert err.count("\n") == 1


def test_an_id_that_was_not_copied_whole_is_told_as_such(ramson):
    for typed in (BOB.id.hex[:-1], BOBS):
        code, _, err = ramson("history", typed)
        assert code == 1
        assert err.startswith("An account id is 66 hexadecimal digits")


def test_the_profile_is_shown(ramson):
    assert ramson("profile", "show") == (0, f"{ALICE.id}\nAlice\n", "")
    shown = fields(ramson("profile", "show", "--json"))
    assert shown == {"id": ALICE.id.hex, "name": "Alice", "picture": None, "avatar": None}


def test_a_limit_may_be_larger_than_any_number_of_messages(ramson):
    assert len(fields(ramson("history", BOB.id.hex, "--limit", 10**30, "--json"))) == 1
    assert len(fields(ramson("search", "owl", "--limit", 10**30, "--json"))) == 2


def test_a_picture_cannot_be_set_and_taken_away_at_once(ramson, tmp_path):
    (tmp_path / "me.gif").write_bytes(GIF)
    code, out, err = ramson("profile", "set", "--no-avatar", "--avatar", tmp_path / "me.gif")
    assert (code, out) == (1, "")
    assert err == "A picture cannot be set and taken away at once. Give --avatar or --no-avatar.\n"


def test_a_name_that_is_too_long_is_told_before_the_network_is_asked(ramson):
    code, out, err = ramson("profile", "set", "--name", "x" * 101)
    assert (code, out) == (1, "")
    assert "100 bytes" in err


def test_an_archive_makes_the_account_again_elsewhere(ramson, tmp_path):
    target = tmp_path / "alice.archive"
    assert ramson("export", target) == (0, f"{target}\n", "")
    assert target.stat().st_mode & 0o777 == 0o600
    again = tmp_path / "again.ramson"
    made = fields(ramson("import", target, "--account", again, "--json"))
    assert made == {"id": ALICE.id.hex, "created": True, "messages": 2}
    assert ramson("search", "owl flies", "--account", again)[1] == ramson("search", "owl flies")[1]
    added = fields(ramson("import", target, "--json"))
    assert added == {"id": ALICE.id.hex, "created": False, "messages": 0}


def test_copies_for_reading(ramson, tmp_path):
    page, data = tmp_path / "m.html", tmp_path / "m.json"
    assert ramson("export", page, "--format", "html")[0] == 0
    assert "the owl flies at noon" in page.read_text()
    assert fields(ramson("export", data, "--format", "json", "--json"))["format"] == "json"
    assert json.loads(data.read_text())["account"] == ALICE.id.hex


def test_a_chat_that_ends_without_a_network_says_that_something_is_left(ramson, monkeypatch):
    monkeypatch.setattr(chat, "SOON_SECONDS", 0.05)
    monkeypatch.setattr(chat, "DRAIN_SECONDS", 0.05)
    code, out, err = ramson("chat", BOB.id.hex, "--history", 0, stdin="hello\n/quit\n")
    assert (code, out) == (0, "")
    assert err == "(what is not sent stays in the outbox and goes out the next time)\n"
    assert [message["state"] for message in fields(ramson("history", BOB.id.hex, "--json"))][-1] == "sending"
    assert ramson("chat", BOB.id.hex, "--history", 0, stdin="/quit\n")[2] == err


def test_an_export_that_does_not_fit_leaves_nothing(ramson, tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, _data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(keeping.os, "fdopen", lambda descriptor, _mode: os.close(descriptor) or Full())
    target = tmp_path / "copy.json"
    code, out, err = ramson("export", target, "--format", "json")
    assert (code, out) == (1, "")
    assert err == f"{target} cannot be written: No space left on device. Name another place.\n"
    assert not target.exists()


def test_nothing_is_overwritten(ramson, file):
    before = file.read_bytes()
    code, _, err = ramson("export", file)
    assert code == 1
    assert "already" in err
    assert file.read_bytes() == before


def test_a_wrong_archive_passphrase_and_no_archive_are_told(ramson, tmp_path, monkeypatch, file):
    store = Store.open(file, PASSPHRASE, entropy=random.Random(0))
    archive = tmp_path / "a"
    archive.write_bytes(seal(store, "something else", entropy=random.Random(9), cost=CHEAP))
    store.close()
    assert "passphrase is wrong" in ramson("import", archive)[2]
    archive.write_bytes(b"junk")
    assert "not an archive" in ramson("import", archive)[2]
    assert "cannot be read" in ramson("import", tmp_path / "missing")[2]
    assert not (tmp_path / "new").exists()
    assert ramson("import", archive, "--account", tmp_path / "new")[0] == 1
    assert not (tmp_path / "new").exists()
