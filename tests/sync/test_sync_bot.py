"""Bots whose handlers are ordinary functions: on a fake network in lockstep, and as a program with real threads."""

import asyncio
import os
import re
import subprocess
import sys
import threading

import pytest

from ramson import State
from ramson import filters as f
from ramson.bot import BadHandler
from ramson.messenger import NotOpen
from ramson.network import NetworkProfile
from ramson.protocol.network_file import NetworkFile, Seed
from ramson.sync import Bot, Message, Router, WrongThread, timeout
from ramson.sync.bot import ThreadCalls
from ramson.testing.sync import NothingHeard, fake_network


def bot(**options):
    return Bot("unused.ramson", **options)


def test_handlers_are_functions_that_take_what_they_always_take():
    helper, more = bot(name="Helper"), Router()

    @helper.on(f.command("weather"))
    def weather(message: Message, it: Bot, city: str, days: int = 1) -> str:
        message.react("👀")
        assert it is helper
        assert it.send(message.sender, "wait").state is State.SENT
        assert [line.peer for line in it.client.conversations()] == [message.sender]
        return f"{city}: {days}"

    @more.on(f.regex(r"^(\d+)\+(\d+)$"))
    def add(match: re.Match[str]) -> str:
        return str(int(match[1]) + int(match[2]))

    helper.include(more)
    with fake_network() as net, net.person("Alice") as alice, net.running(helper) as address:
        alice.say(address, "/weather Oslo 3")
        assert [alice.hear().body, alice.hear().body] == ["wait", "Oslo: 3"]
        alice.say(address, "/weather Oslo x")
        assert alice.hear().body == "“days” has to be a whole number.\nUsage: /weather <city> [days]"
        alice.say(address, "2+3")
        assert alice.hear().body == "5"


def test_failures_waits_and_jobs_go_as_they_always_go():
    clumsy, told, beats = bot(), [], []

    @clumsy.on(f.text)
    def handle(message: Message) -> str:
        if message.body == "wait":
            with timeout(5):
                next(message_of_nobody())
        return str(next(iter([])))

    def message_of_nobody():
        return clumsy.client.watch_path()

    @clumsy.on_error
    def sorry(error: Exception, message: Message | None) -> str:
        told.append(type(error))
        return f"sorry, {message.body}"

    @clumsy.every(seconds=30)
    def beat(it: Bot) -> None:
        beats.append(it.account_id)

    with fake_network() as net, net.person("Alice") as alice:
        with net.running(clumsy) as address:
            alice.say(address, "hello")
            assert alice.hear().body == "sorry, hello"
            alice.say(address, "wait")
            assert alice.hear().body == "sorry, wait"
            net.sleep(65)
        assert told == [RuntimeError] * 2
        assert beats[:2] == [address] * 2
        with net.running(clumsy), pytest.raises(NothingHeard):
            alice.hear(within=20)


async def test_a_thread_of_its_own_uses_the_loop_it_was_called_from():
    loop, threads = asyncio.get_running_loop(), []

    def function(beside):
        threads.append(threading.current_thread())

        async def work():
            assert asyncio.get_running_loop() is loop
            return 5

        return beside.run(work) + 1

    assert await ThreadCalls().call(function) == 6
    assert threads != [threading.current_thread()]

    def fail(_beside):
        raise ValueError

    with pytest.raises(ValueError):
        await ThreadCalls().call(fail)


def test_mistakes_are_named():
    lonely = bot()
    with pytest.raises(NotOpen):
        _ = lonely.client
    with pytest.raises(WrongThread):
        lonely.stop()
    with pytest.raises(BadHandler, match="asynchronous"):

        @lonely.on(f.text)
        async def handle(message: Message) -> str:
            return "never"

    with pytest.raises(BadHandler, match="cannot be read"):

        @lonely.on(f.command("x"))
        def other(what: "Unknown") -> str:  # noqa: F821 - that is what is tested
            return "never"


PROGRAM = """
from ramson import filters as f
from ramson.sync import Bot, Message
bot = Bot("bot.ramson", name="Bot")

@bot.every(seconds=0.2)
def stop(it: Bot) -> None:
    print(it.client.count_messages(), it.client.name, flush=True)
    it.stop()

bot.run()
"""


def test_it_works_beside_other_things(tmp_path, monkeypatch):
    monkeypatch.setenv("RAMSON_PASSPHRASE", "correct horse")
    nowhere = NetworkProfile.from_file(NetworkFile(nodes=(), seeds=(Seed("https://127.0.0.1:9/json_rpc", bytes(32)),)))
    with Bot(tmp_path / "bot.ramson", name="Bot", network=nowhere) as busy:
        assert busy.client.name == "Bot"
    with pytest.raises(NotOpen):
        _ = busy.account_id


def test_it_is_a_program(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "network.json").write_text(
        '{"nodes": [], "seeds": [{"url": "https://127.0.0.1:9/json_rpc", "pin": "%s="}]}' % ("A" * 43)
    )
    environment = os.environ | {"RAMSON_PASSPHRASE": "correct horse", "RAMSON_NETWORK": "network.json"}
    with subprocess.Popen(
        [sys.executable, "program.py"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout.readline() == "ready\n"
        assert program.stdout.readline() == "0 Bot\n"
        assert program.wait(timeout=60) == 0
