"""What is held for and against one path, and which nodes are in reserve for it.

Only data: `routing` writes it by the rules told there.  Spec: bootstrap-and-paths.md §2.3, §2.5.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ramson.network.failures import Failure
from ramson.network.paths import Path


@dataclass(slots=True, eq=False)
class Reserve:
    """What a path will be renewed with, and may carry requests before that.

    `merit` is 1 if it brought a reply when last used, -1 if it did not, 0 before that.  It is `used` once any request
    was given to it.
    """

    path: Path
    used: bool = False
    merit: int = 0


@dataclass(slots=True, eq=False)
class Standing:
    """A path in use and how it has done.

    `patches` counts since the last reply, `renewals` since the last list.  The path is

    - `working` if its guard answered when last heard of
    - `suspect` if nothing came through it since something failed or had to wait long; `charged` if that failure counted
    - `unheard` if a request by it failed or had to wait long since the last reply
    - `doubtful` after a silence, until its guard has been looked at; `silence` is then what the path itself is
      charged with, and `accused` are the nodes behind the guard that may have been silent
    - `ambiguous` if its last failure was a silence that may also have been the destination's

    and its `reserve` is drawn when it is first needed, and kept until the path is renewed with it.
    """

    path: Path
    failures: int = 0
    patches: int = 0
    renewals: int = 0
    working: bool = True
    suspect: bool = False
    unheard: bool = False
    charged: bool = False
    doubtful: bool = False
    ambiguous: bool = False
    silence: Failure | None = None
    accused: dict[bytes, None] = field(default_factory=dict)
    reserve: Reserve | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing speaks against sending a request by this path."""
        return self.working and not self.suspect and not self.unheard
