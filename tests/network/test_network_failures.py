"""The failure table: what is seen, and what it costs whom."""

import pytest

from ramson.network.failures import TABLE, Failure, HopError, Retry, Swarm, Treatment, of_hop, of_node
from ramson.protocol.storage import Result

KEY = bytes(range(32))


def test_every_failure_has_a_row():
    assert set(TABLE) == set(Failure)


@pytest.mark.parametrize(
    ("failure", "treatment"),
    [
        (Failure.NEXT_NODE_MISSING, Treatment(Retry.ANOTHER_WAY, drop_named=True)),
        (Failure.GUARD_ERROR, Treatment(Retry.ANOTHER_WAY, blame_path=True)),
        (Failure.GUARD_UNREACHABLE, Treatment(Retry.ANOTHER_WAY, silence=True)),
        (
            Failure.PATH_TIMEOUT,
            Treatment(Retry.ANOTHER_WAY, silence=True, blame_path=True, blame_destination=True),
        ),
        (Failure.OVERTAKEN, Treatment(Retry.NOBODY, silence=True, blame_path=True)),
        (Failure.TEST_UNANSWERED, Treatment(Retry.NOBODY, silence=True, blame_path=True)),
        (Failure.UNREADABLE, Treatment(Retry.ANOTHER_WAY, blame_path=True, blame_destination=True)),
        (Failure.WRONG_SWARM, Treatment(Retry.ANOTHER_MEMBER, swarm=Swarm.REPLACE)),
        (Failure.UNAUTHORISED, Treatment(Retry.NOBODY)),
        (Failure.CLOCK, Treatment(Retry.NOBODY, clock=True)),
        (Failure.OXEN_SERVER_ERROR, Treatment(Retry.NOBODY)),
        (Failure.BAD_REQUEST, Treatment(Retry.NOBODY)),
        (Failure.DESTINATION_ERROR, Treatment(Retry.ANOTHER_MEMBER, blame_destination=True)),
        (Failure.SERVER_NOT_FOUND, Treatment(Retry.NOBODY)),
        (Failure.SERVER_UNREACHABLE, Treatment(Retry.ANOTHER_WAY)),
    ],
)
def test_what_each_failure_costs(failure, treatment):
    assert TABLE[failure] == treatment


@pytest.mark.parametrize("prefix", [b"", b"502 Bad Gateway\n\n"])
def test_a_missing_next_node_is_named(prefix):
    body = prefix + b"Next node not found: " + KEY.hex().encode()
    assert of_hop(502, body, to_server=False) == HopError(Failure.NEXT_NODE_MISSING, KEY)
    assert of_hop(502, body, to_server=True) == HopError(Failure.NEXT_NODE_MISSING, KEY)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (502, b"Next node not found: "),
        (502, b"Next node not found: zz"),
        (502, b"see: Next node not found: " + KEY.hex().encode()),
        (503, b"Service node is not ready: not in any swarm; \n"),
        (504, b"Request time out"),
        (400, b"Invalid ciphertext"),
        (406, b"clear text of a hop is not the destination's word"),
        (421, b"{}"),
        (201, b""),
    ],
)
def test_any_other_clear_text_counts_against_the_path(status, body):
    assert of_hop(status, body, to_server=False) == HopError(Failure.GUARD_ERROR)


def test_a_reply_of_200_is_no_hop_error():
    assert of_hop(200, b"anything", to_server=False) is None


@pytest.mark.parametrize(("status", "body"), [(502, b"Could not resolve host"), (500, b"502 Bad Gateway\n\nnginx")])
def test_a_server_that_cannot_be_reached_is_not_the_paths_fault(status, body):
    assert of_hop(status, body, to_server=True) == HopError(Failure.SERVER_UNREACHABLE)
    assert of_hop(404, b"", to_server=True) == HopError(Failure.SERVER_NOT_FOUND)
    assert of_hop(504, b"Request time out", to_server=True) == HopError(Failure.GUARD_ERROR)


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (200, None),
        (204, None),
        (400, Failure.BAD_REQUEST),
        (401, Failure.UNAUTHORISED),
        (406, Failure.CLOCK),
        (425, Failure.CLOCK),
        (421, Failure.WRONG_SWARM),
        (404, Failure.DESTINATION_ERROR),
        (500, Failure.DESTINATION_ERROR),
        (503, Failure.DESTINATION_ERROR),
    ],
)
def test_a_nodes_own_status(status, failure):
    assert of_node(Result(status, {})) is failure


def test_an_oxen_server_error_costs_nobody_anything():
    assert of_node(Result(500, "Oxen Server error: busy")) is Failure.OXEN_SERVER_ERROR
    assert of_node(Result(200, "Oxen Server error")) is Failure.OXEN_SERVER_ERROR


@pytest.mark.parametrize(
    "text", ["expire: timestamp should be >= current time", "delete_before timestamp too far in the future"]
)
def test_two_methods_refuse_a_time_with_401(text):
    assert of_node(Result(401, text)) is Failure.CLOCK
    assert of_node(Result(401, "expire: signature verification failed")) is Failure.UNAUTHORISED
