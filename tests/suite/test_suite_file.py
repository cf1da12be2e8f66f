"""Suite files: grids, bases, scales, overrides, and what a person can get wrong in one."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.suite.suites import CANDIDATES, GRID, write_suite
from volbench.cli.main import main
from volbench.errors import UsageError
from volbench.suite import load_suite
from volbench.suite.run_suite import plan_suite

PAPER = Path(__file__).parents[2] / "benchmarks" / "rectal2022"
ENCODERS = ["r2d", "r3d", "r2plus1d", "mc2", "mc3", "mc4", "mc5", "rmc2", "rmc3", "rmc4", "rmc5"]


def rows(suite):
    return [[(c.encoder, c.aggregator, c.loss) for c in table.candidates] for table in suite.tables]


def test_an_experiment_that_two_tables_name_is_one_experiment(tmp_path):
    suite = load_suite(write_suite(tmp_path, GRID))
    assert [len(table.candidates) for table in suite.tables] == [2, 2, 2]
    assert len(suite.candidates) == CANDIDATES


def test_the_suites_of_the_paper_have_its_rows():
    suite = load_suite(PAPER / "paper.toml", scale="small")
    assert rows(suite) == [
        [(encoder, None, "focal") for encoder in ENCODERS],
        [("rmc5", None, loss) for loss in ("focal", "focal+0.003*center", "focal+triplet")],
        [
            ("rmc5", pooling, "focal+triplet")
            for pooling in ("average", "max", "bilinear", "attention")
        ],
    ]
    assert len(suite.candidates) == 17
    assert {candidate.recipe for candidate in suite.candidates} == {"lee2022"}
    assert (suite.folds, suite.seed, suite.reference) == ("10", 0, "rectal2022")
    each = [load_suite(PAPER / f"table{number}.toml", scale="small") for number in (2, 3, 4)]
    assert [table for alone in each for table in rows(alone)] == rows(suite)


@pytest.mark.parametrize("name", ["table2", "table3", "table4", "paper", "authors"])
@pytest.mark.parametrize("scale", ["small", "paper"])
def test_every_suite_of_the_paper_has_both_scales_of_the_phantom(name, scale):
    suite = load_suite(PAPER / f"{name}.toml", scale=scale)
    assert suite.out == Path("runs") / f"{name}-{scale}"
    assert suite.data.startswith("phantom(patients=567" if scale == "paper" else "phantom(")


def test_the_authors_rows_are_the_papers_by_their_components():
    paper, authors = (load_suite(PAPER / f"{name}.toml") for name in ("paper", "authors"))
    assert [c.label for c in authors.candidates] == [c.label for c in paper.candidates]
    assert {c.recipe for c in authors.candidates} == {"lee2022_code"}


def test_a_row_takes_the_keys_of_its_table_and_adds_its_settings(tmp_path):
    text = """
    [[table]]
    title = "T"
    loss = "focal"
    aggregator = "max"
    set = ["training.batch_size=4"]
    rows = [
      { encoder = "r2d", set = ["optimizer.lr=0.1"] },
      { encoder = "r3d", aggregator = ["average", "bilinear"], recipe = ["standard", "paper"] },
    ]
    """
    (table,) = load_suite(write_suite(tmp_path, text)).tables
    first, *others = table.candidates
    assert (first.encoder, first.aggregator, first.recipe) == ("r2d", "max", "standard")
    assert first.overrides == ("training.epochs=1", "training.batch_size=4", "optimizer.lr=0.1")
    assert [(c.aggregator, c.recipe) for c in others] == [
        ("average", "standard"),
        ("average", "paper"),
        ("bilinear", "standard"),
        ("bilinear", "paper"),
    ]
    assert others[0].overrides == ("training.epochs=1", "training.batch_size=4")


def test_what_is_nearer_counts_more(tmp_path):
    """Caller before scale before the file before what it starts from."""
    (tmp_path / "base.toml").write_text(
        'data = "phantom(seed=1)"\nfolds = 3\nseed = 3\nrecipe = "paper"\n'
        '[scales.s]\ndata = "phantom(seed=2)"\nset = ["training.epochs=2"]\n'
    )
    (tmp_path / "top.toml").write_text(
        'base = "base.toml"\nfolds = 4\nset = ["training.epochs=1"]\n'
        '[[table]]\ntitle = "T"\nlevel = "slice"\nencoder = "r2d"\nloss = "focal"\n'
    )

    def read(**given):
        suite = load_suite(tmp_path / "top.toml", **given)
        return suite.data, suite.folds, suite.seed, suite.overrides, suite.candidates[0].recipe

    own = ("phantom(seed=1)", "4", 3, (), "paper")
    assert read() == own
    assert read(scale="s") == ("phantom(seed=2)", "4", 3, ("training.epochs=2",), "paper")
    given = {"data": "phantom(seed=5)", "folds": "5", "seed": 0, "overrides": ("optimizer.lr=1",)}
    assert read(scale="s", **given) == (
        *("phantom(seed=5)", "5", 0),
        ("training.epochs=2", "optimizer.lr=1"),
        "paper",
    )
    assert load_suite(tmp_path / "top.toml", recipe="standard").recipe == "standard"


def test_a_base_that_two_files_share_is_read_once(tmp_path):
    table = '[[table]]\ntitle = "T"\nlevel = "slice"\nencoder = "r2d"\nloss = "focal"\n'
    (tmp_path / "common.toml").write_text(table)
    for name in ("a", "b"):
        (tmp_path / f"{name}.toml").write_text('base = "common.toml"\n' + table)
    (tmp_path / "all.toml").write_text('base = ["a.toml", "b.toml"]\n')
    assert len(load_suite(tmp_path / "all.toml").tables) == 3


def test_files_beside_a_suite_are_found_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "inside").mkdir()
    path = write_suite(tmp_path / "inside", 'recipe = "mine.toml"\n' + GRID)
    (tmp_path / "inside" / "mine.toml").write_text('base = "standard"\n')
    monkeypatch.chdir(tmp_path)
    suite = load_suite(Path("inside") / path.name)
    assert suite.data == "inside/data"
    assert suite.candidates[0].recipe == "inside/mine.toml"


def test_overrides_reach_every_experiment(tmp_path):
    suite = load_suite(
        write_suite(tmp_path, GRID), folds="3", seed=7, overrides=("optimizer.lr=0.5",)
    )
    for planned in plan_suite(suite):
        experiment = planned.plan.experiment
        assert (experiment.folds, experiment.seed) == (3, 7)
        assert experiment.recipe.optimizer.lr == 0.5
        assert experiment.recipe.training.epochs == 1


def test_folds_and_seed_are_the_callers_then_the_scales_then_the_suites(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(
        'folds = "7"\nseed = 7\ndata = "phantom"\n[scales.s]\nfolds = "3"\nseed = 0\n' + GRID
    )
    asked = load_suite(path, scale="s", folds="2", seed=1)
    scaled, plain = load_suite(path, scale="s"), load_suite(path)
    found = [(suite.folds, suite.seed) for suite in (asked, scaled, plain)]
    assert found == [("2", 1), ("3", 0), ("7", 7)]


def test_a_suite_with_scales_and_no_data_asks_for_one(tmp_path):
    path = tmp_path / "suite.toml"
    path.write_text('[scales.big]\ndata = "phantom"\n[scales.small]\n' + GRID)
    with pytest.raises(UsageError) as info:
        plan_suite(load_suite(path))
    assert str(info.value) == (
        f"suite {path} names no data by itself; add --scale big or --scale small, or give --data"
    )


ROW = 'title = "T"\nencoder = "r2d"\nloss = "focal"\n'
WRONG = {
    "misspelt key": (
        "sed = 1\n" + GRID,
        "unknown key 'sed'; did you mean 'seed'?",
    ),
    "strange key": (
        "zzz = 1\n" + GRID,
        "unknown key 'zzz'; known: title, base, reference, data, recipe, folds, seed, set, "
        "scales, table",
    ),
    "misspelt key of a table": (
        '[[table]]\ntitle = "T"\nencodr = "r2d"\n',
        "unknown key 'encodr' in table 1; did you mean 'encoder'?",
    ),
    "misspelt key of a row": (
        f'[[table]]\n{ROW}rows = [{{ agregator = "max" }}]\n',
        "unknown key 'agregator' in row 1 of table 1; did you mean 'aggregator'?",
    ),
    "misspelt key of a scale": (
        "[scales.big]\nfold = 3\n" + GRID,
        "unknown key 'fold' in scale 'big'; did you mean 'folds'?",
    ),
    "no title": (
        '[[table]]\nencoder = "r2d"\n',
        "title is missing in table 1; add title = ...",
    ),
    "wrong level": (
        f'[[table]]\n{ROW}level = "voxel"\n',
        "level = 'voxel' in table 1: input should be 'volume' or 'slice'",
    ),
    "seed as text": (
        'seed = "one"\n' + GRID,
        "seed = 'one': input should be a valid integer",
    ),
    "folds as a list": (
        "folds = [1]\n" + GRID,
        "folds = [1]: input should be a valid string",
    ),
    "setting without a section": (
        '[[table]]\ntitle = "T"\nset = "epochs=3"\n',
        "set = ('epochs=3',) in table 1: write each as section.key=value, as in training.epochs=6",
    ),
    "number for an encoder": (
        '[[table]]\ntitle = "T"\nencoder = [5]\n',
        "encoder = 5 in table 1: input should be a valid string",
    ),
    "no tables": ("", "has no tables; add one that begins with [[table]]"),
    "no encoder": (
        '[[table]]\ntitle = "T"\nloss = "focal"\n',
        "table 'T': no encoder; add encoder = ...",
    ),
    "no aggregator": (
        f"[[table]]\n{ROW}",
        'table \'T\': no aggregator; add one, as in aggregator = "average", or level = "slice"',
    ),
    "aggregator at slice level": (
        f'[[table]]\n{ROW}level = "slice"\naggregator = "max"\n',
        "table 'T': level = 'slice' predicts each slice and pools none; leave aggregator out, "
        "or level",
    ),
    "broken spec": (
        f'[[table]]\n{ROW}aggregator = "max("\n',
        "table 'T': cannot read spec 'max(' at column 4: '(' was never closed",
    ),
    "unknown reference": (
        'reference = "rectal2020"\n' + GRID,
        "unknown reference 'rectal2020'; did you mean 'rectal2022'?",
    ),
    "its own base": ('base = "wrong.toml"\n' + GRID, "is its own base; take it out of base"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_file_is_one_line_that_names_file_key_and_way_out(mistake, tmp_path):
    text, message = WRONG[mistake]
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    done = CliRunner().invoke(main, ["suite", "run", str(path)])
    assert (done.exit_code, done.stdout) == (4, "")
    between = (
        " "
        if message.startswith(("has", "is its"))
        else (", " if message.startswith("table") else ": ")
    )
    assert done.stderr == f"volbench: suite {path}{between}{message}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "FILE", "--scale", "smal"], 2, "has no scale 'smal'. Did you mean 'small'?"),
        (["show", "FILE", "--scale", "x"], 2, "has no scale 'x'. It has small, paper."),
        (["run", "FILE"], 2, "names no data by itself; add --scale small or --scale paper"),
        (["show", "FILE"], 2, "say at which scale (--scale small or paper), or name its folder"),
        (["show", "FILE", "--scale", "small"], 2, "start it with volbench suite run"),
        (["run", "nowhere.toml"], 4, "suite nowhere.toml cannot be read: No such file"),
        (["run", "broken.toml"], 4, "suite broken.toml is not valid TOML: "),
        (["run", "lost.toml"], 4, "gone.toml cannot be read: No such file"),
        (["run", "small.toml", "--set", "training.epochs"], 4, "is not section.key=value"),
        (["run", "small.toml", "--recipe", "papr"], 4, "Did you mean 'paper'?"),
        (["run", "small.toml", "--folds", "ten"], 2, "--folds 'ten' is not a number"),
        (["run", "small.toml", "--data", "nowhere.csv"], 3, "nowhere.csv"),
        (["run", "small.toml", "--device", "tpu"], 2, "--device"),
        (["run"], 2, "Missing argument 'FILE'"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, code, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.toml").write_text("[[table]\n")
    (tmp_path / "lost.toml").write_text('base = "gone.toml"\n')
    write_suite(tmp_path, GRID, name="small.toml")
    given = [str(PAPER / "paper.toml") if word == "FILE" else word for word in arguments]
    done = CliRunner().invoke(main, ["suite", *given])
    assert (done.exit_code, done.stdout) == (code, "")
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
