"""Ways out where the network is blocked: how an onion request reaches a guard, and how node lists reach us.

A `Route` is one such way.  An `Entry` of this room hands everything the client sends to a route; the client itself
does not know which one is in use.  Design and limits: docs/reach.md.
"""

from ramson.reach.candidates import bridge_lists
from ramson.reach.opening import open_entry
from ramson.reach.route import CannotFetch, Route, Rung, Symptom, symptom
from ramson.reach.settings import NO_WISHES, ReachSettings, ReachSettingsError

__all__ = [
    "NO_WISHES",
    "CannotFetch",
    "ReachSettings",
    "ReachSettingsError",
    "Route",
    "Rung",
    "Symptom",
    "bridge_lists",
    "open_entry",
    "symptom",
]
