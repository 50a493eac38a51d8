"""What the processes of torchrun do for each other, in two processes that a rendezvous on this host connects."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest

from facekd.utils import processes

ALONE = """
import json, os, sys, time
from facekd.distributed import get_world_size, init_distributed, launched_processes
from facekd.utils.processes import run_alone
def work():
    init_distributed()
    time.sleep(0.5)
    print(json.dumps({"rank": os.environ["RANK"], "processes": [get_world_size(), launched_processes()]}))
    if sys.argv[1] == "killed":
        os._exit(9)
    return int(sys.argv[1])
sys.exit(run_alone(work))
"""
FAILURES = """
from facekd import distributed
from facekd.utils.processes import share_failure
distributed.init_distributed()
answers = distributed.gather_objects(share_failure(5 + distributed.get_rank()))
if answers is not None:
    print(sorted(first for first, code in answers), len({code for first, code in answers}))
"""


def start(code: str, *arguments: str) -> list[subprocess.Popen[str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return [subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_PORT": port,
                                             "MASTER_ADDR": "127.0.0.1", "PYTHONPATH": os.pathsep.join(sys.path)})
            for rank in range(2)]


@pytest.mark.parametrize("status", [0, 2])
def test_one_works_alone_and_all_end_with_its_status(status: int) -> None:
    workers = start(ALONE, str(status))
    outputs = [worker.communicate(timeout=100)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [status, status]
    assert json.loads(outputs[0]) == {"rank": "0", "processes": [1, 1]}
    assert outputs[1] == ""


def test_the_others_do_not_wait_for_one_that_was_killed() -> None:
    workers = start(ALONE, "killed")
    errors = [worker.communicate(timeout=100)[1] for worker in workers]
    assert workers[0].returncode == 9
    assert workers[1].returncode != 0 and "SetupError: rank 0 ended without a result" in errors[1]


def test_one_process_reports_a_failure_of_all() -> None:
    workers = start(FAILURES)
    assert [worker.communicate(timeout=100)[0] for worker in workers] == ["[False, True] 1\n", ""]


def test_without_other_processes_each_failure_is_reported() -> None:
    assert [processes.share_failure(2), processes.share_failure(3)] == [(True, 2), (True, 3)]


def test_before_they_have_joined_rank_0_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, answer in (("0", True), ("1", False)):
        monkeypatch.setenv("RANK", rank)
        assert processes.share_failure(2) == (answer, 2)
