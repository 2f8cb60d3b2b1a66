"""Headers as they came off the wire, made readable when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class LazyHeaders(Mapping[str, str]):
    """Names in lower case to values.  Of a header given twice the last counts.

    Most requests are answered without a look at any header, so nothing is decoded before the first look.
    """

    __slots__ = ("_named", "_raw")

    def __init__(self, raw: Mapping[bytes, bytes]) -> None:
        self._raw = raw
        self._named: dict[str, str] | None = None

    def _decoded(self) -> dict[str, str]:
        named = self._named
        if named is None:
            named = self._named = {
                name.decode("latin-1").lower(): value.decode("latin-1").strip(" \t")
                for name, value in self._raw.items()
            }
        return named

    def __getitem__(self, name: str) -> str:
        # Most headers that are asked for are not there, and mostly their lengths tell.
        if self._named is None and len(name) not in map(len, self._raw):
            raise KeyError(name)
        return self._decoded()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._decoded())

    def __len__(self) -> int:
        return len(self._decoded())

    def __contains__(self, name: object) -> bool:
        return name in self._decoded()

    def __repr__(self) -> str:
        return f"<{len(self._raw)} headers>"
