"""Install requirements into a virtual environment, with uv where it works and with pip elsewhere.

    python deploy/install.py .venv constraints.txt -e '.[eval]'

uv installs several times faster, but reads none of pip's configuration: what pip is told here of
indexes, certificates, hosts and constraints is told to uv. Where uv cannot be had or fails, pip
does the same.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

AS_UV_HAS_IT = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
"""Setting of pip -> variable of uv, https://docs.astral.sh/uv/reference/environment/."""


def main(folder: str, constraints: str, *wanted: str) -> int:
    """Return the exit status of the installer that did it."""
    python = Path(folder, "bin", "python").absolute()
    quietly = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", constraints]
    if subprocess.run([python, *quietly, "uv"], env=pip_environment(constraints)).returncode == 0:
        configured = pip_configuration(python)
        limits = [constraints, *configured.get("constraint", "").split()]
        command = [python, "-m", "uv", "pip", "install", "-q", "--python", python]
        command += [f"--constraints={each}" for each in limits]
        command += [f"--build-constraints={constraints}", "pip", *wanted]
        if subprocess.run(command, env=uv_environment(configured)).returncode == 0:
            return 0
    print("uv could not install that; pip does, which takes longer", file=sys.stderr)  # noqa: T201
    for requirements in (["--upgrade", "pip"], list(wanted)):
        done = subprocess.run([python, *quietly, *requirements], env=pip_environment(constraints))
        if done.returncode:
            return done.returncode
    return 0


def pip_configuration(python: Path) -> dict[str, str]:
    """Read pip's settings, of files and of the environment, the stronger ones last."""
    command = [python, "-m", "pip", "config", "list"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    strength = ("global.", "install.", ":env:.")
    settings: dict[str, str] = {}
    for start in strength:
        for line in lines:
            key, _, value = line.partition("=")
            if key.startswith(start):
                settings[key.removeprefix(start)] = ast.literal_eval(value)
    return settings


def uv_environment(configured: Mapping[str, str]) -> dict[str, str]:
    """Tell uv what pip is told; what uv itself is told beats it."""
    told = {
        AS_UV_HAS_IT[key]: ("," if key == "find-links" else " ").join(value.split())
        for key, value in configured.items()
        if key in AS_UV_HAS_IT
    }
    # As pip does: the best version of any index, not whatever the first index with the name has.
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", **told, **os.environ}


def pip_environment(constraints: str) -> dict[str, str]:
    """Have pip limit what builds need as well, its older releases and its newer ones, and keep
    builds' warnings to itself."""
    limit = Path(constraints).absolute().as_uri()  # pip splits its variables at spaces
    there = os.environ.get("PIP_CONSTRAINT", "")
    return {
        **os.environ,
        "PIP_CONSTRAINT": f"{there} {limit}".strip(),
        "PIP_BUILD_CONSTRAINT": limit,
        "PYTHONWARNINGS": "ignore",
    }


if __name__ == "__main__":
    arguments: Sequence[str] = sys.argv[1:]
    if len(arguments) < 3:
        sys.exit("usage: python deploy/install.py ENVIRONMENT CONSTRAINTS REQUIREMENT...")
    sys.exit(main(*arguments))
