"""Build the wheel, install it into an empty environment and see that it works from elsewhere.

Also that whatever is installed there and here is what constraints.txt pins.

python tests/check_wheel.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"


def main() -> None:
    """Exit with a message at the first thing that is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        # In this environment, which has what building needs, pinned as the rest.
        build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder)
        run(*build, str(ROOT), quiet=True)
        [wheel] = scratch.glob("*.whl")
        top_level = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
        strays = {name for name in top_level if not name.startswith("retrieve_rerank")}
        if strays:
            sys.exit(f"the wheel installs top-level {sorted(strays)}")

        environment = scratch / "environment"
        venv.create(environment, with_pip=True)
        python = environment / "bin" / "python"
        run(sys.executable, ROOT / "deploy" / "install.py", environment, CONSTRAINTS, wheel)
        run(environment / "bin" / "rr", "--help", cwd=scratch, quiet=True)
        run(
            environment / "bin" / "rr",
            "models",
            "info",
            "all-MiniLM-L6-v2",
            cwd=scratch,
            quiet=True,
        )
        run(python, "-c", INSTALLED_RIGHT, cwd=scratch)
        for each in (sys.executable, python):
            run(each, "-c", INSTALLED_AS_PINNED, CONSTRAINTS)
    print("wheel: installs alone, `rr` works, no stray packages, all as constraints.txt pins it")  # noqa: T201 - a script's answer


INSTALLED_RIGHT = """
import importlib.util, importlib.metadata
for name in ("connectors", "training", "tests", "torch", "transformers"):
    assert importlib.util.find_spec(name) is None, f"{name} is installed"
import retrieve_rerank.connectors.embedded, retrieve_rerank.connectors.memory
import retrieve_rerank.langchain, retrieve_rerank.training
"""


INSTALLED_AS_PINNED = """
import sys
from importlib.metadata import distributions
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
with open(sys.argv[1]) as file:
    pins = [Requirement(line) for line in file.read().splitlines()]
pins = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
pins = {canonicalize_name(pin.name): pin.specifier for pin in pins}
there = {canonicalize_name(each.name): each.version for each in distributions()}
own = {"retrieve-rerank", "setuptools"}  # venv brings setuptools on Python 3.11
loose = [f"{n} {v}" for n, v in there.items() if n not in own and v not in pins.get(n, "")]
assert not loose, f"not as constraints.txt pins: {loose}; make lock pins what has come to be needed"
"""


def run(*command: object, cwd: Path | None = None, quiet: bool = False) -> None:
    """Run a command; exit with its output when it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout or ''}")


if __name__ == "__main__":
    main()
