"""The SDK's handler layer: `Bot`, filters, routers."""

from ramson.bot import filters
from ramson.bot.arguments import BadArguments, BadHandler
from ramson.bot.bot import Bot
from ramson.bot.filters import Filter, Found
from ramson.bot.rate import Rate
from ramson.bot.router import Router

__all__ = ["BadArguments", "BadHandler", "Bot", "Filter", "Found", "Rate", "Router", "filters"]
