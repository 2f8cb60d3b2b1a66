"""How a handler's failure is logged: what kind and where, and nothing that a message could hold."""

from __future__ import annotations


def describe(error: BaseException) -> str:
    """Return the error's type and the line it came from; never its text, which may quote a message."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "an unknown place"
    return f"{type(error).__name__} at {place}"
