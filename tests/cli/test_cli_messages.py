"""`ramson send`, `listen`, `path` and `doctor` on sockets, against a small network of processes."""

import asyncio
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading

import apsw
import pytest
from screens import Screen

from ramson.crypto.account import AccountKeys
from ramson.devnet import Devnet
from ramson.messenger import KeyCost
from ramson.messenger.store import Store
from ramson.protocol import network_file
from ramson.protocol.network_file import NetworkFile, Seed
from ramson.world import real

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]  # dozens of commands each, on whatever machine

PASSPHRASE = "correct horse"


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """The path of the network.json of six nodes in two swarms, which run on a thread of their own."""
    directory = tmp_path_factory.mktemp("devnet")
    started: queue.Queue = queue.Queue()

    async def main():
        stop = asyncio.Event()
        async with Devnet(real.world(), directory, nodes=6, swarms=2, file_server=True) as devnet:
            started.put((devnet.network_path, asyncio.get_running_loop(), stop))
            await stop.wait()

    def work():
        try:
            asyncio.run(main())
        except BaseException as error:
            started.put(error)

    thread = threading.Thread(target=work)
    thread.start()
    answer = started.get(timeout=100)
    if isinstance(answer, BaseException):
        raise answer
    path, loop, stop = answer
    yield path
    loop.call_soon_threadsafe(stop.set)
    thread.join()


@pytest.fixture
def people(tmp_path, network):
    """Alice and Bob: their ids, and a way to type commands as them."""
    entropy = real.world().entropy
    ids = {}
    for name in ("alice", "bob"):
        keys = AccountKeys.generate(entropy)
        cost = KeyCost(passes=1, memory=13)
        Store.create(tmp_path / name, PASSPHRASE, keys, name=name, now_ms=0, entropy=entropy, cost=cost)
        ids[name] = keys.id.hex

    def start(name, *arguments, environ=None, **options):
        environment = (
            os.environ
            | {
                "RAMSON_PASSPHRASE": PASSPHRASE,
                "RAMSON_ACCOUNT": str(tmp_path / name),
                "RAMSON_NETWORK": str(network),
                "XDG_DATA_HOME": str(tmp_path),
                "XDG_CONFIG_HOME": str(tmp_path / "settings"),
            }
            | (environ or {})
        )
        command = [sys.executable, "-m", "ramson", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        return subprocess.Popen(command, env=environment, **pipes)

    return ids, start


@pytest.fixture
def nowhere(tmp_path):
    """A network whose only seed does not answer."""
    seed = Seed("https://127.255.255.254:1/json_rpc")
    path = tmp_path / "nowhere.json"
    path.write_bytes(network_file.encode(NetworkFile(nodes=(), seeds=(seed,))))
    return path


def first(identity):
    """What is said of the first message to somebody unknown."""
    return f"this is the first message to {short(identity)}"


def short(identity):
    return f"{identity[:8]}…{identity[-6:]}"


def finish(process, stdin=None):
    out, err = process.communicate(stdin, timeout=60)
    return process.returncode, out, err


def test_files_are_sent_shown_and_saved(people, tmp_path):
    ids, start = people
    photo, note, target = tmp_path / "photo.txt", tmp_path / "note.bin", tmp_path / "saved"
    photo.write_text("a thousand words")
    note.write_bytes(bytes(100_000))
    target.mkdir()
    code, out, err = finish(start("alice", "send", ids["bob"], "--file", str(photo), "--voice", str(note)))
    assert (code, out, err) == (0, f"{first(ids['bob'])}\nsent: stored by 3 of 3 nodes\n", "")
    listening = start("bob", "listen", "--json")
    heard = json.loads(listening.stdout.readline())
    listening.send_signal(signal.SIGINT)
    assert finish(listening)[0] == 0
    files = [(each["name"], each["type"], each["size"], each["voice"]) for each in heard["attachments"]]
    assert files == [("photo.txt", "text/plain", 16, False), ("note.bin", "application/octet-stream", 100_000, True)]

    number = str(heard["id"])
    code, out, err = finish(start("bob", "save", number, "--tell"))
    assert (code, out) == (1, "")
    assert "not accepted" in err
    invitation = ("--invite", "Lobby", "https://open.example/lobby?public_key=00")
    code, _, _ = finish(start("bob", "send", ids["alice"], "seen", "--quote", number, *invitation))
    assert code == 0
    code, out, _ = finish(start("bob", "save", number, "--to", str(target), "--tell"))
    assert (code, out) == (0, f"{target}/photo.txt\n{target}/note.bin\n")
    assert (target / "photo.txt").read_text() == "a thousand words"
    code, out, _ = finish(start("bob", "save", number, "--to", str(target), "--json"))
    assert [each["file"] for each in json.loads(out)] == [f"{target}/photo (2).txt", f"{target}/note (2).bin"]
    code, _, err = finish(start("bob", "save", "999"))
    assert (code, err) == (1, "There is no message 999 with files. `ramson history ID` shows numbers.\n")
    listening = start("alice", "listen")
    shown = [listening.stdout.readline() for _ in range(2)]
    listening.send_signal(signal.SIGINT)
    assert finish(listening)[0] == 0
    assert any("(media saved)" in line for line in shown)
    assert any("[answer to" in line and "seen (invitation to the community Lobby: https://" in line for line in shown)


def test_what_is_sent_is_heard_once_across_restarts(people):
    ids, start = people
    code, out, err = finish(start("alice", "send", ids["bob"], "hello"))
    assert (code, out, err) == (0, f"{first(ids['bob'])}\nsent: stored by 3 of 3 nodes\n", "")

    listening = start("bob", "listen", "--json")
    heard = json.loads(listening.stdout.readline())
    assert (heard["sender"], heard["body"]) == (ids["alice"], "hello")
    assert (heard["request"], heard["nickname"], heard["profile_name"]) == (True, "", "alice")
    code, out, err = finish(
        start("alice", "send", ids["bob"], "-", "--json", stdin=subprocess.PIPE), stdin="from a pipe\n"
    )
    receipt = json.loads(out)
    assert (code, receipt["state"], receipt["stored"]) == (0, "sent", 3)
    heard = json.loads(listening.stdout.readline())
    assert (heard["body"], heard["hash"], heard["sent_ms"]) == ("from a pipe", receipt["hash"], receipt["sent_ms"])
    listening.send_signal(signal.SIGINT)
    assert finish(listening) == (0, "", "")

    code, out, err = finish(start("alice", "send", ids["bob"], "\x1b[31mred"))
    assert (code, out, err) == (0, "sent: stored by 3 of 3 nodes\n", "")
    listening = start("bob", "listen")
    line = listening.stdout.readline()
    assert line.endswith(f" {short(ids['alice'])} “alice”: \ufffd[31mred\n")
    listening.send_signal(signal.SIGINT)
    assert finish(listening)[0] == 0


def test_who_listens_with_subscriptions_is_told_that_they_work(people):
    ids, start = people
    listening = start("bob", "listen", "--json", "--subscribe")
    assert json.loads(listening.stdout.readline()) == {"event": "subscription", "live": True}
    assert finish(start("alice", "send", ids["bob"], "hello"))[0] == 0
    assert json.loads(listening.stdout.readline())["body"] == "hello"
    listening.send_signal(signal.SIGINT)
    assert finish(listening)[0] == 0
    code, out, err = finish(
        start("bob", "listen", "--subscribe", "--json", environ={"RAMSON_PROXY": "tor://127.0.0.1:1"})
    )
    assert (code, out) == (1, "")
    assert err.startswith("Subscriptions connect straight to nodes, past the proxies")


def test_a_message_left_in_the_outbox_goes_out_with_the_next_command(people):
    ids, start = people
    assert finish(start("alice", "send", ids["bob"], "first", "--no-wait")) == (
        0,
        f"{first(ids['bob'])}\nsending\n",
        "",
    )
    assert finish(start("alice", "send", ids["bob"], "second"))[0] == 0
    listening = start("bob", "listen", "--json")
    assert [json.loads(listening.stdout.readline())["body"] for _ in range(2)] == ["first", "second"]
    listening.kill()
    finish(listening)


def test_a_program_that_stops_reading_ends_the_listener_without_noise(people):
    ids, start = people
    finish(start("alice", "send", ids["bob"], "one"))
    listening = start("bob", "listen", "--json")
    assert json.loads(listening.stdout.readline())["body"] == "one"
    listening.stdout.close()
    finish(start("alice", "send", ids["bob"], "two"))
    assert listening.wait(60) == 0
    with listening.stderr as errors:
        assert errors.read() == ""
    listening = start("bob", "listen", "--json")  # it was not shown, so it comes again
    assert json.loads(listening.stdout.readline())["body"] == "two"
    listening.kill()
    finish(listening)


def test_without_a_network_a_message_stays_in_the_outbox_and_the_command_says_so(people, nowhere):
    ids, start = people
    code, out, err = finish(start("alice", "send", ids["bob"], "later", "--timeout", "2", "--network", str(nowhere)))
    assert (code, out) == (1, f"{first(ids['bob'])}\n")
    assert err.count("\n") == 1
    assert "outbox" in err
    assert finish(start("alice", "send", ids["bob"], "now"))[0] == 0
    listening = start("bob", "listen", "--json")
    assert [json.loads(listening.stdout.readline())["body"] for _ in range(2)] == ["later", "now"]
    listening.kill()
    finish(listening)


def test_ctrl_c_ends_a_waiting_command_cleanly(people, nowhere):
    ids, start = people
    at = Screen()
    waiting = start("alice", "send", ids["bob"], "later", "--network", str(nowhere), stderr=at.line)
    try:
        at.until("Looking for a way")
        waiting.send_signal(signal.SIGINT)
        assert finish(waiting) == (130, f"{first(ids['bob'])}\n", None)
        assert "Traceback" not in at.until("The message stays in the outbox")
    finally:
        waiting.kill()
        waiting.wait()
        at.close()


def test_listening_ends_when_nobody_reads_what_came(people):
    ids, start = people
    finish(start("alice", "send", ids["bob"], "for nobody"))
    read, write = os.pipe()
    os.close(read)
    listening = start("bob", "listen", stdout=write)
    os.close(write)
    assert finish(listening) == (0, None, "")


def test_the_path_is_shown_for_people_and_for_programs(people):
    _, start = people
    code, out, err = finish(start("alice", "path"))
    assert (code, err) == (0, "")
    assert out.startswith("green: ")
    assert "you → 127." in out
    code, out, _ = finish(start("alice", "path", "--json"))
    status = json.loads(out)
    assert (code, status["light"], len(status["paths"])) == (0, "green", 2)
    assert [hop["place"] for hop in status["paths"][0]] == ["guard", "middle", "last"]


def shown_path(start, *options):
    """Return what `ramson path --json` says."""
    code, out, err = finish(start("alice", "path", "--json", *options))
    assert (code, err) == (0, "")
    return json.loads(out)


def keys(path):
    return [hop["ed25519"] for hop in path]


def test_a_pinned_path_is_taken_at_the_next_start_until_it_is_forgotten(people):
    _, start = people
    pinned = shown_path(start, "--pin")
    wanted = keys(pinned["paths"][0])
    again = shown_path(start)
    assert (again["pinned"], pinned["way"]) == (True, "the straight way")
    assert wanted in [keys(path) for path in again["paths"]]
    assert shown_path(start, "--unpin")["pinned"] is False


def test_a_reroll_keeps_guards_and_forgets_the_pin(people):
    _, start = people
    before = shown_path(start, "--pin")
    after = shown_path(start, "--reroll")
    assert after["pinned"] is False
    assert {path[0]["ed25519"] for path in after["paths"]} == {path[0]["ed25519"] for path in before["paths"]}
    code, _, err = finish(start("alice", "path", "--guards"))
    assert (code, "--reroll" in err) == (1, True)


def test_nodes_that_are_not_to_be_hops_are_none_and_the_cost_is_said(people):
    _, start = people
    unwanted = shown_path(start)["paths"][1][1]["ip"]
    for seconds in ("4", "16", "50"):  # a second path is waited for in vain, and a slow machine needs long for one
        code, out, _ = finish(start("alice", "path", "--json", "--timeout", seconds, "--avoid", f"{unwanted}/32"))
        status = json.loads(out)
        if status["light"] != "red":
            break
    assert (code, status["light"]) == (0, "orange")  # five nodes are enough for one path only
    assert unwanted not in {hop["ip"] for path in status["paths"] for hop in path}
    assert "5 of 6 nodes" in status["cautions"][0]
    code, _, err = finish(start("alice", "path", "--only", "Germany"))
    assert (code, "neither a country nor a network" in err) == (1, True)


def test_the_path_is_watched_line_by_line(people):
    _, start = people
    process = start("alice", "path", "--watch", "--json")
    while (status := json.loads(process.stdout.readline()))["light"] != "green":
        assert status["reason"]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0


def until(process, wanted):
    """Read JSON lines of a chat until one of this kind comes."""
    while line := process.stdout.readline():
        event = json.loads(line)
        if event["event"] == wanted:
            return event
    raise AssertionError(process.communicate())


def test_two_people_chat_decide_about_requests_and_change_names(people, tmp_path):
    ids, start = people
    finish(start("alice", "send", ids["bob"], "do you know me?"))
    code, out, err = finish(start("bob", "requests", "list", "--fetch", "--json"))
    (request,) = json.loads(out)
    assert (code, err, request["id"], request["last"]["body"]) == (0, "", ids["alice"], "do you know me?")
    for decide in ("accept", "decline"):
        code, out, err = finish(start("bob", "requests", decide, ids["bob"]))
        assert (code, out) == (1, "")
        assert err.startswith("This person has made no request and is no contact. ")
    code, out, err = finish(start("bob", "requests", "accept", ids["alice"], "--json"))
    assert (code, err, json.loads(out)["approved"]) == (0, "", True)

    code, out, err = finish(start("bob", "nickname", ids["alice"], "my Alice", "--json"))
    assert (code, err, json.loads(out)["nickname"]) == (0, "", "my Alice")

    alice, bob = (
        start(name, "chat", other, "--json", stdin=subprocess.PIPE)
        for name, other in (("alice", ids["bob"]), ("bob", "my alice"))
    )
    said = until(bob, "message")  # from the history
    assert (said["body"], said["nickname"], said["request"]) == ("do you know me?", "my Alice", False)
    bob.stdin.write("now I do\n")
    bob.stdin.flush()
    assert until(bob, "receipt")["state"] == "sent"
    while until(alice, "message")["body"] != "now I do":
        pass
    alice.stdin.write("/react 👍\n")
    alice.stdin.flush()
    assert until(bob, "reaction")["emoji"] == "👍"
    bob.stdin.write("/unsend\n")
    bob.stdin.flush()
    assert until(alice, "unsent")
    (tmp_path / "file.txt").write_text("from the chat")
    bob.stdin.write(f"/quote indeed\n/file {tmp_path}/file.txt\n/screenshot\n/disappear 3600\n/nonsense\n")
    bob.stdin.flush()
    assert until(bob, "disappearing")["seconds"] == 3600
    heard = [until(alice, "message") for _ in range(4)]
    assert {each["kind"] for each in heard} == {"text", "screenshot", "timer"}
    (quoting,) = [each for each in heard if each["body"] == "indeed"]
    assert quoting["quote"]["author"] == ids["alice"]
    (tmp_path / "saved").mkdir()
    alice.stdin.write(f"/save {tmp_path}/saved\n")
    alice.stdin.flush()
    assert until(alice, "saved")["file"] == f"{tmp_path}/saved/file.txt"
    assert (tmp_path / "saved" / "file.txt").read_text() == "from the chat"
    for chat in (alice, bob):
        assert finish(chat, "/quit\n")[0] == 0

    assert finish(start("alice", "profile", "set", "--name", "Alicia", "--json"))[:2] == (
        0,
        '{"name": "Alicia", "avatar": null}\n',
    )
    finish(start("alice", "send", ids["bob"], "I have a new name"))
    (contact,) = json.loads(finish(start("bob", "contacts", "--fetch", "--json"))[1])
    assert contact["name"] == "Alicia"
    listening = start("bob", "listen")
    assert listening.stdout.readline().endswith(
        " my Alice: I have a new name\n"
    )  # what the chat showed is not told again
    listening.kill()
    finish(listening)
    assert finish(start("bob", "requests", "block", "MY ALICE"))[0] == 0
    code, out, err = finish(start("bob", "send", "my Alice", "x"))
    assert (code, out) == (1, "")
    assert "blocked" in err
    code, _, err = finish(start("bob", "nickname", ids["bob"], "me"))
    assert (code, err) == (1, "Nobody whom you know has this id. Write to them first.\n")
    assert finish(start("bob", "nickname", "my Alice", ""))[:2] == (0, "")
    assert finish(start("bob", "contacts"))[1] == f"{ids['alice']}  “Alicia”  blocked\n"


def test_a_restored_account_that_only_sends_first_learns_its_name_nicknames_and_timers(people):
    ids, start = people
    finish(start("alice", "send", ids["bob"], "hi"))  # which tells the other devices of the contact, too
    finish(start("alice", "nickname", ids["bob"], "Bobby"))
    finish(start("alice", "chat", "bobby", stdin=subprocess.PIPE), "/disappear 3600\n/quit\n")
    phrase = finish(start("alice", "account", "show", "--phrase", stdin=subprocess.PIPE), "y\n")[1]
    restoring = start("laptop", "account", "restore", stdin=subprocess.PIPE)
    assert finish(restoring, phrase)[:2] == (0, f"{ids['alice']}\n")
    code, out, err = finish(start("laptop", "send", "bobby", "from the laptop"))
    assert (code, out, err) == (0, "sent: stored by 3 of 3 nodes\n", "")
    (sent,) = json.loads(finish(start("laptop", "history", "bobby", "--json"))[1])
    assert sent["expiration"] == {"mode": "after_send", "seconds": 3600}
    (request,) = json.loads(finish(start("bob", "requests", "list", "--fetch", "--json"))[1])
    assert (request["profile_name"], request["last"]["body"]) == ("alice", "from the laptop")
    assert request["last"]["expiration"] == sent["expiration"]

    finish(start("alice", "nickname", ids["bob"], "Robert"))
    assert finish(start("laptop", "send", "robert", "again"))[0] == 1
    assert finish(start("laptop", "send", "--fetch", "robert", "again"))[:2] == (0, "sent: stored by 3 of 3 nodes\n")


def test_a_restored_account_sends_nothing_while_it_cannot_learn_what_its_devices_know(people, nowhere):
    ids, start = people
    phrase = finish(start("alice", "account", "show", "--phrase", stdin=subprocess.PIPE), "y\n")[1]
    finish(start("laptop", "account", "restore", stdin=subprocess.PIPE), phrase)
    environ = {"RAMSON_NETWORK": str(nowhere)}
    code, out, err = finish(start("laptop", "send", "--timeout", "1", ids["bob"], "x", environ=environ))
    assert (code, out) == (1, "")
    assert err == (
        "The network did not answer within 1 s: what your other devices know could not be fetched; nothing was sent or"
        " kept. `ramson doctor` says what helps.\n"
    )
    assert finish(start("laptop", "history", ids["bob"]))[:2] == (0, "")


def test_who_writes_to_an_unknown_id_in_a_chat_is_told_so_once(people):
    ids, start = people
    chat = start("alice", "chat", ids["bob"], stdin=subprocess.PIPE)
    code, _, err = finish(chat, "one\ntwo\n/quit\n")
    assert code == 0
    assert err.count(f"({first(ids['bob'])})\n") == 1
    code, out, err = finish(start("alice", "chat", ids["alice"], stdin=subprocess.PIPE), "to myself\n/quit\n")
    assert (code, out, err) == (0, "", "")


def test_a_person_chats_at_a_terminal(people):
    ids, start = people
    at = Screen()
    ends = dict.fromkeys(("stdin", "stdout", "stderr"), at.line)
    chat = start("alice", "chat", ids["bob"], **ends)
    try:
        at.until("/help")  # below the line
        at.type("good mor")
        at.until("good mor")
        assert finish(start("bob", "send", ids["alice"], "are you \x1b[2Jthere?"))[0] == 0
        seen = at.until("are you �[2Jthere?")
        assert "\x1b[2Jthere" not in seen
        at.until("good mor")  # drawn anew
        at.type("ning\r")
        at.until("3 of 3 ")  # only what is new of "sent to 3 of 3 nodes" is written
        at.type("/nonsense\r")
        at.until("there is no such order")
        at.type("/react 👍\r/help\r")
        at.until("end; so does Ctrl-D")
        assert at.leave(chat) == 0
    finally:
        chat.kill()
        chat.wait()
        at.close()
    assert finish(start("bob", "search", "morning"))[1] == ""  # looking fetches nothing
    assert finish(start("bob", "contacts", "--fetch"))[0] == 0
    assert "good morning" in finish(start("bob", "search", "morning"))[1]


def test_an_account_is_deleted_here_and_everywhere(people):
    ids, start = people
    finish(start("alice", "send", ids["bob"], "for the swarm"))
    code, out, err = finish(start("bob", "account", "delete", "--everywhere", "--yes"))
    assert (code, out, err) == (0, "deleted: confirmed by 3 nodes\n", "")
    assert "no account file" in finish(start("bob", "contacts"))[2]


def test_the_doctor_finds_a_way_and_asks_before_it_looks_for_one(people):
    _, start = people
    plain = start("alice", "doctor", "--dry-run")
    out, _ = plain.communicate(timeout=60)
    assert plain.returncode == 0
    assert "10 nodes of the network" in out
    refused = start("alice", "doctor", stdin=subprocess.DEVNULL)
    _, err = refused.communicate(timeout=60)
    assert refused.returncode == 1
    assert "--yes" in err
    looked = start("alice", "doctor", "--yes", "--json")
    out, _ = looked.communicate(timeout=120)
    found = json.loads(out)
    assert looked.returncode == 0
    assert found["well"]
    assert found["problems"] == []
    assert found["ways"][0] == "the straight way"
    assert {trial["subject"] for trial in found["trials"]} == {"seed", "node", "route"}
    assert abs(found["clock_ahead_ms"]) < 60_000


def test_the_doctor_tells_a_person_in_lines(people):
    _, start = people
    process = start("alice", "--route", "split", "doctor", "--yes")
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "nodes: 6 of 6 answered" in out
    assert "route a split hello" in out


def test_a_report_is_shown_saved_and_sent_when_somebody_says_so(people, tmp_path):
    _, start = people
    home = tmp_path / "collector"
    arguments = ("servers", "reports", "--dir", str(home), "--listen", "127.0.0.1:0", "--stop-with-input")
    server = start("alice", *arguments, stdin=subprocess.PIPE)
    assert server.stdout.readline() == "ready\n"
    port, key = re.search(r"port=(\d+) x25519=([0-9a-f]{64})", server.stderr.readline()).groups()
    saved = tmp_path / "report.json"
    code, out, _ = finish(start("alice", "report", "save", str(saved), "--yes"))
    assert (code, out) == (0, "")
    assert json.loads(saved.read_text())["test_keys"]["session_onion_status"] == "ok"
    code, out, err = finish(start("alice", "report", "save", str(saved), "--yes"))
    assert (code, out, "contacts" in err, "is there already" in err) == (1, "", False, True)
    send = ("report", "send", "--collector", f"http://127.0.0.1:{port}#{key}", "--file", str(saved), "--delay", "0")
    code, out, err = finish(start("alice", *send, stdin=subprocess.DEVNULL))
    assert (code, out, "nobody is there to be asked" in err.lower()) == (1, "", True)
    code, out, err = finish(start("alice", *send, "--send-unasked"))
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert (shown["probe_cc"], shown["probe_ip"], list(shown["annotations"])) == ("ZZ", "127.0.0.1", ["reporter"])
    server.communicate(timeout=60)
    with apsw.Connection(str(home / "reports.sqlite")) as kept:
        assert kept.execute("SELECT count(*) FROM reporters").fetchone() == (1,)
        assert ("ZZ", "AS0", "direct", "ok") in kept.execute(
            "SELECT country, provider, rung, status FROM outcomes"
        ).fetchall()


def test_a_person_is_asked_before_anybody_is_contacted(people):
    _, start = people
    at = Screen()
    ends = dict.fromkeys(("stdin", "stdout", "stderr"), at.line)
    try:
        for answer, wanted in (("n\r", ""), ("y\r", "nothing is wrong")):
            doctor = start("alice", "doctor", **ends)
            assert "drawn at random" in at.until("Contact them now?")
            at.type(answer)
            if wanted:
                at.until(wanted)
            assert doctor.wait(timeout=60) == 0
    finally:
        at.close()


def test_a_person_watches_the_path_at_a_terminal(people):
    _, start = people
    at = Screen()
    watching = start("alice", "path", "--watch", **dict.fromkeys(("stdin", "stdout", "stderr"), at.line))
    try:
        at.until("green: ")
        at.until("way out: the straight way")
        at.until("(guard")
    finally:
        watching.send_signal(signal.SIGINT)
        assert watching.wait(timeout=60) == 0
        at.close()
