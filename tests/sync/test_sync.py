"""The synchronous API on a whole network in virtual time, and its loop in a thread."""

import asyncio
import importlib.util
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

import ramson
from ramson import State
from ramson.messenger import AccountFileMissing, KeyCost, NoReply, NotOpen, events
from ramson.network import NetworkProfile
from ramson.protocol.network_file import NetworkFile, Seed
from ramson.sync import Client, Iteration, Message, MessageReceived, WrongThread, timeout
from ramson.sync.loop import PROCESS_LOOP, BackgroundLoop
from ramson.testing.sync import NothingHeard, fake_network

TOOL = Path(__file__).parents[2] / "tools" / "write_sync.py"
NOWHERE = NetworkProfile.from_file(NetworkFile(nodes=(), seeds=(Seed("https://127.0.0.1:9/json_rpc", bytes(32)),)))
CHEAP = KeyCost(passes=1, memory=13)


def client(path, **options):
    return Client.create(path, passphrase="correct horse", network=NOWHERE, cost=CHEAP, **options)


def test_people_talk_without_a_word_of_asyncio():
    with fake_network() as net, net.person("Alice") as alice, net.person("Bob") as bob:
        receipt = alice.say(bob.account_id, "hello")
        assert (receipt.state, receipt.stored) == (State.SENT, receipt.total)
        heard = bob.hear()
        assert (heard.body, heard.sender) == ("hello", alice.account_id)
        assert heard.reply("hi", quote=True).state is State.SENT
        heard.react("👍")
        answer = alice.hear()
        assert (answer.body, answer.quote.sent_ms) == ("hi", receipt.sent_ms)
        net.until(lambda: bool(alice.client.history(bob.account_id)[0].reactions))
        assert [each.body for each in bob.client.history(alice.account_id)] == ["hello", "hi"]
        assert alice.client.contact(bob.account_id).name == "Bob"


def test_what_has_verbs_comes_as_its_twin_wherever_it_is_held():
    with fake_network() as net, net.person("Alice") as alice, net.person("Bob") as bob:
        happened = bob.client.events()
        alice.say(bob.account_id, "hello")
        event = next(each for each in happened if isinstance(each, events.MessageReceived))
        assert isinstance(event, MessageReceived)
        match event:
            case MessageReceived(Message(body="hello") as message):
                message.mark_read()
        (line,) = bob.client.requests()
        assert line.last.reply("you too").state is State.SENT
        assert isinstance(line.last, Message)
        assert isinstance(line.last, ramson.Message)
        assert replace(message, body="x").reply("and more").state is State.SENT
        happened.close()
        assert list(happened) != []  # what waited is still there
        assert list(happened) == []


def test_a_message_counts_as_delivered_when_the_next_is_asked_for_or_the_block_ends_well():
    with fake_network() as net, net.person("Alice") as alice:
        with net.person("Bob") as bob:
            pass
        for text in ("one", "two", "three", "four"):
            alice.say(bob.account_id, text)

        def fail_at_two():
            with net.client("Bob") as me:
                for message in me.messages():
                    if message.body == "two":
                        raise ValueError(message.body)

        with pytest.raises(ValueError, match="two"):
            fail_at_two()
        with net.client("Bob") as me:
            assert next(me.messages()).body == "two"
        with net.client("Bob") as me:
            assert [message.body for message in islice(me.messages(), 2)] == ["three", "four"]


def test_a_wait_that_was_cut_short_loses_nothing():
    with fake_network() as net, net.person("Alice") as alice, net.person("Bob") as bob:
        messages = bob.client.messages()
        with timeout(30), timeout(60), pytest.raises(TimeoutError):
            next(messages)
        assert 25 < net.now < 40
        with pytest.raises(NothingHeard):
            bob.hear(within=5)
        alice.say(bob.account_id, "hello")
        assert next(messages).body == "hello"
        status = alice.client.watch_path()
        assert next(status) == alice.client.path
        with timeout(1), pytest.raises(TimeoutError):
            next(status)
        assert next(status) == alice.client.path


def test_what_came_at_the_moment_a_wait_ended_is_given_by_the_next_step():
    class Late:
        """Does the work, and ends the first wait for it nevertheless."""

        late = True

        def run(self, work, host=None):
            answer = PROCESS_LOOP.run(work, host)
            if answer is not None and self.late:
                self.late = False
                raise TimeoutError
            return answer

    async def numbers():
        for number in (1, 2):
            yield number

    found = Iteration(Late(), None, numbers)
    with pytest.raises(TimeoutError):
        next(found)
    assert list(found) == [1, 2]


def test_errors_are_those_of_ramson(tmp_path):
    with pytest.raises(AccountFileMissing), Client.open(tmp_path / "none", passphrase="correct horse", network=NOWHERE):
        pass
    closed = client(tmp_path / "me")
    with pytest.raises(NotOpen):
        closed.contacts()
    with closed:
        with pytest.raises(ramson.LocalError):
            closed.send("nobody", "text")
        assert closed.contacts() == []
    with pytest.raises(NotOpen):
        closed.contacts()
    with pytest.raises(NoReply):
        Message(*[closed] * 2, "", 0, None, State.SENT, closed).reply("x")


def test_threads_share_a_client_and_are_told_when_it_is_closed(tmp_path):
    ended, identities = [], set()
    waiting = threading.Barrier(3)

    def listen(me):
        messages = me.messages()
        waiting.wait()
        ended.append(list(messages))

    def ask(me):
        waiting.wait()
        for _ in range(50):
            identities.add(me.account_id)

    with client(tmp_path / "me") as me:
        threads = [threading.Thread(target=target, args=(me,)) for target in (listen, ask)]
        for thread in threads:
            thread.start()
        waiting.wait()
        threads[1].join(30)
        identity = me.account_id
    threads[0].join(30)
    assert (ended, identities) == ([[]], {identity})


def test_a_call_beside_a_host_that_dies_raises_its_error():
    loop = BackgroundLoop()

    async def die():
        await asyncio.sleep(0)
        raise ValueError("dead")

    async def host():
        return asyncio.get_running_loop().create_task(die())

    with pytest.raises(ValueError, match="dead"):
        loop.run(asyncio.Event().wait, loop.run(host))
    loop.close()


def test_a_loop_ends_its_work_and_starts_again(caplog):
    loop, ended = BackgroundLoop(), []

    async def start():
        async def work():
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        loop.task = asyncio.get_running_loop().create_task(work())
        await asyncio.sleep(0)

    loop.run(start)
    loop.close()
    assert ended == [True]
    loop.run(start)
    loop.close()
    loop.close()
    assert ended == [True, True]


def test_it_refuses_to_wait_for_itself():
    async def work():
        PROCESS_LOOP.run(asyncio.Event().wait)

    with pytest.raises(WrongThread):
        PROCESS_LOOP.run(work)


def test_ctrl_c_ends_a_wait_and_then_the_block(tmp_path):
    program = """
import sys
from ramson.sync import Client
from tests_nowhere import NOWHERE, CHEAP
with Client.create("me", passphrase="correct horse", network=NOWHERE, cost=CHEAP) as me:
    try:
        print("ready", flush=True)
        for message in me.messages():
            pass
    finally:
        print("interrupted", me.count_messages(), flush=True)
"""
    (tmp_path / "program.py").write_text(program)
    (tmp_path / "tests_nowhere.py").write_text(
        "from ramson.messenger import KeyCost\nfrom ramson.network import NetworkProfile\n"
        "from ramson.protocol.network_file import NetworkFile, Seed\n"
        "NOWHERE = NetworkProfile.from_file(NetworkFile(nodes=(), "
        'seeds=(Seed("https://127.0.0.1:9/json_rpc", bytes(32)),)))\nCHEAP = KeyCost(passes=1, memory=13)\n'
    )
    with subprocess.Popen(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout.readline() == "ready\n"
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert out == "interrupted 0\n"
    assert err.strip().endswith("KeyboardInterrupt")
    assert running.returncode == -signal.SIGINT


def test_an_iteration_is_an_iterator():
    with fake_network() as net, net.person("Alice") as alice:
        with alice.client.messages() as messages:
            assert isinstance(messages, Iteration)
        assert list(messages) == []


def test_what_is_written_is_what_would_be_written():
    spec = importlib.util.spec_from_file_location("write_sync", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for path, source in tool.pages().items():
        assert path.read_text() == tool.formatted(source, path), f"{path.name} is stale: python tools/write_sync.py"
