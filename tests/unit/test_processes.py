"""Workers end with their parent, however that ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from internvideo.errors import ConfigError
from internvideo.processes import sole_use
from tests.unit.training.test_ranks import _is_alive

_PROGRAM = """
import multiprocessing, os, sys, time
from internvideo.processes import end_with_parent

def work():
    end_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(600)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    context.Process(target=work).start()
    time.sleep(600)
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_worker_ends_with_a_parent_that_is_killed(method, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM)
    command = [sys.executable, str(program), method]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        assert _is_alive(worker)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        until = time.monotonic() + 10
        while _is_alive(worker) and time.monotonic() < until:
            time.sleep(0.05)

    assert not _is_alive(worker)


def test_a_lock_ends_with_its_process(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from internvideo.processes import sole_use\n"
        "with sole_use(Path(sys.argv[1])): print(flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        other.stdout.readline()
        with (
            pytest.raises(ConfigError, match=rf"process {other.pid} on .* since 20"),
            sole_use(tmp_path),
        ):
            pass
        other.kill()
        other.wait()

    assert (tmp_path / ".lock").exists()
    with sole_use(tmp_path):
        pass
    assert not (tmp_path / ".lock").exists()
