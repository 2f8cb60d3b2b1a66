"""A bridge to a program of yours: what people write is POSTed to it as JSON, and what it POSTs back is sent.

    WEBHOOK_URL      where messages go: https, or http on this machine
    WEBHOOK_SECRET   signs them: X-Ramson-Signature is the hex HMAC-SHA256 of "TIMESTAMP.BODY", and TIMESTAMP (Unix
                     seconds) stands in X-Ramson-Timestamp: refuse what is older than some minutes
    WEBHOOK_TOKEN    what your program shows: POST http://127.0.0.1:8085/send, Authorization: Bearer TOKEN,
                     {"to": "05…", "text": "…"}
    WEBHOOK_PORT     another port than 8085; it listens on this machine only

A message is {"id", "from", "text", "sent_ms", "files"}; the same `id` may come twice.  If the answer is JSON with a
"reply", that is sent back.  A message that your program did not take in five tries within a minute is given up.
"""

import asyncio
import hashlib
import hmac
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ramson import Bot, LocalError, Message, RamsonError
from ramson.errors import in_one_line
from ramson.world import Endpoint, HttpLimits, HttpRequest, HttpResponse, NetError, Tls, World, real

TRIES = 5
SHORTEST_SECRET = 16  # characters
LOOPBACK = "127.0.0.1"
HERE = {LOOPBACK, "::1", "localhost"}

bot = Bot("webhook.ramson", name="Bridge")


@dataclass
class Settings:
    """Where the other program is, and what both know."""

    url: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    port: int = 8085

    def __post_init__(self) -> None:
        if not self.url:
            raise LocalError("it is not said where messages go", remedy="Set WEBHOOK_URL to https://…")
        there = urlsplit(self.url)
        if there.scheme != "https" and not (there.scheme == "http" and there.hostname in HERE):
            raise LocalError("messages would leave this machine in the clear", remedy="Set WEBHOOK_URL to https://…")
        for name, value in (("SECRET", self.secret), ("TOKEN", self.token)):
            if len(value) < SHORTEST_SECRET:
                raise LocalError(f"WEBHOOK_{name} is too short", remedy="Take the output of: openssl rand -hex 32")


def of_environment() -> Settings:
    """Return what the variables say."""
    url, secret, token = (os.environ.get(f"WEBHOOK_{name}", "") for name in ("URL", "SECRET", "TOKEN"))
    port = os.environ.get("WEBHOOK_PORT", "8085")
    if not (port.isascii() and port.isdecimal() and int(port) < 65_536):
        raise LocalError("WEBHOOK_PORT is no port", remedy="Set it to a number from 1 to 65535, or leave it out.")
    return Settings(url, secret, token, int(port))


settings: Settings
outside: World


def signed(body: bytes, seconds: int) -> dict[str, str]:
    """Return the headers that show that we sent this, and when."""
    signature = hmac.digest(settings.secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256)
    return {
        "content-type": "application/json",
        "x-ramson-timestamp": str(seconds),
        "x-ramson-signature": signature.hex(),
    }


async def post(body: bytes) -> HttpResponse:
    """Hand a message to the other program; raises NetError."""
    there = urlsplit(settings.url)
    secure = there.scheme == "https"
    target = (there.path or "/") + (f"?{there.query}" if there.query else "")
    headers = signed(body, outside.clock.now() // 1000) | {"host": there.netloc.rpartition("@")[2]}
    return await outside.net.request(
        Endpoint(there.hostname or "", there.port or (443 if secure else 80)),
        HttpRequest("POST", target, headers, body),
        tls=Tls(verify=True, server_name=there.hostname or "") if secure else None,
        timeout=10,
        max_reply=64 * 1024,
    )


@bot.on()
async def tell(message: Message) -> str | None:
    """Hand over what somebody wrote, and say what comes back."""
    told = {
        "id": message.hash,
        "from": message.sender.hex,
        "text": message.body,
        "sent_ms": message.sent_ms,
        "files": [{"name": each.name, "type": each.content_type, "size": each.size} for each in message.attachments],
    }
    body = json.dumps(told).encode()
    for tried in range(TRIES):
        await asyncio.sleep(2**tried - 1)
        try:
            answer = await post(body)
        except NetError:
            continue
        if answer.status < 300:
            return said(answer.body)
        if answer.status < 500 and answer.status != 429:
            break  # it will not have it another time either
    raise LocalError("the webhook did not take a message")


def said(body: bytes) -> str | None:
    """Return the reply in an answer, if there is one."""
    try:
        reply = json.loads(body).get("reply")
    except (ValueError, AttributeError):
        return None
    return reply if isinstance(reply, str) and reply else None


async def take(request: HttpRequest) -> HttpResponse:
    """Send what the other program wants to be sent."""
    if request.path != "/send" or request.method != "POST":
        return HttpResponse(404)
    shown = request.headers.get("authorization", "").encode()
    if not hmac.compare_digest(shown, f"Bearer {settings.token}".encode()):
        return HttpResponse(401)
    try:
        wanted = json.loads(request.body)
        to, text = wanted["to"], wanted["text"]
        if not isinstance(to, str) or not isinstance(text, str):
            raise TypeError  # noqa: TRY301 - told as all that is wrong
        receipt = await bot.send(to, text, wait=False)
    except (ValueError, KeyError, TypeError):
        return answer(400, error='this is not {"to": "05…", "text": "…"}')
    except RamsonError as error:
        return answer(400, error=str(error))
    return answer(202, sent_ms=receipt.sent_ms)


def answer(status: int, **values: object) -> HttpResponse:
    """Make a reply of JSON."""
    return HttpResponse(status, {"Content-Type": "application/json"}, json.dumps(values).encode())


@bot.lifespan
async def door(_bot: Bot) -> AsyncIterator[None]:
    """Listen to the other program for as long as the bot works."""
    limits = HttpLimits(max_body=64 * 1024, max_connections=20)
    listener = await outside.net.listen(Endpoint(LOOPBACK, settings.port), take, certificate=None, limits=limits)
    try:
        yield
    finally:
        await listener.close()


if __name__ == "__main__":
    try:
        settings = of_environment()
    except LocalError as error:
        sys.exit(in_one_line(error))
    outside = real.world()
    bot.run()
