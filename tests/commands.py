"""`rr` as a process of its own, for tests that stop it, kill it or close its pipes."""

from __future__ import annotations

import sys

# What a script starts in the background ignores SIGINT, and so would all processes that a run of
# these tests starts there: children that are to hear Ctrl-C say so themselves.
HEAR_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"

RR = [sys.executable, "-c", f"{HEAR_CTRL_C}; from retrieve_rerank.cli import main; main()"]
