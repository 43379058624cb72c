"""The event loop that threads without one use."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from retrieve_rerank.concurrency.background_loop import wait_for

FORK = """
import asyncio, os
from retrieve_rerank.concurrency.background_loop import wait_for
assert wait_for(asyncio.sleep(0, "parent")) == "parent"
child = os.fork()
if child == 0:
    print(wait_for(asyncio.sleep(0, "child")), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(wait_for(asyncio.sleep(0, "parent again")))
"""

UNFINISHED = """
import asyncio, threading
from retrieve_rerank.concurrency.background_loop import wait_for
begun = threading.Event()
async def hang():
    begun.set()
    await asyncio.sleep(1000)
threading.Thread(target=lambda: wait_for(hang()), daemon=True).start()
assert begun.wait(30)
"""


async def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


async def test_threads_share_one_loop_which_is_nobody_elses() -> None:
    loops = []
    threads = [threading.Thread(target=lambda: loops.append(wait_for(_loop()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loops) == 8
    assert len(set(loops)) == 1
    assert wait_for(_loop()) in loops, "from a thread that runs a loop, too"
    assert asyncio.get_running_loop() not in loops


def test_errors_reach_who_waits() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        wait_for(fail())


@pytest.mark.skipif(sys.platform == "win32", reason="processes do not fork there")
def test_a_forked_process_has_a_loop_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split("\n") == ["child", "parent again", ""]


def test_unfinished_work_does_not_keep_the_process() -> None:
    subprocess.run([sys.executable, "-c", UNFINISHED], timeout=60, check=True)
