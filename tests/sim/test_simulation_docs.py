"""The example in docs/simulation.md does what it says."""

import re
from pathlib import Path


def test_the_example_runs():
    text = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(compile(example, "simulation.md", "exec"), names)
    assert names["sim"].now > 3600
