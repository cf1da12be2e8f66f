import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.toy_volumes import Toy
from volbench._utils import process_pool as workers
from volbench._utils.cache_location import cache_root
from volbench.data.preparation.prepare_data import prepare
from volbench.data.preprocessing.operations import preprocess
from volbench.data.preprocessing.options import Preprocessing
from volbench.errors import DataError, SpecError, StateError, StorageError
from volbench.interfaces import Card, Case, Dataset
from volbench.plugins.registry import datasets

OPTIONS = Preprocessing(size=4, crop="roi", margin=0)


@pytest.fixture(autouse=True)
def _toy():
    with datasets.adding(toy=Toy):
        yield


@pytest.fixture
def log(tmp_path):
    return tmp_path / "rendered.txt"


def rendered(log):
    return sorted(map(int, log.read_text().split())) if log.exists() else []


def toy(log, **arguments):
    given = {"log": str(log), **arguments}
    return f"toy({', '.join(f'{key}={value!r}' for key, value in given.items())})"


def test_prepared_voxels_are_the_preprocessed_ones(tmp_path):
    prepared = prepare("toy", OPTIONS, root=tmp_path)
    resolved = OPTIONS.resolved(Toy())
    assert prepared.preprocessing == resolved
    for index, case in enumerate(Toy().cases()):
        scan = case.source.render()
        wanted = preprocess(scan, resolved).image.astype(np.float16)
        assert np.array_equal(prepared.volume(index), np.moveaxis(wanted, 0, 1))
        found = prepared.cases[index]
        assert (found.name, found.patient, found.label) == (case.name, case.patient, index % 2)
        assert (found.slices, found.stored_shape) == (wanted.shape[1], scan.image.shape[1:])
        assert found.stored_spacing_mm == (3.0, 0.5, 0.5)
        assert found.spacing_mm == pytest.approx((3, 1.5 / 4, 1.5 / 4))
        assert found.roi_mm3 == 9 * 0.75
        assert (found.representative, found.fold) == ((0,), str(index % 2))
        assert found.strata == {"site": "here"}
    assert (prepared.source, prepared.classes) == ("toy", ("even", "odd"))
    assert (prepared.channels, prepared.card) == (("t2w", "dwi"), Toy.card)


def test_the_order_of_the_cases_changes_nothing(tmp_path):
    forth = prepare("toy", OPTIONS, root=tmp_path / "a")
    back = prepare("toy(backwards=True)", OPTIONS, root=tmp_path / "b")
    assert forth.digest == back.digest
    assert forth.cases == back.cases
    assert np.array_equal(forth.voxels, back.voxels)


def test_the_data_digest_is_of_the_cases_not_of_their_preprocessing(tmp_path):
    one = prepare("toy", OPTIONS, root=tmp_path)
    other = prepare("toy", Preprocessing(), root=tmp_path)
    assert one.digest == other.digest
    assert one.folder.parent != other.folder.parent
    assert prepare("toy(cases=4)", OPTIONS, root=tmp_path).digest != one.digest


def test_a_second_time_nothing_is_read_and_progress_is_silent(tmp_path, log):
    heard = []
    first = prepare(toy(log), OPTIONS, root=tmp_path, on_case=lambda *done: heard.append(done))
    assert heard == [(done, 5) for done in range(1, 6)]
    again = prepare(toy(log), OPTIONS, root=tmp_path, on_case=lambda *done: heard.append(done))
    assert (again.folder, len(heard), rendered(log)) == (first.folder, 5, [0, 1, 2, 3, 4])
    assert not list((tmp_path / "parts").iterdir())


def test_a_hundred_cases_open_in_well_under_a_second(tmp_path):
    prepare("toy(cases=100)", OPTIONS, root=tmp_path)
    start = time.process_time()  # unlike the clock, it does not count what else the machine does
    prepare("toy(cases=100)", OPTIONS, root=tmp_path)
    assert time.process_time() - start < 0.8


KILLED = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tests.helpers.toy_volumes import Toy
from volbench.data.preprocessing.options import Preprocessing
from volbench.data.preparation.prepare_data import prepare
from volbench.plugins.registry import datasets
with datasets.adding(toy=Toy):
    prepare(sys.argv[2], Preprocessing(size=4, crop="roi", margin=0), root=Path(sys.argv[3]))
"""


def start_preparing(text, root):
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), text, str(root)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for_parts(root, count):
    end = time.monotonic() + 60
    while len(list((root / "parts").glob("*.npz"))) < count:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_killed_preparation_goes_on_where_it_was(tmp_path, log):
    root = tmp_path / "cache"
    with start_preparing(toy(log, slow=0.3), root) as process:
        wait_for_parts(root, 2)
        process.send_signal(signal.SIGKILL)
    before = rendered(log)
    assert 2 <= len(before) < 5
    log.unlink()
    prepared = prepare(toy(log, slow=0.3), OPTIONS, root=root)
    assert len(rendered(log)) <= 3
    whole = prepare("toy", OPTIONS, root=tmp_path / "whole")
    assert np.array_equal(prepared.voxels, whole.voxels)


def test_two_at_once_share_the_work_and_both_succeed(tmp_path, log):
    root = tmp_path / "cache"
    text = toy(log, slow=0.3)
    with start_preparing(text, root) as process:
        wait_for_parts(root, 1)
        heard = []
        prepared = prepare(text, OPTIONS, root=root, on_case=lambda *done: heard.append(done))
        assert (process.wait(), process.stderr.read()) == (0, "")
    assert heard
    assert max(heard) <= (5, 5)
    assert rendered(log) == [0, 1, 2, 3, 4]
    prepared.check()


def test_a_broken_case_is_named_and_the_others_are_kept(tmp_path, log):
    broken = Path(f"{log}.broken")
    broken.touch()
    with pytest.raises(DataError) as error:
        prepare(toy(log), OPTIONS, root=tmp_path)
    assert str(error.value) == (
        "case case2: ValueError: the second volume is broken (the other 4 cases are prepared and "
        "kept)"
    )
    assert rendered(log) == [0, 1, 3, 4]
    broken.unlink()
    prepare(toy(log), OPTIONS, root=tmp_path).check()
    assert rendered(log) == [0, 1, 2, 3, 4]


def test_many_broken_cases_are_counted_and_some_quoted(tmp_path):
    no_roi = Preprocessing(size=4, n4=True)  # the toy's noise is positive, so make it fail
    with datasets.adding(toy=Negative), pytest.raises(DataError) as error:
        prepare("toy(cases=6)", no_roi, root=tmp_path)
    message = str(error.value)
    assert message.startswith("6 of 6 cases cannot be prepared: case case0: N4 needs intensities")
    assert message.endswith(
        "(the same of 5 more: case1, case2, case3, ...) (the others are prepared and kept)"
    )
    assert "\n" not in message


class Negative(Toy):
    def cases(self):
        made = super().cases()
        for case in made:
            render = case.source.render
            case.source.render = lambda render=render: _shifted(render())
        return made


def _shifted(scan):
    scan.image[:] -= 200
    return scan


def test_processes_prepare_the_same_voxels(tmp_path, monkeypatch):
    alone = prepare("toy(cases=6)", OPTIONS, root=tmp_path / "alone", jobs=1)
    monkeypatch.setattr(workers, "START_S", 0.0)
    heard = []
    together = prepare(
        "toy(cases=6)",
        OPTIONS,
        root=tmp_path / "together",
        jobs=2,
        on_case=lambda done, total: heard.append(done),
    )
    assert heard == [1, 2, 3, 4, 5, 6]
    assert np.array_equal(alone.voxels, together.voxels)
    assert alone.cases == together.cases


def test_a_killed_worker_is_a_storage_error_not_a_hang(tmp_path, log, monkeypatch):
    monkeypatch.setattr(workers, "START_S", 0.0)
    Path(f"{log}.deadly").touch()
    with pytest.raises(StorageError, match=r"memory ran out; what is done is kept.* --jobs 1"):
        prepare(toy(log), OPTIONS, root=tmp_path, jobs=2)


STOPPED = """
import sys, time
from volbench._utils.process_pool import each
from volbench._utils import process_pool as workers
workers.START_S = -1.0
for number in each(time.sleep, [0, 0, 100, 100], jobs=2):
    print("done", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_at_once_with_the_process_that_started_them(number):
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        process_group=0,
    ) as process:
        assert [process.stdout.readline() for _ in range(2)] == [b"done\n", b"done\n"]
        group = process.pid
        while len(members(group)) < 3:  # the parent and its two workers, at least
            time.sleep(0.02)
        time.sleep(0.5)  # until the workers sleep, too
        process.send_signal(number)
        process.wait(timeout=30)
    end = time.monotonic() + 30
    while members(group):
        assert time.monotonic() < end
        time.sleep(0.02)


def members(group):
    """The live processes of a group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue  # it has ended meanwhile
        if int(its_group) == group and state != "Z":
            found.append(folder.name)
    return found


def test_other_strata_are_another_index_on_the_same_voxels(tmp_path, log):
    here = prepare(toy(log), OPTIONS, root=tmp_path)
    there = prepare(toy(log, site="there", swapped=True), OPTIONS, root=tmp_path)
    assert rendered(log) == [0, 1, 2, 3, 4]
    assert there.digest == here.digest
    assert (there.folder / "voxels.f16").samefile(here.folder / "voxels.f16")
    assert {case.strata["site"] for case in there.cases} == {"there"}
    assert [case.label for case in there.cases] == [1, 0, 1, 0, 1]
    unchanged = prepare(toy(log), OPTIONS, root=tmp_path)
    assert unchanged.cases == here.cases
    assert np.array_equal(there.voxels, here.voxels)


def test_a_damaged_cache_of_our_own_is_made_again(tmp_path, log):
    first = prepare(toy(log), OPTIONS, root=tmp_path)
    whole = np.array(first.voxels)
    (first.folder / "voxels.f16").write_bytes(b"")
    again = prepare(toy(log), OPTIONS, root=tmp_path)
    assert np.array_equal(again.voxels, whole)
    assert rendered(log) == sorted(2 * [0, 1, 2, 3, 4])


def test_a_part_that_is_damaged_is_made_again(tmp_path, log):
    Path(f"{log}.broken").touch()
    with pytest.raises(DataError):
        prepare(toy(log), OPTIONS, root=tmp_path)
    Path(f"{log}.broken").unlink()
    for part in (tmp_path / "parts").glob("*.npz"):
        part.write_bytes(part.read_bytes()[:-40])
    prepared = prepare(toy(log), OPTIONS, root=tmp_path)
    assert np.array_equal(prepared.voxels, prepare("toy", OPTIONS, root=tmp_path / "b").voxels)


def test_a_prepared_folder_is_opened_as_it_is(tmp_path):
    folder = prepare("toy", OPTIONS, root=tmp_path / "cache").folder
    root = tmp_path / "unused"
    opened = prepare(str(folder), Preprocessing(margin=0), root=root)
    assert opened.folder == folder
    assert not root.exists()
    with pytest.raises(SpecError) as error:
        prepare(str(folder), Preprocessing(size=8, normalize="none", margin=0))
    assert str(error.value) == (
        f"{folder} was prepared with other options: preprocessing.size is 4 there, 8 here; "
        "preprocessing.normalize is 'zscore' there, 'none' here; use its values, or prepare again"
    )
    (folder / "index.json").unlink()
    with pytest.raises(StateError, match="prepare it again"):
        prepare(str(folder), Preprocessing(margin=0))


class Odd(Dataset):
    card = Card("Odd", "CC0", "nobody")
    classes = ("a", "b")

    def __init__(self, *, names=(), label="a"):
        self.names, self.label = names, label

    def cases(self):
        return [Case(n, "p", self.label, Toy().cases()[0].source) for n in self.names]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("odd", "odd has no cases"),
        ("odd(names=('x', 'y', 'x'))", "two cases named 'x'; rename one"),
        ("odd(names=('x',), label='c')", "case x: label 'c' is none of a, b"),
        ("odd(names=('x',))", "case x: 2 channels where the data set has 1"),
    ],
)
def test_a_data_set_that_contradicts_itself_is_refused(tmp_path, spec, message):
    with datasets.adding(odd=Odd), pytest.raises(DataError, match=message):
        prepare(spec, OPTIONS, root=tmp_path)


def test_the_cache_lies_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("VOLBENCH_CACHE", "/scratch/volumes")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_root() == Path("/scratch/volumes")
    monkeypatch.delenv("VOLBENCH_CACHE")
    assert cache_root() == Path("/xdg/volbench")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == Path(os.path.expanduser("~/.cache/volbench"))
