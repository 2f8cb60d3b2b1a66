"""How many files and sockets a process may have open."""

import json
import subprocess
import sys

TRY = """
import json, resource
from ramson.world.real import descriptors
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 300))
before = descriptors.allowed(10_000)
descriptors.ask_for_more()
after = descriptors.allowed(10_000)
print(json.dumps([before, after, descriptors.allowed(20), resource.getrlimit(resource.RLIMIT_NOFILE)]))
"""


def test_a_service_asks_for_as_many_as_it_may_have():
    done = subprocess.run([sys.executable, "-c", TRY], capture_output=True, check=True)
    assert json.loads(done.stdout) == [44, 210, 20, [300, 300]]
