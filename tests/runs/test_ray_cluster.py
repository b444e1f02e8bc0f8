"""A grid on a Ray cluster of two machines, both played by this one; a worker and the driver are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from surfhead.core.errors import OptionError, UnavailableError
from surfhead.runs import ray_cluster, ray_task
from surfhead.runs.ablation import Member, finished
from surfhead.training import checkpoint

TINY = Path(__file__).parents[1] / "commands" / "tiny_plugin.py"
WORDS = (
    *("--plugin", str(TINY), "--set", "data.name=tiny", "--preset", "static", "--set", "rasterizer=torch"),
    *("--set", "checkpoint.every=50", "--device", "cpu"),
)
SHARES = ray_cluster.Shares(cpus=1, threads=1, retries=2, every=0.3)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that runs nothing and a machine of one CPU; tests add another."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    head = {"num_cpus": 0, "num_gpus": 0, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    made = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    add(made)
    before = os.environ.get("RAY_ADDRESS")
    os.environ["RAY_ADDRESS"] = made.address
    yield made
    del os.environ["RAY_ADDRESS"]
    if before is not None:
        os.environ["RAY_ADDRESS"] = before
    ray.shutdown()
    made.shutdown()


def add(cluster: Any) -> Any:
    return cluster.add_node(num_cpus=1, num_gpus=0, object_store_memory=80 * 2**20)


def wait_for(there: Callable[[], object], seconds: float = 240.0) -> None:
    """Wait until something is true; the limit only ends a test that hangs."""
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[ray_task.Job]:
    """The jobs that were sent."""
    sent: list[ray_task.Job] = []
    make = ray_task.Job

    def job(*arguments: Any) -> ray_task.Job:
        sent.append(make(*arguments))
        return sent[-1]

    monkeypatch.setattr(ray_task, "Job", job)
    return sent


def seconds_of(folder: Path) -> list[int]:
    """Images at which a run has written its figures."""
    return [json.loads(line)["images"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_grid_is_gathered_and_goes_on_where_a_worker_was_lost(
    cluster: Any, tmp_path: Path, starts: list[ray_task.Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run fails and the others finish; the machine of one of them dies, and it goes on elsewhere."""
    add(cluster)
    cluster.wait_for_nodes()
    grid = [
        Member("jbs", 0, (*WORDS, "--deformer", "jbs", "--iterations", "2"), tmp_path / "bad"),
        Member("static", 1, (*WORDS, "--iterations", "400", "--seed", "1"), tmp_path / "long"),
    ]
    killed = []
    gather = ray_cluster._gather

    def gathered(news: ray_task.News, folder: Path) -> None:
        gather(news, folder)
        if folder.name == "long" and not killed and news.code is None:
            killed.append(int(checkpoint.latest(folder).name))  # type: ignore[union-attr]
            kill_workers()

    monkeypatch.setattr(ray_cluster, "_gather", gathered)
    told: list[str] = []
    outcomes = ray_cluster.run_members(grid, SHARES, lambda outcome: told.append(outcome.member.folder.name))
    assert [bool(outcome.error) for outcome in outcomes] == [True, False], outcomes
    assert 'Deformer "jbs" needs a rig' in outcomes[0].error
    assert sorted(told) == ["bad", "long"]
    assert finished(grid) == {"static": [tmp_path / "long"]}
    assert killed
    assert 0 < killed[0] < 400
    again = [job for job in starts if job.name == "long"]
    assert [bool(job.start) for job in again] == [False, True]  # the second began from what was gathered
    steps = seconds_of(tmp_path / "long")
    assert steps[-1] == 400
    assert steps == sorted(steps)


def kill_workers() -> None:
    """End every worker of both machines for good, as when they lose power."""
    for pid in workers():
        os.kill(pid, signal.SIGKILL)


def workers() -> list[int]:
    """The processes that run a task of ours."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if words.startswith(b"ray::task"):
                found.append(int(folder.name))
    return found


@pytest.mark.slow
def test_a_killed_driver_is_continued(cluster: Any, tmp_path: Path, starts: list[ray_task.Job]) -> None:
    """Its runs end with it; the same grid started again finishes them from what had come back."""
    folder = tmp_path / "grid" / "m"
    words = (*WORDS, "--iterations", "300", "--seed", "0")
    program = (
        "import sys; from pathlib import Path; from surfhead.runs import ray_cluster as r; "
        "from surfhead.runs.ablation import Member; "
        "r.run_members([Member('m', 0, tuple(sys.argv[2:]), Path(sys.argv[1]))], "
        "r.Shares(cpus=1, threads=1, every=0.3))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder), *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        wait_for(lambda: checkpoint.latest(folder) or process.poll() is not None)
    finally:
        process.kill()
        process.wait()
    stopped = checkpoint.latest(folder)
    assert stopped is not None
    assert not (folder / "finished.json").exists()
    wait_for(lambda: not workers())
    outcomes = ray_cluster.run_members([Member("m", 0, words, folder)], SHARES)
    assert not outcomes[0].error
    assert [bool(job.start) for job in starts] == [True]
    assert seconds_of(folder)[-1] == 300
    assert ray_cluster.run_members([Member("m", 0, words, folder)], SHARES)[0].error == ""
    assert len(starts) == 1  # what is finished is not sent


class Machines:
    """Stands for Ray where only its list of machines is asked for."""

    def nodes(self) -> list[dict[str, Any]]:
        alive = {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}}
        return [
            alive,
            {"Alive": True, "Resources": {"CPU": 16.0}},
            {"Alive": False, "Resources": {"CPU": 64.0}},
        ]


def test_what_no_machine_has_is_refused() -> None:
    """Ray would wait for it for ever."""
    ray_cluster._check_room(Machines(), 4, 1)
    ray_cluster._check_room(Machines(), 16, 0)
    ray_cluster._check_room(Machines(), 0.5, 0.25)
    for cpus, gpus in ((16, 1), (64, 0)):  # none has both; that one is gone
        with pytest.raises(OptionError, match=f"No machine of the cluster has {cpus} CPUs and {gpus} GPUs"):
            ray_cluster._check_room(Machines(), cpus, gpus)
    with pytest.raises(OptionError, match="0 or more"):
        ray_cluster._check_room(Machines(), 1, -1)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UnavailableError, match=r"surfhead\[cluster\]"):
        ray_cluster.ray_module()
