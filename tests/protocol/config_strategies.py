"""Configs' values for hypothesis: few keys, so that changes meet."""

from hypothesis import strategies as st

from ramson.protocol.config.values import EMPTY, normal

KEYS = st.sampled_from([b"", b"a", b"b", b"c", b"~"])
SCALARS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([b"", b"-", b"x", b"yy"]) | st.binary(max_size=4)
SETS = st.frozensets(st.integers(-2, 2) | st.sampled_from([b"", b"m", b"n"]), max_size=4)
DATA = st.dictionaries(
    KEYS,
    st.recursive(SCALARS | SETS, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=6),
    max_size=4,
).map(lambda data: normal(data) or EMPTY)
