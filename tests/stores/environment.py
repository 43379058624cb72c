"""A second environment, with other libraries' stores and the older Elasticsearch client.

It lies over the tests' own: what both need is installed once, and our code is the same in both.
Made at its first use, in about 15 seconds and 110 MB, and kept in .cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

from tests.servers import unavailable

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
FOLDER = ROOT / ".cache" / "stores-venv"


def run(module: str, *arguments: str) -> str:
    """Run a module in that environment; return what it writes to standard output.

    Skips where the environment cannot be made, for want of a network; fails in CI.
    """
    return subprocess.run(
        [str(_python()), "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "HAYSTACK_TELEMETRY_ENABLED": "False"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=300,
        text=True,
    ).stdout


@cache
def _python() -> Path:
    FOLDER.parent.mkdir(exist_ok=True)
    with FOLDER.with_suffix(".lock").open("w") as lock:  # another worker may be making it
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _made()


def _made() -> Path:
    python, made = FOLDER / "bin" / "python", FOLDER / "made-from"
    below = sysconfig.get_path("purelib")
    recipe = f"{sys.version} {below} {hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()}"
    if made.exists() and made.read_text() == recipe:
        return python
    shutil.rmtree(FOLDER, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(FOLDER)], check=True)
    at = {"base": str(FOLDER), "platbase": str(FOLDER)}
    # Not a plain path: the .pth files below it, of our own package, must be read too.
    Path(sysconfig.get_path("purelib", vars=at), "below.pth").write_text(
        f"import site; site.addsitedir({below!r})\n"
    )
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-compile"]
    try:
        subprocess.run(
            [*pip, "--disable-pip-version-check", "-r", str(REQUIREMENTS)],
            check=True,
            capture_output=True,
            text=True,
        )
    except subprocess.CalledProcessError as exc:
        unavailable(f"pip cannot install {REQUIREMENTS.name}: {exc.stderr.strip()[-300:]}")
    made.write_text(recipe)
    return python
