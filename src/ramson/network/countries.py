"""In which country an address is, as far as the regional registries tell: no file is read and nobody is asked.

What a registry was told is where the holder of a block of addresses is, which need not be where the machine stands.
"""

from __future__ import annotations

import iptocc


def country_of(address: str) -> str | None:
    """Return the country's two letters (ISO 3166), or None if the address is nobody's or no address."""
    found = iptocc.country_code(address)
    return found if isinstance(found, str) else None
