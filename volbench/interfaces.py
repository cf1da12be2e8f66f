"""The seven contracts a plugin may fulfil, and what they speak of.

Each has a ``search_space``: where the author of a component would look for good values of its
options. It maps the name of an option to a search space, written as a spec:
``uniform(low=0, high=5)``, ``loguniform(low=1e-4, high=1)``, ``integer(low=1, high=8)`` or
``choice(among=("mean", "sum"))``. A factory that is a function carries it as an attribute. It is a
proposal: nothing is searched unless someone asks for it.
"""

import abc
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, TypeAlias

from torch import Tensor, nn

from volbench._utils.case_generator import CaseGenerator as CaseGenerator
from volbench._utils.geometries import GEOMETRIES as GEOMETRIES
from volbench.types import Embedding, Labels, Output, Scalar, Scan, SliceMask, Tokens, Volume


class Encoder(nn.Module, abc.ABC):
    """Turns a volume into one feature vector per slice. Built as ``factory(in_channels, *, ...)``.

    Attributes:
        num_features: Length of a token.
        slice_stride: Slices per token; 1 unless the encoder reduces the through-plane axis.
        mask_on_host: Whether ``forward`` takes the mask as it is, mostly on the CPU, instead of on
            the volume's device: one that needs sizes of it then reads them without a wait.
        intensities: What prepared voxels are to be, if that matters: ``zscore`` (mean 0, deviation
            1), ``unit`` (0 to 1) or ``byte`` (0 to 255). A plan says where they are not.

    >>> class MeanIntensity(Encoder):
    ...     def __init__(self, in_channels: int) -> None:
    ...         super().__init__()
    ...         self.num_features = in_channels
    ...
    ...     def forward(self, volume, mask=None):
    ...         return volume.mean((-2, -1)).transpose(1, 2)
    >>> import torch
    >>> MeanIntensity(in_channels=2)(torch.zeros(1, 2, 5, 8, 8)).shape
    torch.Size([1, 5, 2])
    """

    search_space: ClassVar[Mapping[str, str]] = {}
    num_features: int
    slice_stride: int = 1
    mask_on_host: bool = False
    intensities: Literal["zscore", "unit", "byte"] | None = None

    @abc.abstractmethod
    def forward(self, volume: Volume, mask: SliceMask | None = None) -> Tokens:
        """Encode; slices where ``mask`` is False are padding and must not change a real token."""

    def layer_groups(self) -> Sequence[Sequence[nn.Parameter]]:
        """Parameters from the input to the output: those of the stem, then of each stage.

        They are what ``freeze="stem+2"`` and the recipe's ``layer_decay`` count. By default each
        child module is a group, in the order in which the children were made.
        """
        groups = [list(child.parameters()) for child in self.children()]
        return [group for group in groups if group]

    def convert_weights(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Give tensors of a published format this encoder's names; by default as they are."""
        return state

    def train(self, mode: bool = True) -> "Encoder":
        """Set training mode, except of what is frozen: its normalisation keeps its statistics."""
        super().train(mode)
        if mode:
            _keep_frozen_in_evaluation(self)
        return self


def _keep_frozen_in_evaluation(module: nn.Module) -> None:
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        module.eval()
        return
    for child in module.children():
        _keep_frozen_in_evaluation(child)


class Aggregator(nn.Module, abc.ABC):
    """Pools the tokens of a case into one vector. Built as ``factory(num_features, *, ...)``.

    Attributes:
        num_features: Length of the vector it returns.

    >>> class First(Aggregator):
    ...     def __init__(self, num_features: int) -> None:
    ...         super().__init__()
    ...         self.num_features = num_features
    ...
    ...     def forward(self, tokens, mask=None):
    ...         return tokens[:, 0]
    >>> import torch
    >>> First(6)(torch.zeros(2, 5, 6)).shape
    torch.Size([2, 6])
    """

    search_space: ClassVar[Mapping[str, str]] = {}
    num_features: int

    @abc.abstractmethod
    def forward(self, tokens: Tokens, mask: SliceMask | None = None) -> Embedding:
        """Pool; tokens where ``mask`` is False are padding and must not change the result."""


@dataclass(frozen=True)
class Problem:
    """What a loss may know before training.

    Attributes:
        class_counts: Training cases of each class.
        num_features: Length of the embedding.
        ordered: Whether the classes are grades, from low to high; None if that is not known.

    >>> Problem(class_counts=(60, 30), num_features=512).num_classes
    2
    """

    class_counts: tuple[int, ...]
    num_features: int
    ordered: bool | None = None

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_counts)


class Loss(nn.Module, abc.ABC):
    """What is minimised. Built as ``factory(problem, *, ...)``; its parameters are trained too.

    Attributes:
        synchronises: Whether it asks the device for values, as lists of pairs or triplets do: it
            costs a wait per batch on a GPU. False unless it cannot be helped.
        conditional_head: Whether it is made for a head that gives, for each but the highest of
            ordered classes, the logit of a higher class among the cases that are at least in it.
            Logits are then the logarithms of the classes' probabilities.

    >>> class Hinge(Loss):
    ...     def __init__(self, problem: Problem, *, margin: float = 1.0) -> None:
    ...         super().__init__()
    ...         self.margin = margin
    ...
    ...     def forward(self, output, labels):
    ...         return (self.margin - (2 * labels - 1) * output.logits[:, 0]).relu().mean()
    >>> import torch
    >>> output = Output(logits=torch.zeros(2, 1), embedding=torch.zeros(2, 8))
    >>> Hinge(Problem((1, 1), 8))(output, torch.tensor([0, 1]))
    tensor(1.)
    """

    search_space: ClassVar[Mapping[str, str]] = {}
    synchronises: ClassVar[bool] = False
    conditional_head: ClassVar[bool] = False

    @abc.abstractmethod
    def forward(self, output: Output, labels: Labels) -> Scalar:
        """Score a batch; must not synchronise with the host unless it says so."""


class Augmentation(abc.ABC):
    """Changes a batch of volumes at random, on their own device. Built as ``factory(*, ...)``.

    >>> class Offset(Augmentation):
    ...     def __init__(self, *, most: float = 0.1) -> None:
    ...         self.most = most
    ...
    ...     def __call__(self, volume, mask, generator):
    ...         return volume + generator.uniform(1, 1, 1, 1, low=-self.most, high=self.most)
    >>> import torch
    >>> generator = CaseGenerator([3, 4])  # one seed per case
    >>> volume = torch.zeros(2, 1, 5, 8, 8)
    >>> Offset()(volume, torch.ones(2, 5, dtype=torch.bool), generator).shape
    torch.Size([2, 1, 5, 8, 8])
    """

    search_space: ClassVar[Mapping[str, str]] = {}

    @abc.abstractmethod
    def __call__(self, volume: Volume, mask: SliceMask, generator: CaseGenerator) -> Volume:
        """Draw from ``generator`` only, so that a case does not depend on its batch."""

    def eval_view(self, volume: Volume) -> Volume:
        """Return the volume as evaluation sees it: nothing random, but of the same in-plane size.

        The volume itself, unless the augmentation crops slices to another size.
        """
        return volume

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Take ``still``, the name of ``eval_view`` in version 0.1, for one more release."""
        super().__init_subclass__(**kwargs)
        if "still" in vars(cls) and "eval_view" not in vars(cls):
            warnings.warn(
                f"{cls.__name__}.still is now called eval_view; rename it, as the old name goes "
                "with the next release",
                DeprecationWarning,
                stacklevel=2,
            )
            cls.eval_view = vars(cls)["still"]  # type: ignore[method-assign]


@dataclass(frozen=True)
class Files:
    """A case on disk: one image per channel and, if there is one, its region of interest.

    Each path is a file (NIfTI, NRRD, MHA) or a folder holding one DICOM series. Slices lie across
    the axis of largest spacing unless ``plane`` says axial, coronal or sagittal. Where NIfTI
    headers contradict themselves, ``geometry`` says which part to believe: one of ``GEOMETRIES``.

    >>> Files(images=(Path("t2w.nii.gz"), Path("dwi.nii.gz")), mask=Path("roi.nii.gz")).plane
    """

    images: tuple[Path, ...]
    mask: Path | None = None
    plane: str | None = None
    geometry: str | None = None


@dataclass(frozen=True, eq=False)
class SubjectSource:
    """A case that is a TorchIO subject, in memory or not loaded yet; picklable.

    An image that names a file and has no ``reader`` of its own passes the same checks as any other
    file before it is believed.

    Attributes:
        subject: A ``torchio.Subject``.
        images: Names of its scalar images, in the order of the channels.
        mask: Name of the label map that is the region of interest, if there is one.
        transform: Applied to the loaded subject; must not be random.
        plane: Slices are axial, coronal or sagittal; by default the spacing decides.
        geometry: Which part of a NIfTI header to believe; see ``Files``.

    >>> import torch, torchio
    >>> subject = torchio.Subject(t2w=torchio.ScalarImage(tensor=torch.zeros(1, 8, 8, 5)))
    >>> SubjectSource(subject, images=("t2w",)).images
    ('t2w',)
    """

    subject: Any
    images: tuple[str, ...]
    mask: str | None = None
    transform: Callable[[Any], Any] | None = None
    plane: str | None = None
    geometry: str | None = None


class Generated(abc.ABC):
    """A case computed rather than read from its own file; picklable, for worker processes.

    >>> import numpy as np
    >>> @dataclass(frozen=True)
    ... class Constant(Generated):
    ...     value: float
    ...
    ...     def fingerprint(self):
    ...         return f"constant {self.value}"
    ...
    ...     def render(self):
    ...         image = np.full((1, 5, 8, 8), self.value, np.float32)
    ...         return Scan(image=image, spacing_mm=(4.0, 0.5, 0.5))
    >>> Constant(7).render().image.shape
    (1, 5, 8, 8)
    """

    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Text that changes whenever the volume does."""

    @abc.abstractmethod
    def render(self) -> Scan:
        """Compute the volume."""


@dataclass(frozen=True)
class Case:
    """One labelled volume, not yet read.

    Attributes:
        name: Unique in its data set.
        patient: Never in two folds.
        label: Name of its class.
        source: Where its voxels come from.
        representative: Slice numbers along the stored through-plane axis, counted from 0.
        strata: Columns to report by (site, scanner, ...).
        fold: The data set's own split, if it has one: a fold's number, or train, val, test.

    >>> source = Files(images=(Path("scan.nii.gz"),))
    >>> case = Case("scan", "p01", "T3", source, strata={"site": "north"})
    >>> case.patient, case.representative
    ('p01', ())
    """

    name: str
    patient: str
    label: str
    source: Files | Generated | SubjectSource
    representative: tuple[int, ...] = ()
    strata: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    fold: str | None = None


@dataclass(frozen=True)
class Card:
    """What a reader must know of a data set before using it.

    Attributes:
        about_patients: What its patients are, where they are not people, as in a data set that
            names none; stands beneath every table.

    >>> Card("Our rectal MR", licence="not shared", citation="none yet").title
    'Our rectal MR'
    """

    title: str
    licence: str
    citation: str
    url: str = ""
    about_patients: str = ""


class Dataset(abc.ABC):
    """Labelled cases. Built as ``factory(*, ...)``.

    Attributes:
        card: Title, licence, citation.
        classes: Names of the classes, in the order of their index; the last of two is positive.
        channels: Names of the channels.
        native_size: In-plane size all volumes share, already localised; None where it varies.
        ordered: Whether the classes are grades, from low to high.
        version: For data sets whose name alone may come to mean other data: an option of that name,
            which experiments keep as part of the data's spec even where it was left out.

    >>> class Ours(Dataset):
    ...     card = Card("Ours", licence="not shared", citation="none yet")
    ...     classes = ("T2", "T3")
    ...
    ...     def cases(self):
    ...         source = Files(images=(Path("scan.nii.gz"),))
    ...         return [Case("scan", "p01", "T3", source)]
    >>> len(Ours().cases())
    1
    """

    search_space: ClassVar[Mapping[str, str]] = {}
    card: Card
    classes: tuple[str, ...]
    channels: tuple[str, ...] = ("image",)
    native_size: int | None = None
    ordered: bool = False
    version: int | None = None

    @abc.abstractmethod
    def cases(self) -> Sequence[Case]:
        """List the cases, in a fixed order; reads no voxels."""


@dataclass(frozen=True)
class ExecutorTask:
    """One task, as plain data: what any process of any machine can do.

    Attributes:
        key: Names the task, once among those that are submitted with the same folder.
        function: ``package.module:name``, called as ``function(payload, context)`` with a
            `TaskContext`; returns plain data.
        payload: What it is called with: text, numbers, lists and objects, as JSON knows them.
        alone: Whether nothing else may run beside it on its device: after it ran out of memory.

    >>> ExecutorTask("fold 0", "volbench.testing.toy_tasks:echo", {"number": 1}).alone
    False
    """

    key: str
    function: str
    payload: Mapping[str, Any]
    alone: bool = False


class TaskContext(abc.ABC):
    """What a running task is given by its executor.

    Attributes:
        log: File that holds what the task prints, if the executor keeps one.

    >>> class Silent(TaskContext):
    ...     should_stop = False
    ...
    ...     def report(self, value):
    ...         pass
    >>> Silent().should_stop
    False
    """

    log: Path | None = None

    @abc.abstractmethod
    def report(self, value: Mapping[str, Any]) -> None:
        """Send plain data to the process that submitted the task; never blocks."""

    @property
    @abc.abstractmethod
    def should_stop(self) -> bool:
        """Whether the task is to keep its state and raise `errors.PreemptedError`."""


EventKind: TypeAlias = Literal[
    "waiting", "started", "progress", "done", "failed", "lost", "out_of_memory", "preempted"
]
TERMINAL_EVENTS: frozenset[EventKind] = frozenset(
    {"done", "failed", "lost", "out_of_memory", "preempted"}
)


@dataclass(frozen=True)
class ExecutorEvent:
    """What became of a task: any number of events, then one of `TERMINAL_EVENTS`.

    Attributes:
        key: The task's.
        kind: ``progress`` brings what the task reported, ``done`` what it returned. ``failed``: its
            function raised. ``lost``: its process or its machine is gone. ``out_of_memory``: the
            system or the device had none left. ``preempted``: it kept its state and ended; submit
            it again to go on.
        value: Plain data that comes with ``progress`` and ``done``.
        reason: Why, in one line, of what did not end well.
        error_type: Name of the class that the function raised, of ``failed``.
        host: Machine that has the task, where it is known.
        log: File that holds what the task printed, where there is one.

    >>> event = ExecutorEvent("fold 0", "lost", reason="the node was drained")
    >>> event.kind in TERMINAL_EVENTS
    True
    """

    key: str
    kind: EventKind
    value: Mapping[str, Any] = field(default_factory=dict[str, Any])
    reason: str = ""
    error_type: str = ""
    host: str = ""
    log: str = ""


class Executor(abc.ABC):
    """Runs tasks somewhere. Built as ``factory(*, ...)``; a context manager that ends what it owns.

    Attributes:
        detaches: Whether tasks go on when the process that submitted them ends; then submitting
            the same keys with the same folder again attaches to them.
        restarts: Whether it begins a task again by itself whose machine is lost, when the first
            process may still be running.
        gpus: GPUs of each task where they are asked for, whatever this machine has; 0 where tasks
            use what their machine has.
        cpus: Cores of each task; 0 where they use all that their process may.

    >>> class Nowhere(Executor):
    ...     def submit(self, tasks, folder, on_event):
    ...         for task in tasks:
    ...             on_event(ExecutorEvent(task.key, "lost", reason="there is no machine"))
    ...
    ...     def describe(self, tasks, folder):
    ...         return f"{len(tasks)} tasks nowhere"
    >>> with Nowhere() as executor:
    ...     executor.describe([], Path())
    '0 tasks nowhere'
    """

    search_space: ClassVar[Mapping[str, str]] = {}
    detaches: bool = False
    restarts: ClassVar[bool] = False
    gpus: float = 0
    cpus: float = 0

    @abc.abstractmethod
    def submit(
        self,
        tasks: Sequence[ExecutorTask],
        folder: Path,
        on_event: Callable[[ExecutorEvent], None],
    ) -> None:
        """Run tasks until each has ended; one that fails never takes others along.

        Args:
            tasks: What to do; those that come first begin first.
            folder: Where to keep logs and what is needed to attach again; all machines see it.
            on_event: Called with each event, in the thread that called `submit`.

        Raises:
            ExecutorError: the machines cannot be reached, or refuse what is asked for.
        """

    @abc.abstractmethod
    def describe(self, tasks: Sequence[ExecutorTask], folder: Path) -> str:
        """Tell what `submit` would do, as a command or a script, without doing it."""

    def cancel(self, keys: Collection[str]) -> None:  # noqa: B027 (nothing may be left to end)
        """End tasks that wait or run; the default leaves them alone."""

    def close(self) -> None:  # noqa: B027 (it may own nothing)
        """End processes and connections of this one's own; the default has none."""

    def __enter__(self) -> "Executor":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of a run.

    Attributes:
        name: Of the run.
        path: Its folder.
        settings: Components, data, seed, the experiment's id and the recipe, as text.

    >>> TrackedRun("mine", Path("runs/mine"), {"encoder": "rmc5"}).settings["encoder"]
    'rmc5'
    """

    name: str
    path: Path
    settings: Mapping[str, str]


class Tracker(abc.ABC):
    """Takes the curves of a run while it trains. Built as ``factory(*, ...)``.

    It is called by the process that started the run, wherever the folds are trained. What it raises
    becomes a warning; it is not called again then. It may not draw from PyTorch's generator.

    >>> class Last(Tracker):
    ...     def log(self, fold, epoch, values):
    ...         self.seen = fold, epoch, dict(values)
    >>> tracker = Last()
    >>> tracker.log(0, 1, {"train/loss": 0.5})
    >>> tracker.seen
    (0, 1, {'train/loss': 0.5})
    """

    search_space: ClassVar[Mapping[str, str]] = {}

    def start(self, run: TrackedRun) -> None:  # noqa: B027 (it may need none of it)
        """Prepare for a run that is about to start, or to resume."""

    @abc.abstractmethod
    def log(self, fold: int, epoch: int, values: Mapping[str, float]) -> None:
        """Take the values of an epoch, counted from 1; folds may be trained side by side.

        Names are paths: ``train/loss``, ``train/loss_terms/<term>`` (weighted: they add up to the
        loss), ``train/learning_rate``, ``validation/auc``, ``validation/log_loss`` (classes weigh
        the same), ``speed/cases_per_second``, ``speed/waiting``, ``memory/peak_mb``. Values are
        finite; what is not known is left out.
        """

    def finish(self, fold: int, values: Mapping[str, float]) -> None:  # noqa: B027
        """Take the result of a finished fold: ``auc`` held out, ``seconds``, ``selected_epoch``."""

    def how_to_view(self) -> str:
        """Command or address that shows the curves, printed after the run; empty for none."""
        return ""

    def close(self) -> None:  # noqa: B027 (it may own nothing)
        """End what was opened; called once more or less often than `start`."""
