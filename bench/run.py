"""Runs every benchmark of this directory, each in a process of its own, and prints their tables.

`python bench/run.py [NAME …]` runs only those whose file name contains one of the names.
"""

import pathlib
import subprocess
import sys


def main() -> int:
    here = pathlib.Path(__file__).parent
    wanted = sys.argv[1:]
    scripts = [p for p in sorted(here.glob("bench_*.py")) if not wanted or any(w in p.stem for w in wanted)]
    if not scripts:
        print(f"no benchmark is called like {' or '.join(wanted)}", file=sys.stderr)
        return 2
    failed = []
    for script in scripts:
        print(f"\n── {script.stem.removeprefix('bench_')} " + "─" * 60, flush=True)
        if subprocess.run([sys.executable, str(script)], check=False).returncode:
            failed.append(script.stem)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
