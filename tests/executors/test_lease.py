"""Leases: one holder at a time, and one publication, whatever happens to the processes."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.executors.schedules import World
from volbench._utils.processes import ProcessIdentity
from volbench.errors import StorageError
from volbench.executors.lease import (
    MISSED_RENEWALS,
    LeaseHeldError,
    LeaseLostError,
    acquire,
    acquire_when_free,
    current_attempt,
)

FINAL = "folds/03"


def fill(lease):
    (lease.out / "result").write_text(str(lease.number))


def make_stale(lease, renewals=MISSED_RENEWALS + 1):
    past = time.time() - renewals * lease.renewal_s
    os.utime(lease.path / "lease.json", (past, past))


def test_what_is_published_appears_whole_under_its_name(tmp_path):
    lease = acquire(tmp_path / "attempts/03")
    fill(lease)
    lease.publish(tmp_path / FINAL)
    assert [path.name for path in (tmp_path / FINAL).iterdir()] == ["result"]
    attempt = current_attempt(tmp_path / "attempts/03")
    assert (attempt.number, attempt.state, attempt.outcome) == (1, "ended", "published")


def test_a_lease_that_is_held_is_refused_with_its_holder(tmp_path):
    lease = acquire(tmp_path / "03", details={"device": "cuda:1"})
    with pytest.raises(LeaseHeldError) as refusal:
        acquire(tmp_path / "03")
    assert f"is held by process {os.getpid()} on " in str(refusal.value)
    assert refusal.value.attempt.details["device"] == "cuda:1"
    lease.release("failed")
    assert acquire(tmp_path / "03").number == 2


def test_how_an_attempt_ended_is_what_was_said_first(tmp_path):
    lease = acquire(tmp_path / "03")
    lease.release("failed")
    lease.release("abandoned")
    assert current_attempt(tmp_path / "03").outcome == "failed"


def test_a_silent_holder_is_revoked_and_can_publish_nothing(tmp_path):
    zombie = acquire(tmp_path / "03", renewal_s=10)
    fill(zombie)
    make_stale(zombie)
    heir = acquire(tmp_path / "03", renewal_s=10)
    assert not zombie.is_held
    with pytest.raises(LeaseLostError, match="another process took over"):
        zombie.publish(tmp_path / FINAL)
    fill(heir)
    heir.publish(tmp_path / FINAL)
    assert (tmp_path / FINAL / "result").read_text() == "2"


def test_a_few_missed_renewals_do_no_harm(tmp_path):
    lease = acquire(tmp_path / "03", renewal_s=10)
    make_stale(lease, renewals=MISSED_RENEWALS - 1)
    with pytest.raises(LeaseHeldError):
        acquire(tmp_path / "03", renewal_s=0.001)  # the patience is that of the holder's promise


def test_what_is_published_is_never_replaced(tmp_path):
    (tmp_path / FINAL).mkdir(parents=True)
    (tmp_path / FINAL / "result").write_text("first")
    late = acquire(tmp_path / "03")
    fill(late)
    with pytest.raises(LeaseLostError, match="is taken already"):
        late.publish(tmp_path / FINAL)
    assert (tmp_path / FINAL / "result").read_text() == "first"
    assert current_attempt(tmp_path / "03").outcome == "superseded"
    assert acquire(tmp_path / "03").number == 2


def test_what_a_killed_process_left_half_written_is_removed_by_the_next_one(tmp_path):
    code = "from pathlib import Path; from volbench.executors.lease import acquire; import os, sys;"
    code += "lease = acquire(Path(sys.argv[1])); (lease.path / 'draft').mkdir();"
    code += "(lease.path / 'draft' / 'model').write_text('x'); os._exit(9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "03")], timeout=60, check=False)
    dead = tmp_path / "03" / "0001"
    assert (dead / "draft" / "model").exists()
    acquire(tmp_path / "03")
    assert sorted(path.name for path in dead.iterdir()) == ["lease.json"]


def test_a_process_of_this_machine_that_is_gone_is_noticed_at_once(tmp_path):
    code = "from pathlib import Path; from volbench.executors.lease import acquire; import os, sys;"
    code += "acquire(Path(sys.argv[1])); os._exit(9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "03")], timeout=60)
    assert current_attempt(tmp_path / "03").state == "stale"
    assert acquire(tmp_path / "03").number == 2


def test_a_number_used_again_for_another_process_is_not_taken_for_it():
    here = ProcessIdentity.current()
    assert not here.has_ended
    assert ProcessIdentity(here.host, here.space, here.pid, here.started - 5).has_ended
    elsewhere = ProcessIdentity("other", "another boot", here.pid, here.started - 5)
    assert not elsewhere.has_ended


def test_renewing_keeps_a_long_task(tmp_path):
    lease = acquire(tmp_path / "03", renewal_s=0.05)
    with lease.renewing():
        time.sleep(0.05 * (MISSED_RENEWALS + 3))
        with pytest.raises(LeaseHeldError):
            acquire(tmp_path / "03")


def test_waiting_ends_when_the_lease_does(tmp_path):
    acquire(tmp_path / "03", renewal_s=0.02)
    assert acquire_when_free(tmp_path / "03", renewal_s=0.02).number == 2


def test_a_clock_that_is_wrong_changes_nothing(tmp_path, monkeypatch):
    lease = acquire(tmp_path / "03")
    for wrong in (time.time_ns() + 10**15, 0):
        monkeypatch.setattr(time, "time_ns", lambda wrong=wrong: wrong)
        monkeypatch.setattr(time, "time", lambda wrong=wrong: wrong / 1e9)
        assert current_attempt(tmp_path / "03").state == "held"
    lease.release("failed")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot lease .* choose a folder you may write to"):
        acquire(tmp_path / "file" / "03")


@pytest.mark.parametrize(
    ("seeds", "most", "tasks"),
    [
        (range(150), 5, 2),
        pytest.param(range(150, 4000), 5, 2, marks=pytest.mark.slow),
        pytest.param(range(4000, 5000), 8, 2, marks=pytest.mark.slow),
        pytest.param(range(5000, 5014), 8, 200, marks=pytest.mark.slow),
    ],
    ids=["150", "3850 of 2 to 5 processes", "1000 of 2 to 8", "14 of 200 tasks"],
)
def test_each_task_is_published_once_in_every_schedule(tmp_path, seeds, most, tasks):
    again = 0
    for seed in seeds:
        world = World(tmp_path / str(seed), seed, actors=2 + seed % (most - 1), tasks=tasks)
        world.play()
        assert world.published == dict.fromkeys(world.tasks, 1) or only_the_dead(world), seed
        for task in world.tasks:
            content = {
                path.read_text() for path in (tmp_path / str(seed) / "folds" / task).iterdir()
            }
            assert len(content) == 1, seed
        again += sum(world.trained.values()) - len(world.tasks)
    assert again > len(seeds) / 10  # or no schedule was a hard one


def only_the_dead(world):
    """A process may be killed between publishing and saying so."""
    return all(count <= 1 for count in world.published.values()) and all(
        map(world.is_published, world.tasks)
    )


def toy_worker(folder, seed):
    """Do toy tasks until all are published, with the clock of a host that is wrong."""
    skew = random.Random(seed).uniform(-1e6, 1e6)
    real = time.time
    time.time, time.time_ns = lambda: real() + skew, lambda: int((real() + skew) * 1e9)
    order = sorted(path.name for path in (folder / "tasks").iterdir())
    random.Random(seed).shuffle(order)
    while missing := [task for task in order if not (folder / "folds" / task).exists()]:
        for task in missing:
            try:
                lease = acquire(folder / "attempts" / task, renewal_s=0.03)
            except LeaseHeldError:
                continue
            if (folder / "folds" / task).exists():
                lease.release("redundant")
                continue
            try:
                with lease.renewing():
                    for name in ("a", "b"):
                        time.sleep(0.001)
                        (lease.out / name).write_text(f"{seed} {lease.number}")
                    lease.publish(folder / "folds" / task)
            except (LeaseLostError, FileNotFoundError):
                continue
            line = f"{task}\n".encode()
            with (folder / "published.txt").open("ab", buffering=0) as file:
                file.write(line)
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("workers", "tasks", "disturbances"),
    [
        (3, 30, 12),
        pytest.param(2, 200, 60, marks=pytest.mark.slow),
        pytest.param(5, 200, 100, marks=pytest.mark.slow),
        pytest.param(8, 200, 150, marks=pytest.mark.slow),
    ],
)
def test_killed_and_stopped_processes_lose_nothing_and_do_nothing_twice(
    tmp_path, workers, tasks, disturbances
):
    for number in range(tasks):
        (tmp_path / "tasks" / f"{number:03d}").mkdir(parents=True)
    context = multiprocessing.get_context("fork")
    draw = random.Random(workers)
    running, seeds, killed = [], iter(range(10**6)), 0

    def start():
        process = context.Process(target=toy_worker, args=(tmp_path, next(seeds)), daemon=True)
        process.start()
        running.append(process)

    for _ in range(workers):
        start()
    for _ in range(disturbances):
        time.sleep(draw.uniform(0.01, 0.05))
        alive = [process for process in running if process.is_alive()]
        if not alive:
            break
        victim = draw.choice(alive)
        if draw.random() < 0.4:
            victim.kill()
            killed += 1
            start()
        else:  # asleep for longer than its lease is good, then awake again
            os.kill(victim.pid, signal.SIGSTOP)
            time.sleep(draw.uniform(0.05, 0.3))
            os.kill(victim.pid, signal.SIGCONT)
    for process in running:
        process.join(120)
        assert not process.is_alive()
    published = (tmp_path / "published.txt").read_text().split()
    folders = sorted(path.name for path in (tmp_path / "folds").iterdir())
    assert folders == [f"{number:03d}" for number in range(tasks)]
    assert len(published) == len(set(published)) >= tasks - killed
    for folder in (tmp_path / "folds").iterdir():
        assert len({path.read_text() for path in folder.iterdir()}) == 1
        assert len(list(folder.iterdir())) == 2


def test_what_is_kept_of_an_attempt_can_be_read_by_a_person(tmp_path):
    lease = acquire(tmp_path / "03", details={"device": "cpu"})
    told = json.loads((lease.path / "lease.json").read_text())
    assert told["process"]["pid"] == os.getpid()
    assert told["renewal_s"] == 15
    assert Path(lease.out).is_dir()
