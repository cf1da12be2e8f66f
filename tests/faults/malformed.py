"""Malformed inputs made from sound ones by seeded mutation, and what each may end in."""

import gzip
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

USAGE, DATA, SPEC, STATE, STORAGE, PLUGIN = 2, 3, 4, 5, 6, 7
RUN = ["run", "--loss", "focal", "--dry-run", "--folds", "3"]
NETWORK = ["--encoder", "r2d(width=2)", "--agg", "max"]


@dataclass(frozen=True)
class Malformed:
    """One input.

    Attributes:
        name: Says how it was made.
        path: File that is written, relative to a copy of the sound ones.
        content: What is written.
        arguments: Of the command that reads it.
        codes: Exit codes that are right; 0 where a mutation may have harmed nothing.
    """

    name: str
    path: str
    content: bytes
    arguments: tuple[str, ...]
    codes: tuple[int, ...]


def flip(content: bytes, draw: random.Random) -> bytes:
    """Turn some bits."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 4, 32))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(content: bytes, draw: random.Random) -> bytes:
    """Keep the beginning."""
    return content[: draw.randrange(len(content))]


def overwrite(content: bytes, draw: random.Random) -> bytes:
    """Put something else in the middle."""
    at, length = draw.randrange(len(content)), draw.choice((1, 4, 8, 64))
    junk = draw.choice((b"\0" * length, b"\xff" * length, draw.randbytes(length)))
    return content[:at] + junk + content[at + length :]


def insert(content: bytes, draw: random.Random) -> bytes:
    """Put something between."""
    at = draw.randrange(len(content))
    junk = draw.choice(JUNK)
    return content[:at] + junk + content[at:]


def drop_line(content: bytes, draw: random.Random) -> bytes:
    """Leave out a line."""
    lines = content.split(b"\n")
    del lines[draw.randrange(len(lines))]
    return b"\n".join(lines)


def repeat_line(content: bytes, draw: random.Random) -> bytes:
    """Say a line twice."""
    lines = content.split(b"\n")
    at = draw.randrange(len(lines))
    return b"\n".join([*lines[: at + 1], *lines[at:]])


def recode(content: bytes, draw: random.Random) -> bytes:
    """Write in another encoding."""
    text = content.decode("utf-8", errors="replace")
    return text.encode(draw.choice(("utf-16", "utf-16-le", "utf-32", "utf-7", "cp037")))


def number(content: bytes, draw: random.Random) -> bytes:
    """Put an impossible number in the place of a digit."""
    places = [at for at, byte in enumerate(content) if chr(byte).isdigit()]
    if not places:
        return content + b"1"
    at = draw.choice(places)
    return content[:at] + draw.choice(NUMBERS) + content[at + 1 :]


JUNK = (
    *(b"\0", b"\r", b"\x1b[31m", b'"', b"'", b"{", b"[[", b",,", b"\xff\xfe", b"\xed\xa0\x80"),
    *("\u202e".encode(), "\u2028".encode(), "\U0001f9e0".encode(), b"=cmd|' /C calc'!A0"),
    *(b"x" * 200_000, b"[" * 5000, b"1e999", b"-", b"\n\n\n", b"nan", b"../../../etc/passwd"),
)
NUMBERS = (b"9" * 400, b"-1", b"nan", b"inf", b"1e400", b"0x1f", b"''", b"true", b"1.5", b"[]")
BYTES = (flip, cut, overwrite, insert)
TEXT = (flip, cut, overwrite, insert, drop_line, repeat_line, recode, number)


def inputs(folder: Path, seed: int) -> Iterator[Malformed]:
    """Every kind of input, each mutated in many ways, for ever; ``folder`` holds the sound ones."""
    draw = random.Random(seed)
    makers = (images, slices, manifests, recipes, run_files, suites, specs, settings, splits)
    while True:
        for maker in makers:
            yield maker(folder, draw)


def _mutated(
    path: Path, draw: random.Random, ways: tuple[Callable[[bytes, random.Random], bytes], ...]
) -> tuple[str, bytes]:
    way = draw.choice(ways)
    content = path.read_bytes()
    if path.suffix == ".gz" and draw.random() < 0.5:  # behind a checksum that is right again
        return f"{way.__name__}, packed", gzip.compress(way(gzip.decompress(content), draw))
    return way.__name__, way(content, draw)


def images(folder: Path, draw: random.Random) -> Malformed:
    """A volume; some mutations touch voxels only, and are no business of a reader's."""
    path = draw.choice(sorted((folder / "volumes").iterdir()))
    kind = path.name.partition(".")[2]
    way, content = _mutated(path, draw, BYTES)
    if draw.random() < 0.5:  # in the header, where it matters
        whole = path.read_bytes()
        way, content = f"{way}, header", way_of(way)(whole[:352], draw) + whole[352:]
    manifest = f"{kind}.csv"
    return Malformed(
        f"image {path.name}: {way}",
        f"volumes/{path.name}",
        content,
        ("data", "check", manifest, "--jobs", "1"),
        (0, DATA),
    )


def slices(folder: Path, draw: random.Random) -> Malformed:
    """A slice of a DICOM series, plain or compressed, or a multi-frame file."""
    kind = draw.choice(sorted(path.name for path in (folder / "dicom").iterdir()))
    path = draw.choice(sorted((folder / "dicom" / kind / "0").iterdir()))
    way, content = _mutated(path, draw, BYTES)
    if draw.random() < 0.7:  # in the header, where it matters
        whole = path.read_bytes()
        way, content = f"{way}, header", way_of(way)(whole[:1100], draw) + whole[1100:]
    return Malformed(
        f"dicom {kind}: {way}",
        f"dicom/{kind}/0/{path.name}",
        content,
        ("data", "check", f"{kind}.csv", "--jobs", "1"),
        (0, DATA),
    )


def way_of(name: str) -> Callable[[bytes, random.Random], bytes]:
    """The mutation of a name."""
    return {way.__name__: way for way in TEXT}[name.partition(",")[0]]


def manifests(folder: Path, draw: random.Random) -> Malformed:
    """A manifest."""
    way, content = _mutated(folder / "sound.csv", draw, TEXT)
    command = ("data", "check", "sound.csv", "--jobs", "1")
    if draw.random() < 0.3:
        command = (*RUN, *NETWORK, "--data", "sound.csv")
    # A mutation may leave one class, or fewer patients than folds: usage.
    return Malformed(f"manifest: {way}", "sound.csv", content, command, (0, DATA, USAGE))


def recipes(folder: Path, draw: random.Random) -> Malformed:
    """A recipe."""
    way, content = _mutated(folder / "recipe.toml", draw, TEXT)
    command = (*RUN, *NETWORK, "--data", "sound.csv", "--recipe", "recipe.toml")
    return Malformed(f"recipe: {way}", "recipe.toml", content, command, (0, SPEC, USAGE, DATA))


def run_files(folder: Path, draw: random.Random) -> Malformed:
    """A file of a run, which another command reads."""
    names = ("experiment.json", "data.json", "environment.json", "splits.csv", "cases.csv")
    names = (*names, "digests.json", "audit.csv", "folds/00/result.json")
    name = draw.choice((*names, "folds/00/predictions.csv", "folds/00/history.csv"))
    way, content = _mutated(folder / "runs" / "run" / name, draw, TEXT)
    command = draw.choice(
        (
            ("compare", "runs"),
            ("compare", "runs/run", "--format", "json"),
            ("report", "runs/run", "--output", "page.html"),
            ("predict", "runs/run", "volumes/0.nii.gz"),
            ("evaluate", "runs/run", "--data", "sound.csv"),
            ("status", "runs/run"),
        )
    )
    codes = (0, USAGE, DATA, STATE)
    return Malformed(f"{name}: {way}: {command[0]}", f"runs/run/{name}", content, command, codes)


def suites(folder: Path, draw: random.Random) -> Malformed:
    """A suite."""
    way, content = _mutated(folder / "suite.toml", draw, TEXT)
    return Malformed(
        f"suite: {way}",
        "suite.toml",
        content,
        ("suite", "run", "suite.toml", "--dry-run"),
        (0, SPEC, USAGE, DATA),
    )


def specs(folder: Path, draw: random.Random) -> Malformed:
    """The spec of a component."""
    text = draw.choice(("r2d(width=2)", "focal(gamma=2)+0.5*triplet(margin=0.2)", "bilinear"))
    mutated = draw.choice(TEXT)(text.encode(), draw)[:100_000].decode(errors="replace")
    mutated = mutated.replace("\0", "")
    option = draw.choice(("--encoder", "--agg", "--loss"))
    command = [*RUN, *NETWORK, "--data", "sound.csv", f"{option}={mutated}"]
    return Malformed(
        f"spec {option} {mutated[:40]!r}", "unused", b"", tuple(command), (0, SPEC, USAGE, PLUGIN)
    )


def settings(folder: Path, draw: random.Random) -> Malformed:
    """An option of the recipe on the command line."""
    key = draw.choice(
        ("training.epochs", "training.batch_size", "optimizer.lr", "preprocessing.size", "x.y")
    )
    value = draw.choice((*(n.decode() for n in NUMBERS), "", "1\n[x]", "{}", "'", "{a={b=1}}"))
    command = (*RUN, *NETWORK, "--data", "sound.csv", "--set", f"{key}={value}")
    return Malformed(f"--set {key}={value[:20]}", "unused", b"", command, (0, SPEC, USAGE))


def splits(folder: Path, draw: random.Random) -> Malformed:
    """Folds from a file."""
    way, content = _mutated(folder / "split.csv", draw, TEXT)
    command = (*RUN[:-2], *NETWORK, "--data", "sound.csv", "--folds", "split.csv")
    return Malformed(f"split: {way}", "split.csv", content, command, (0, DATA, USAGE))
