"""Who may store and read where (storage-rpc §3, Namespaces)."""

import pytest

from ramson.protocol import namespaces as ns

#        namespace, anyone stores, anyone reads, outbox
RULES = [
    (0, True, False, False),
    (10, True, False, False),
    (20, True, False, False),
    (32760, True, False, False),
    (-10, True, True, False),
    (-20, True, False, False),
    (-30, True, False, False),
    (-1, False, True, True),
    (-21, False, True, True),
    (-41, False, True, True),
    (-2, False, False, False),
    (-11, False, False, False),
    (-31, False, False, False),
    (1, False, False, False),
    (21, False, False, False),
    (5, False, False, False),
    (11, False, False, False),
    (32767, False, False, False),
    (-32768, False, False, False),
]


@pytest.mark.parametrize(("namespace", "stores", "reads", "outbox"), RULES)
def test_rules(namespace, stores, reads, outbox):
    assert ns.anyone_may_store(namespace) is stores
    assert ns.anyone_may_read(namespace) is reads
    assert ns.is_public_outbox(namespace) is outbox
    assert ns.max_ttl_ms(namespace) == (14 if stores else 30) * 86_400_000


def test_where_the_revoked_may_still_read():
    readable = [namespace for namespace in range(-320, 320) if ns.revoked_may_read(namespace)]
    assert readable == [-311, -211, -111, -11]


def test_names_are_the_clients_namespaces():
    assert ns.Namespace.DIRECT == 0
    assert {int(namespace) for namespace in ns.Namespace} == {0, 2, 3, 4, 5, 11, 12, 13, 14, -10, -11}
