"""What all tests share: a block of loopback addresses for each process, and that no property test is about time.

Several processes of tests can run side by side on one machine.  What listens at a port that is known beforehand - nodes
do, and whatever is started anew - listens at an address that begins with `RAMSON_TESTS_BLOCK`: nothing else of this
machine can have that address and port then.  A free port of 127.0.0.1 that was found and let go is no such place; any
connection may have taken it meanwhile.
"""

import os
import socket
import sys

import hypothesis
import pytest

# An example may take as long as it likes, and so may drawing it: a busy machine halts any of them for a second.
# Here every run looks at new examples; where a change is accepted or refused, at the same ones each time.
hypothesis.settings.register_profile(
    "whenever",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize="RAMSON_CI" in os.environ,
)
hypothesis.settings.load_profile("whenever")

BLOCKS = range(1, 31)  # second bytes; devnets choose from 64 on

held = pytest.StashKey[socket.socket]()


def pytest_configure(config):
    if sys.platform != "linux":  # no names without files there, and few loopback addresses
        os.environ["RAMSON_TESTS_BLOCK"] = "127.0"
        return
    for number in BLOCKS:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0ramson tests 127.{number}")  # gone with the process, however that ends
        except OSError:
            claim.close()
            continue
        config.stash[held] = claim
        os.environ["RAMSON_TESTS_BLOCK"] = f"127.{number}"
        return
    raise pytest.UsageError("no block of loopback addresses is free: too many processes of tests run on this machine")


def pytest_unconfigure(config):
    if held in config.stash:
        config.stash[held].close()
