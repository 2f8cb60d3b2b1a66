"""How a service writes its log: a line an event, for people or as JSON for collectors.

What may stand in an event is decided where it is logged.  One thing is decided here: of an exception only its type
and the lines it passed are written, never its text or the values it met, for these may quote what a user sent.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final

_Info = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class LogFormat(StrEnum):
    """For whom the log is written."""

    TEXT = "text"
    JSON = "json"


class TextFormatter(logging.Formatter):
    """Time, level, source and event."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatException(self, info: _Info) -> str:  # noqa: N802 - the name that `logging` calls
        """Say what kind of exception it was, and where."""
        return describe(info)


class JsonFormatter(logging.Formatter):
    """One object a line: time (ISO 8601, UTC), level, logger, event, and for an exception where it came from."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = describe(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def describe(info: _Info) -> str:
    """Return an exception's type and the lines it passed, without its text."""
    kind, _, trace = info
    if kind is None:
        return ""
    places = [f"  {Path(f.filename).name}:{f.lineno} {f.name}" for f in traceback.extract_tb(trace)]
    return "\n".join([*places, f"{kind.__module__}.{kind.__qualname__}"])


_FORMATTERS: Final = {LogFormat.TEXT: TextFormatter, LogFormat.JSON: JsonFormatter}


def set_up(level: str, written: LogFormat) -> None:
    """Write events of this level and above to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_FORMATTERS[written]())
    logging.basicConfig(level=level.upper(), handlers=[handler])
