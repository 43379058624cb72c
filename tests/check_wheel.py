"""Build the wheel, install it into an empty environment and see that it works from elsewhere.

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


def main() -> None:
    """Exit with a message at the first thing that is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, str(ROOT), quiet=True)
        [wheel] = scratch.glob("*.whl")
        top_level = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
        strays = {name for name in top_level if not name.startswith("retrieve_rerank")}
        if strays:
            sys.exit(f"the wheel installs top-level {sorted(strays)}")

        environment = scratch / "environment"
        venv.create(environment, with_pip=True)
        python = environment / "bin" / "python"
        run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel)
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
    print("wheel: installs alone, `rr` works, no stray packages")  # noqa: T201 - a script's answer


INSTALLED_RIGHT = """
import importlib.util, importlib.metadata
for name in ("connectors", "training", "tests", "torch", "transformers"):
    assert importlib.util.find_spec(name) is None, f"{name} is installed"
import retrieve_rerank.connectors.embedded, retrieve_rerank.connectors.memory
import retrieve_rerank.langchain, retrieve_rerank.training
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
