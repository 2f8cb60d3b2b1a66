"""Bots at work on a whole network in virtual time: order, failures, and stopping without losing or repeating."""

import asyncio
import logging
import re
from contextlib import AsyncExitStack

import pytest

from ramson import Bot, LocalError, Message, Router
from ramson import filters as f
from ramson.messenger import FileToSend, NotOpen
from ramson.testing import NothingHeard, on_fake_network, run


def bot(**options):
    return Bot("unused.ramson", **options)


@on_fake_network
async def test_the_first_handler_in_order_answers_and_no_other(net):
    helper, weather = bot(name="Helper"), Router()

    @helper.on(f.command("stop"))
    async def stop() -> str:
        return "never"

    helper.include(weather)

    @helper.on(f.text)
    async def other(message: Message) -> str:
        return f"what is {message.body}?"

    @weather.on(f.command("weather") & f.direct)  # stands where the router was included
    async def tell(message: Message, city: str, days: int = 1) -> str:
        return f"{city}: {days}"

    @weather.on(f.regex(r"^(\d+)\+(\d+)$"))
    async def add(match: re.Match[str]) -> str:
        return str(int(match[1]) + int(match[2]))

    async with net.running(helper) as address, net.person() as alice:
        answers = []
        for text in ("/weather Oslo", "/weather Oslo 3", "/weather", "/weather Oslo x", "2+3", "weather"):
            await alice.say(address, text)
            answers.append((await alice.hear()).body)
        assert alice.client.contact(address).name == "Helper"
    usage = "\nUsage: /weather <city> [days]"
    assert answers == [
        "Oslo: 1",
        "Oslo: 3",
        f"“city” is missing.{usage}",
        f"“days” has to be a whole number.{usage}",
        "5",
        "what is weather?",
    ]


@on_fake_network
async def test_one_conversation_keeps_its_order_and_others_do_not_wait_for_it(net):
    slow, busy, most, log = bot(workers=4), 0, 0, []

    @slow.on(f.text)
    async def handle(message: Message) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(30)
        busy -= 1
        log.append((message.sender, message.body))

    async with AsyncExitStack() as stack:
        people = [await stack.enter_async_context(net.person(name)) for name in ("A", "B", "C")]
        async with net.running(slow) as address:
            pass
        for number in range(4):
            for person in people:
                await person.say(address, str(number))
        began = asyncio.get_running_loop().time()
        async with net.running(slow):
            await net.until(lambda: len(log) == 12, within=1000)
        took = asyncio.get_running_loop().time() - began
    for person in people:
        assert [body for sender, body in log if sender == person.account_id] == ["0", "1", "2", "3"]
    assert 2 <= most <= 3
    assert took < 12 * 30


@on_fake_network
async def test_no_more_is_in_hand_than_there_are_workers(net):
    shy, busy, most = bot(workers=1), 0, 0

    @shy.on(f.text)
    async def handle(message: Message) -> str:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(5)
        busy -= 1
        return "done"

    async with net.running(shy) as address, net.person("A") as one, net.person("B") as other:
        await asyncio.gather(one.say(address, "x"), other.say(address, "y"))
        await one.hear()
        await other.hear()
    assert most == 1


@pytest.mark.parametrize("own", [False, True])
def test_a_handler_that_fails_is_told_of_and_called_once(own, caplog):
    clumsy, called, told = bot(), [], []

    @clumsy.on(f.text)
    async def handle(message: Message) -> str:
        called.append(message.body)
        if message.body == "secret owl":
            raise ValueError(message.body)
        if message.body == "long":
            return "x" * 3000
        return "fine"

    if own:

        @clumsy.on_error
        async def sorry(error: Exception, message: Message | None) -> str:
            told.append(type(error).__name__)
            return "sorry"

    async def story(net):
        async with net.person() as alice:
            async with net.running(clumsy) as address:
                await alice.say(address, "secret owl")
                if own:
                    assert (await alice.hear()).body == "sorry"
                await alice.say(address, "long")
                await alice.say(address, "well")
                assert (await alice.hear()).body == "fine"
            async with net.running(clumsy):
                await asyncio.sleep(60)

    with caplog.at_level(logging.INFO):
        run(story)
    assert called == ["secret owl", "long", "well"]
    if own:
        assert told == ["ValueError", "BadText"]
    else:
        assert "a handler failed: ValueError at test_bot_serving.py" in caplog.text
    assert "owl" not in caplog.text


@on_fake_network
async def test_a_good_stop_lets_handlers_end_and_leaves_the_rest_for_the_next_start(net):
    steady, begun, ended = bot(), [], []

    @steady.on(f.text)
    async def handle(message: Message) -> str:
        begun.append(message.body)
        await asyncio.sleep(5)
        ended.append(message.body)
        return f"{message.body} done"

    async with net.person() as alice:
        async with net.running(steady) as address:
            for number in range(3):
                await alice.client.send(address, str(number), wait=False)
            await net.until(lambda: len(ended) == 1 and len(begun) == 2)
        assert begun == ended == ["0", "1"]
        assert [(await alice.hear()).body for _ in range(2)] == ["0 done", "1 done"]
        async with net.running(steady):
            assert (await alice.hear()).body == "2 done"
        async with net.running(steady):
            with pytest.raises(NothingHeard):
                await alice.hear()
    assert begun == ended == ["0", "1", "2"]


@on_fake_network
async def test_a_handler_that_outlasts_the_grace_is_cancelled_and_its_message_comes_again(net):
    stubborn, begun, ended = bot(grace=5), [], []

    @stubborn.on(f.text)
    async def handle(message: Message) -> None:
        begun.append(message.body)
        await asyncio.sleep(60 if message.body == "slow" and len(begun) < 3 else 0)
        ended.append(message.body)

    async with net.person("A") as alice, net.person("B") as bob:
        async with net.running(stubborn) as address:
            await alice.say(address, "slow")
            await bob.say(address, "quick")
            await net.until(lambda: len(begun) == 2)
        assert ended == ["quick"]
        async with net.running(stubborn):
            await asyncio.sleep(10)
    assert ended == ["quick", "slow"]


@on_fake_network
async def test_a_program_that_dies_in_a_handler_gets_that_message_again(net):
    fragile, begun = bot(), []

    @fragile.on(f.text)
    async def handle(message: Message) -> None:
        begun.append(message.body)
        if len(begun) == 2:
            await asyncio.Event().wait()

    async with net.person() as alice:

        async def die():
            async with net.running(fragile) as address:
                await alice.say(address, "one")
                await alice.say(address, "two")
                await net.until(lambda: len(begun) == 2)
                raise RuntimeError("it dies")

        with pytest.raises(RuntimeError, match="dies"):
            await die()
        async with net.running(fragile):
            await asyncio.sleep(10)
    assert begun == ["one", "two", "two"]


@on_fake_network
async def test_jobs_repeat_at_their_time_and_survive_their_failures(net):
    clock, moments, told = bot(), [], []
    more = Router()
    clock.include(more)

    @more.every(minutes=4, seconds=60)
    async def often(it: Bot) -> None:
        moments.append(asyncio.get_running_loop().time())
        assert it is clock
        if len(moments) == 1:
            raise ValueError

    @clock.on_error
    async def tell(error: Exception, message: Message | None) -> None:
        told.append((type(error), message))

    async with net.running(clock):
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(930)
    assert [round(moment - began) for moment in moments] == [300, 600, 900]
    assert told == [(ValueError, None)]


@on_fake_network
async def test_what_the_work_needs_is_open_for_as_long_as_there_is_work(net):
    careful, log = bot(), []

    @careful.lifespan
    async def door(it: Bot):
        log.append("open")
        assert it.account_id
        yield
        log.append("closed")

    @careful.on(f.text)
    async def handle(message: Message) -> None:
        await asyncio.sleep(5)
        log.append("handled")

    async with net.person() as alice:
        for _ in range(2):
            async with net.running(careful) as address:
                await alice.say(address, "hello")
                await asyncio.sleep(8)
    assert log == ["open", "handled", "closed"] * 2


@on_fake_network
async def test_a_handler_can_use_the_bot_and_its_message(net):
    polite = bot()

    @polite.on(f.command("bye"))
    async def bye(message: Message, it: Bot) -> None:
        await message.react("👋")
        await it.send(message.sender, "bye", wait=False)
        it.stop()

    async with net.person() as alice:
        async with net.running(polite) as address:
            await alice.say(address, "/bye")
            async with asyncio.timeout(120):
                await polite.stopped()
        assert (await alice.hear()).body == "bye"
        await net.until(lambda: bool(alice.client.history(address)[0].reactions))


def test_mistakes_are_named():
    lonely = bot()
    with pytest.raises(NotOpen):
        _ = lonely.account_id
    with pytest.raises(LocalError, match="include itself"):
        lonely.include(lonely)
    inner = Router()
    lonely.include(inner)
    with pytest.raises(LocalError, match="include itself"):
        inner.include(lonely)
    with pytest.raises(LocalError, match="workers"):
        bot(workers=0)
    with pytest.raises(LocalError, match="time between"):
        lonely.every()


@on_fake_network
async def test_files_come_to_handlers_and_go_with_replies(net):
    copier = bot()

    @copier.on(f.attachment)
    async def count(message: Message) -> None:
        (file,) = message.attachments
        await message.reply(f"{file.name} has {len(await file.read())} bytes", attachments=[file, FileToSend(b"copy")])

    async with net.running(copier) as address, net.person() as alice:
        await alice.client.send(address, attachments=[FileToSend(b"12345", name="five.bin")])
        answer = await alice.hear()
        assert answer.body == "five.bin has 5 bytes"
        assert [await each.read() for each in answer.attachments] == [b"12345", b"copy"]


@on_fake_network
async def test_a_bot_whose_address_is_no_secret_answers_at_once(net):
    echo, heard = bot(subscribe=True), []

    @echo.on(f.text)
    async def hear() -> None:
        heard.append(net.now)

    async with net.running(echo) as address, net.person() as alice:
        await net.until(lambda: len(echo.client.told_by) == 2)
        taken = []
        for number in range(5):
            await net.sleep(60)
            began = net.now
            await alice.say(address, f"{number}")
            await net.until(lambda: len(heard) > number)  # noqa: B023 - it is called in this turn
            taken.append(heard[-1] - began)
    assert max(taken) < 5
