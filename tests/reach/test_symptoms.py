"""From how a request failed to what that says of the way."""

import pytest

from ramson.reach import CannotFetch, Symptom, symptom
from ramson.world import NetError, Stage


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NetError(Stage.NAME, ""), Symptom.NAME),
        (NetError(Stage.CONNECT, ""), Symptom.TCP),
        (NetError(Stage.TIMEOUT, "", reached=Stage.NAME), Symptom.NAME),
        (NetError(Stage.TIMEOUT, "", reached=Stage.CONNECT), Symptom.TCP),
        (NetError(Stage.PROXY, ""), Symptom.PROXY),
        (NetError(Stage.TIMEOUT, "", reached=Stage.PROXY), Symptom.PROXY),
        (NetError(Stage.TLS, ""), Symptom.HELLO),
        (NetError(Stage.TIMEOUT, "", reached=Stage.TLS), Symptom.HELLO),
        (NetError(Stage.TLS, "", received=7), Symptom.TLS),
        (NetError(Stage.TIMEOUT, "", reached=Stage.TLS, received=900), Symptom.TLS),
        (NetError(Stage.REPLY, "", received=5000), Symptom.HTTP),
        (NetError(Stage.TIMEOUT, "", received=16_000), Symptom.HTTP),  # of earlier replies: this one did not begin
        (NetError(Stage.TIMEOUT, "", received=16_000, replied=9000), Symptom.FROZEN),
    ],
)
def test_symptoms(error, expected):
    assert symptom(error) is expected


def test_what_a_timeout_reached_is_never_the_timeout_itself():
    assert NetError(Stage.TIMEOUT, "").reached is Stage.REPLY
    assert isinstance(CannotFetch(), NetError)
