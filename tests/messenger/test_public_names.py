"""What `import ramson` offers, and what it costs those who do not use it."""

import subprocess
import sys

import pytest

import ramson


@pytest.mark.parametrize("name", ramson.__all__)
def test_every_public_name_is_there(name):
    assert getattr(ramson, name) is not None


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = ramson.nonsense


def test_a_service_node_does_not_load_a_client():
    code = "import sys, ramson.node.node; sys.exit('ramson.messenger' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
