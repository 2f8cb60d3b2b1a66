"""The examples in docs/simulation.md do what they say."""

import re
from pathlib import Path


def test_the_examples_run():
    text = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text()
    first, second = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(compile(first, "simulation.md", "exec"), names)
    assert names["sim"].now > 3600
    exec(compile(second, "simulation.md", "exec"), names)
    assert names["sim"].faults["crash"] == 1
