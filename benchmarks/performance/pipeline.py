"""The input pipeline alone: reading a volume and changing its geometry, by volbench and by others.

    python benchmarks/performance/pipeline.py --clock processor
    python benchmarks/performance/pipeline.py --cores 2          also TorchIO in worker processes

volbench reads its packed cache, the others a nii.gz file. What leaves is float32. All do the same
geometry (same_geometry.py) on volumes of 24 slices of 256 x 256. First one fixed turn and scale
(fixed_geometry.py) is compared with its formula; the script ends with status 1 if any is off. A
last table compares TorchIO's transforms in volbench's loader of subjects with TorchIO's loader
alone, on subjects in memory.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import fixed_geometry
import numpy as np
import same_geometry
import torch
from image_files import Files, read_by_simpleitk, read_by_torchio, write_files
from synthesised import pack_spots
from timing import Table, absent, interleave, parser, report
from torch import Tensor
from torch.utils.data import DataLoader

from volbench.data.loading.loader import Loader
from volbench.training.memory import keep_freed_memory

OURS = "volbench"


def main(argv: Sequence[str] | None = None) -> int:
    options = parser(__doc__)
    options.add_argument("--slices", type=int, default=24, metavar="N", help="[%(default)s]")
    options.add_argument("--size", type=int, default=256, metavar="N", help="[%(default)s]")
    options.add_argument("--cases", type=int, default=8, metavar="N", help="[%(default)s]")
    options.add_argument(
        "--cores",
        type=int,
        default=1,
        metavar="N",
        help="more than one: also TorchIO in so many worker processes, by the clock on the wall",
    )
    arguments = options.parse_args(argv)
    if arguments.toy:
        arguments.slices, arguments.size, arguments.cases = 4, 32, 3
        arguments.rounds = min(arguments.rounds, 2)
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()  # as volbench does with large slices; everyone gains by it
    if not correct(arguments.slices, arguments.size):
        return 1
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), arguments)
        tables = [bench.reading(), bench.geometry("cpu"), *bench.both(), *bench.subjects()]
        if arguments.cores > 1:
            tables += bench.workers()
    if arguments.device.startswith("cuda"):
        tables.append(bench.geometry(arguments.device))
    print()
    report(tables, arguments)
    return 0


def correct(slices: int, size: int) -> bool:
    """Print how far each one's fixed geometry is from the formula; tell whether all are near."""
    volume, expected = (
        fixed_geometry.blobs(slices, size, traced_back=back) for back in (False, True)
    )
    allowed = fixed_geometry.tolerance(size)
    right = True
    print(f"turned by 5 degrees, magnified by 1.1: largest error, of {allowed:.1e} allowed")
    for name, build in fixed_geometry.by_each().items():
        try:
            transform = build()
        except ModuleNotFoundError as error:
            print(f"  {absent(name.lower(), error)}")
            continue
        # Magnified, no pixel comes from beyond the border, where each has its own rule.
        off = (transform(volume) - expected).abs().max().item()
        right &= off <= allowed
        print(f"  {name:9} {off:.1e}{'' if off <= allowed else '  WRONG'}")
    return right


class Bench:
    """The same volumes as a packed cache and as files, and who reads and changes them."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.notes: list[str] = []
        self.prepared = pack_spots(
            folder / "cache", arguments.cases, arguments.slices, arguments.size
        )
        self.files = write_files(self.prepared, folder) if self._installed("SimpleITK") else []
        self.what = f"{arguments.slices} x {arguments.size} x {arguments.size}"
        self.volume = torch.from_numpy(self.prepared.volume(0)[:, 0]).float()

    def reading(self) -> Table:
        """From the disk's cache in memory to a tensor, one volume."""
        loader = Loader(self.prepared, torch.device("cpu"))
        packed = cycle(range(self.arguments.cases))
        candidates: dict[str, Callable[[], object]] = {
            OURS: lambda: next(loader.batches([np.array([packed()])])),
            "volbench, as stored (float16)": lambda: torch.from_numpy(
                np.array(self.prepared.volume(packed()))
            ),
            **{f"{name}, nii.gz": read for name, read in self._readers().items()},
        }
        return self._table(f"reading {self.what}", candidates, unit="ms")

    def geometry(self, device: str) -> Table:
        """From a float32 tensor to another, on a device."""
        volume = self.volume.to(device)
        transforms = self._transforms(device)
        # Bound now: a lambda would call the last of them all the time.
        candidates = {name: _bind(each, volume) for name, each in transforms.items()}
        title = f"geometry of {self.what} on {device}"
        return self._table(
            title, candidates, unit="ms", device=device, notes=same_geometry.NOT_THE_SAME
        )

    def both(self) -> list[Table]:
        """Reading and geometry together; none where there are no files."""
        if not self.files:
            print("reading and geometry together: left out, as nothing can write nii.gz")
            return []
        loader = Loader(self.prepared, torch.device("cpu"))
        ours, place = same_geometry.by_volbench(same_geometry.SAME), cycle(range(len(self.files)))
        readers, transforms = self._readers(), self._transforms("cpu")
        candidates: dict[str, Callable[[], object]] = {
            OURS: lambda: ours(next(loader.batches([np.array([place()])])).volume[0, 0])
        }
        for name, transform in transforms.items():
            reader = "TorchIO" if name == "TorchIO" else "SimpleITK"
            if not name.startswith(OURS) and reader in readers:
                candidates[f"{reader}, {name}"] = _after(readers[reader], transform)
        return [self._table(f"reading and geometry of {self.what}", candidates, unit="ms")]

    def subjects(self) -> list[Table]:
        """A pass under the same transforms of TorchIO: volbench's loader of subjects, and its own.

        TorchIO's loader has every subject in memory, volbench's reads its cache.
        """
        if not self._installed("torchio"):
            return []
        import torchio as tio

        from volbench.data.loading.prepared_subjects import PreparedSubjects
        from volbench.data.loading.subjects_loader import SubjectBatches

        transform = tio.Compose(same_geometry.torchio_parts(self.arguments.size))
        cases = range(self.arguments.cases)
        in_memory = tio.SubjectsDataset(list(PreparedSubjects(self.prepared)), transform)
        alone = tio.SubjectsLoader(in_memory, batch_size=1)
        through_ours = SubjectBatches(self.prepared, transform, torch.device("cpu"), workers=0)
        loader = Loader(self.prepared, torch.device("cpu"))
        ours = same_geometry.by_volbench(same_geometry.SAME)
        requests = [[(case, case)] for case in cases]
        order = [np.array([case]) for case in cases]
        candidates: dict[str, Callable[[], object]] = {
            OURS: lambda: [ours(batch.volume[0, 0]) for batch in loader.batches(order)],
            "TorchIO's transforms by volbench's loader": lambda: [
                batch.volume for batch in through_ours.batches(requests)
            ],
            "TorchIO's transforms by its own loader": lambda: list(alone),
        }
        seconds = interleave(candidates, rounds=self.arguments.rounds, clock=self.arguments.clock)
        per_volume = {name: [s / len(cases) for s in each] for name, each in seconds.items()}
        title = f"augmented subjects of {self.what}, {self.arguments.clock}"
        return [Table(title=title, unit="ms", reference=OURS, seconds=per_volume)]

    def workers(self) -> list[Table]:
        """A pass over files: TorchIO in worker processes, volbench in this one."""
        if "TorchIO" not in self._readers():
            return []
        transform, ours = (
            same_geometry.by_torchio(self.arguments.size),
            same_geometry.by_volbench(same_geometry.SAME),
        )
        files = self.files * max(1, 2 * self.arguments.cores // len(self.files))
        data = DataLoader(
            Files(files, transform), num_workers=self.arguments.cores, persistent_workers=True
        )
        loader = Loader(self.prepared, torch.device("cpu"))
        order = [np.array([index % len(self.files)]) for index in range(len(files))]
        candidates = {
            OURS: lambda: [ours(batch.volume[0, 0]) for batch in loader.batches(order)],
            f"TorchIO, {self.arguments.cores} workers": lambda: list(data),
        }
        seconds = interleave(candidates, rounds=self.arguments.rounds)
        per_volume = {name: [s / len(files) for s in each] for name, each in seconds.items()}
        title = f"reading and geometry, per volume of {len(files)}, clock on the wall"
        return [Table(title=title, unit="ms", reference=OURS, seconds=per_volume)]

    def _readers(self) -> dict[str, Callable[[], Tensor]]:
        readers: dict[str, Callable[[], Tensor]] = {}
        place = cycle(range(max(1, len(self.files))))
        for name, package, read in (
            ("SimpleITK", "SimpleITK", read_by_simpleitk),
            ("TorchIO", "torchio", read_by_torchio),
        ):
            if self.files and self._installed(package):
                readers[name] = lambda read=read: read(self.files[place()])
        return readers

    def _transforms(self, device: str) -> dict[str, same_geometry.Transform]:
        size, slices = self.arguments.size, self.arguments.slices
        found = {
            name: same_geometry.by_volbench(spec, device)
            for name, spec in same_geometry.VOLBENCH.items()
        }
        if device == "cpu" and self._installed("torchio"):
            found["TorchIO"] = same_geometry.by_torchio(size)
        if self._installed("monai"):
            found |= same_geometry.by_monai(size, slices, device)
        return found

    def _installed(self, package: str) -> bool:
        try:
            __import__(package)
        except ModuleNotFoundError as error:
            note = absent(package, error)
            if note not in self.notes:
                self.notes.append(note)
            return False
        if package == "SimpleITK":
            import SimpleITK

            SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(self.arguments.threads)
        return True

    def _table(
        self,
        title: str,
        candidates: dict[str, Callable[[], object]],
        *,
        unit: str,
        device: str = "cpu",
        notes: Sequence[str] = (),
    ) -> Table:
        arguments = self.arguments
        seconds = interleave(
            candidates, rounds=arguments.rounds, device=device, clock=arguments.clock
        )
        where = f"{arguments.threads} thread{'s' * (arguments.threads > 1)}, {arguments.clock}"
        title = f"{title}, {'CUDA events' if device.startswith('cuda') else where}"
        return Table(
            title=title, unit=unit, reference=OURS, seconds=seconds, notes=(*notes, *self.notes)
        )


def cycle(places: range) -> Callable[[], int]:
    """The next place at every call, over and over."""
    count = iter(range(10**9))
    return lambda: places[next(count) % len(places)]


def _bind(transform: same_geometry.Transform, volume: Tensor) -> Callable[[], Tensor]:
    return lambda: transform(volume)


def _after(read: Callable[[], Tensor], transform: same_geometry.Transform) -> Callable[[], Tensor]:
    return lambda: transform(read())


if __name__ == "__main__":
    sys.exit(main())
