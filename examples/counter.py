"""Counts words, for everybody on their own, from what was said in the conversation: the account file is its memory."""

from collections import Counter

from ramson import Bot, Message, Router
from ramson import filters as f

bot = Bot("counter.ramson", name="Counter")
statistics = Router(f.direct)


def words(message: Message, it: Bot) -> Counter[str]:
    """Return how often each word was said by the sender of a message, commands aside."""
    said = (each.body for each in it.client.history(message.conversation, limit=10_000) if each.incoming)
    return Counter(word.casefold() for text in said if not text.startswith("/") for word in text.split())


@statistics.on(f.command("top"))
async def top(message: Message, it: Bot, count: int = 3) -> str:
    """Name the words said most often."""
    found = words(message, it).most_common(max(1, min(count, 20)))
    return "\n".join(f"{number} × {word}" for word, number in found) or "You have said nothing yet."


@statistics.on(f.command("total"))
async def total(message: Message, it: Bot) -> str:
    """Say how many words there were."""
    return f"{sum(words(message, it).values())} words"


@statistics.on(f.text & ~f.regex("^/"))
async def count(message: Message) -> str:
    """Count one message."""
    return f"{len(message.body.split())} words"


bot.include(statistics)

if __name__ == "__main__":
    bot.run()
