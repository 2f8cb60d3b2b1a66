"""The examples do what they say."""

import hmac
import importlib.util
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from ramson import LocalError
from ramson.protocol import network_file
from ramson.protocol.network_file import NetworkFile, Seed
from ramson.testing import NothingHeard, on_fake_network
from ramson.world import Endpoint, HttpLimits, HttpRequest, HttpResponse

EXAMPLES = Path(__file__).parents[2] / "examples"
BOTS = [path for path in EXAMPLES.glob("*.py") if "bot.run()" in path.read_text()]


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def ask(person, address, *texts):
    answers = []
    for text in texts:
        await person.say(address, text)
        answers.append((await person.hear()).body)
    return answers


@on_fake_network
async def test_echo(net):
    async with net.running(load("echo").bot) as address, net.person("Alice") as alice:
        assert await ask(alice, address, "hello", "/start") == [
            "hello",
            "Write something, and I will say it too.",
        ]


@on_fake_network
async def test_reminder(net, tmp_path):
    reminder = load("reminder")
    clock = net.simulation
    reminder.now = lambda: clock.now
    reminder.notes_file = tmp_path / "reminders.json"
    async with net.person("Alice") as alice:
        async with net.running(reminder.bot) as address:
            said = await ask(alice, address, "hm", "/in 10 call the  dentist", "/in ten x", "/in 0 x", "/in 1e9 x")
            began = clock.now
        assert said == [
            "Write /in MINUTES TEXT, as in: /in 10 call the dentist",
            "I will.",
            "“minutes” has to be a number.\nUsage: /in <minutes> <text…>",
            "That is not within a year.",
            "That is not within a year.",
        ]
        async with net.running(reminder.bot):  # what was promised survives a restart
            assert (await alice.hear(within=700)).body == "You wanted to be told: call the  dentist"
            assert 550 < clock.now - began < 650
            with pytest.raises(NothingHeard):
                await alice.hear()


@on_fake_network
async def test_moderator(net, tmp_path):
    moderator = load("moderator")
    moderator.file = tmp_path / "moderator.sqlite"
    async with net.person("Owner") as owner, net.person("A") as author, net.person("B") as reader:
        moderator.owner = owner.account_id.hex
        async with net.running(moderator.bot) as address:
            assert (await ask(reader, address, "/subscribe"))[0].startswith("You get")
            assert await ask(author, address, "/post the  sun shines", "/approve 1", "/queue") == [
                "It waits for approval.",
                USAGE,
                USAGE,
            ]
            assert (await owner.hear()).body == "A post waits: /approve 1 or /reject 1\n\nthe  sun shines"
            assert await ask(owner, address, "/queue", "/approve 2") == ["1: the  sun shines", "There is no post 2."]
        async with net.running(moderator.bot):  # what waits survives a restart
            assert await ask(owner, address, "/approve 1", "/queue") == ["It goes to 1 people.", "Nothing waits."]
            assert (await reader.hear()).body == "the  sun shines"
            assert (await author.hear()).body == "Your post was approved."
            assert await ask(author, address, *["/post x"] * 6) == [*["It waits for approval."] * 5, ENOUGH]
            for number in range(2, 7):
                assert (await owner.hear()).body.startswith(f"A post waits: /approve {number} ")
            assert await ask(owner, address, "/reject 2 too short") == ["Rejected."]
            assert (await author.hear()).body == "Your post was not taken. too short"
            assert (await ask(reader, address, "/unsubscribe")) == ["You get no more."]
            assert await ask(owner, address, "/approve 3") == ["It goes to 0 people."]
            with pytest.raises(NothingHeard):
                await reader.hear()


USAGE = "/subscribe to get posts, /post TEXT to hand one in; it goes out, without your name, when it was approved."
ENOUGH = "That is enough until some of yours were decided about."
SECRET, TOKEN = "a secret of the tests", "a token of the tests"


@on_fake_network
async def test_webhook(net):
    webhook, heard, statuses = load("webhook"), [], [503, 200]
    webhook.outside = world = net.network.client_world(99)
    here = webhook.LOOPBACK = "10.2.0.100"  # a simulated host has one address
    webhook.HERE |= {here}
    webhook.settings = webhook.Settings(f"http://{here}:9000/in?x=1", SECRET, TOKEN)

    def other_program(request):
        heard.append(request)
        status = statuses.pop(0) if statuses else 200
        return HttpResponse(status, body=json.dumps({"reply": f"{len(heard)}"}).encode() if status == 200 else b"")

    async def send(body, token=TOKEN, path="/send", method="POST"):
        headers = {"authorization": f"Bearer {token}"}
        request = HttpRequest(method, path, headers, body if isinstance(body, bytes) else json.dumps(body).encode())
        return (await world.net.request(Endpoint(here, 8085), request, tls=None, timeout=10)).status

    place = Endpoint(here, 9000)
    program = await world.net.listen(place, other_program, certificate=None, limits=HttpLimits())
    async with net.person("Alice") as alice, net.running(webhook.bot) as address:
        assert await ask(alice, address, "hello") == ["2"]  # the first try was refused
        first, again = heard
        assert first.target == "/in?x=1"
        assert first.body == again.body
        told = json.loads(first.body)
        assert (told["from"], told["text"], told["files"]) == (alice.account_id.hex, "hello", [])
        stamp = first.headers["x-ramson-timestamp"]
        assert abs(int(stamp) - told["sent_ms"] / 1000) < 60
        mac = hmac.new(SECRET.encode(), f"{stamp}.".encode() + first.body, "sha256").hexdigest()
        assert first.headers["x-ramson-signature"] == mac
        wanted = {"to": alice.account_id.hex, "text": "from the program"}
        assert await send(wanted) == 202
        assert (await alice.hear()).body == "from the program"
        assert await send(wanted, token="another") == 401
        assert await send(wanted, path="/other") == 404
        assert await send(wanted, method="GET") == 404
        for wrong in (b"", b"[]", b"{}", {"to": 5, "text": "x"}, {"to": "05", "text": "x"}, wanted | {"text": ""}):
            assert await send(wrong) == 400
        assert await send(b"x" * 100_000) == 413
        statuses += [404]
        await alice.say(address, "not wanted")
        await net.until(lambda: len(heard) == 3)
        with pytest.raises(NothingHeard):
            await alice.hear()
        assert len(heard) == 3
    await program.close()


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "http://example.org/"},
        {"url": ""},
        {"url": "https://example.org", "secret": "short"},
        {"url": "https://example.org", "token": "short"},
    ],
)
def test_webhook_refuses_what_is_not_safe(settings):
    with pytest.raises(LocalError):
        load("webhook").Settings(**({"secret": SECRET, "token": TOKEN} | settings))


@on_fake_network
async def test_filedrop(net, tmp_path):
    filedrop = load("filedrop")
    filedrop.drop = tmp_path / "files"
    words = tmp_path / "words.txt"
    words.write_bytes(b"many words " * 1000)
    async with net.running(filedrop.bot) as address, net.person("A") as alice, net.person("B") as bob:
        for expected in ("words.txt", "words (2).txt"):
            await alice.client.send(address, "", attachments=[words])
            assert (await alice.hear()).body.startswith("Kept: words")
            del expected
        first, second = (await ask(alice, address, "/list"))[0].splitlines()
        await alice.say(address, f"/get {second}")
        (file,) = (await alice.hear()).attachments
        assert file.name == second
        assert await file.read() == words.read_bytes()
        assert await ask(bob, address, "/list", f"/get {first}") == ["I have nothing of yours.", NO_FILE]
        assert await ask(alice, address, "/get ../words.txt", f"/drop {first}", "/list") == [
            NO_FILE,
            "Deleted.",
            second,
        ]
        filedrop.LARGEST = 10
        await bob.client.send(address, "", attachments=[words])
        assert (await bob.hear()).body == "words.txt is too large."
        filedrop.LARGEST, filedrop.MOST = 10**6, 0
        await bob.client.send(address, "", attachments=[words])
        assert (await bob.hear()).body.startswith("That is all")


NO_FILE = "I have no such file of yours. /list names those I have."


def test_every_example_is_tested():
    tested = {name.removeprefix("test_") for name in vars(sys.modules[__name__])}
    assert {path.stem for path in BOTS} <= tested
    assert len(BOTS) == 5


def test_every_example_is_a_program_that_starts_and_stops(tmp_path):
    nowhere = NetworkFile(nodes=(), seeds=(Seed("https://127.0.0.1:9/json_rpc", bytes(32)),))
    (tmp_path / "network.json").write_bytes(network_file.encode(nowhere))
    environment = os.environ | {
        "RAMSON_PASSPHRASE": "correct horse",
        "RAMSON_NETWORK": "network.json",
        "MODERATOR_OWNER": "05" + "ab" * 32,
        "WEBHOOK_URL": "https://127.0.0.1:9/",
        "WEBHOOK_SECRET": SECRET,
        "WEBHOOK_TOKEN": TOKEN,
        "WEBHOOK_PORT": "0",
    }
    with ExitStack() as stack:
        programs = [
            stack.enter_context(
                subprocess.Popen([sys.executable, file], cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
            )
            for file in BOTS
        ]
        for program in programs:
            stack.callback(program.kill)
        for program in programs:
            assert program.stdout.readline() == b"ready\n"
            program.send_signal(signal.SIGTERM)
        assert [program.wait(timeout=60) for program in programs] == [0] * len(programs)
    for file in BOTS:
        assert (tmp_path / f"{file.stem}.ramson").exists()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "It is not said where messages go. Set WEBHOOK_URL"),
        ({"WEBHOOK_URL": "https://x/", "WEBHOOK_PORT": "x"}, "WEBHOOK_PORT is no port."),
        ({"WEBHOOK_URL": "https://x/", "WEBHOOK_PORT": "9" * 20}, "WEBHOOK_PORT is no port."),
        ({"WEBHOOK_URL": "https://x/", "WEBHOOK_SECRET": "short"}, "WEBHOOK_SECRET is too short."),
    ],
)
def test_webhook_says_in_one_line_what_its_settings_lack(variables, said):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WEBHOOK_")} | variables
    command = [sys.executable, str(EXAMPLES / "webhook.py"), "id"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(said)
