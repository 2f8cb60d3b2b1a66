"""The smallest bot: it says what you say."""

from ramson import Bot, Message
from ramson import filters as f

bot = Bot("echo.ramson", name="Echo")


@bot.on(f.command("help", "start"))
async def usage() -> str:
    """Tell what the bot does."""
    return "Write something, and I will say it too."


@bot.on(f.text)
async def echo(message: Message) -> str:
    """Say it too."""
    return message.body


if __name__ == "__main__":
    bot.run()
