"""`volbench plugin new`: what it writes installs, passes its suite and is listed."""

import json
import subprocess
import sys
import tomllib

import pytest
from click.testing import CliRunner

from tests.helpers.child_environment import child_environment
from volbench.cli.main import main
from volbench.plugins.scaffold import Names

KINDS = ("encoder", "aggregator", "loss", "augmentation", "dataset")


def new(folder, name, kind):
    return CliRunner().invoke(main, ["plugin", "new", name, "--kind", kind, "--into", str(folder)])


def volbench(site, *arguments):
    code = "from volbench.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=child_environment(site),
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """One plugin of each kind, written and installed as a person would."""
    folder = tmp_path_factory.mktemp("new")
    for kind in KINDS:
        done = new(folder, f"my-{kind}", kind)
        assert done.exit_code == 0, done.output
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder / "site")]
    plugins = [str(folder / f"volbench-my-{kind}") for kind in KINDS]
    subprocess.run([*command, *plugins], check=True, timeout=280)
    return folder / "site"


def test_each_is_listed_at_once_with_its_first_line(site):
    done = volbench(site, "list", "--json")
    assert done.returncode == 0
    assert done.stderr == ""
    found = json.loads(done.stdout)
    for kind in KINDS:
        items = {item["name"]: item for item in found[f"{kind}s".replace("losss", "losses")]}
        item = items[f"my_{kind}"]
        assert (item["distribution"], item["version"]) == (f"volbench-my-{kind}", "0.1.0")
        assert item["summary"].endswith(".")


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param(("aggregator",), id="aggregator"),
        pytest.param(KINDS, id="all", marks=pytest.mark.slow),
    ],
)
def test_each_passes_its_suite(site, kinds):
    done = volbench(site, "plugin", "check", *(f"my_{kind}" for kind in kinds))
    assert done.returncode == 0, done.stdout + done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split()[:3] == ["component", "kind", "from"]
    for kind, row in zip(kinds, rows, strict=True):
        name, of, distribution, version, passed, failed, _ = row.split()
        assert (name, of, distribution) == (f"my_{kind}", kind, f"volbench-my-{kind}")
        assert version == "0.1.0"
        assert int(passed) >= 10
        assert failed == "0"


def test_it_says_what_it_wrote_and_what_to_do_next(tmp_path):
    done = new(tmp_path, "log-sum-exp", "aggregator")
    folder = tmp_path / "volbench-log-sum-exp"
    assert f"wrote {folder}\n" in done.stdout
    assert f"pip install -e {folder}\n" in done.stdout
    assert "volbench plugin check log_sum_exp\n" in done.stdout
    written = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert written == [
        ".github/workflows/test.yml",
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "tests/test_log_sum_exp.py",
        "volbench_log_sum_exp/__init__.py",
        "volbench_log_sum_exp/log_sum_exp.py",
    ]
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "volbench-log-sum-exp"
    assert project["entry-points"]["volbench.aggregators"] == {
        "log_sum_exp": "volbench_log_sum_exp.log_sum_exp:LogSumExp"
    }
    test = (folder / "tests" / "test_log_sum_exp.py").read_text()
    assert test == (
        "from volbench.testing import AggregatorContract\n\n\n"
        'class TestLogSumExp(AggregatorContract):\n    spec = "log_sum_exp"\n'
    )
    assert "$" not in (folder / "volbench_log_sum_exp" / "log_sum_exp.py").read_text()
    assert "$ volbench plugin check log_sum_exp\n" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    "name",
    ["", "9lives", "a b", "a--b", "-a", "a/b", "../up", "é", "volbench", "class", "a;b", "a$b"],
)
def test_a_name_that_cannot_be_is_refused_and_nothing_is_written(tmp_path, name, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["plugin", "new", "--kind", "loss", "--into", str(tmp_path), "--", name])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"volbench: {name!r} ")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(tmp_path, capsys):
    assert new(tmp_path, "twice", "loss").exit_code == 0
    readme = tmp_path / "volbench-twice" / "README.md"
    readme.write_text("mine")
    with pytest.raises(SystemExit) as caught:
        main(["plugin", "new", "twice", "--kind", "encoder", "--into", str(tmp_path)])
    assert caught.value.code == 2
    assert "exists already; choose another name or another --into" in capsys.readouterr().err
    assert readme.read_text() == "mine"


def test_a_name_that_is_taken_is_written_with_a_warning(tmp_path):
    done = new(tmp_path, "bilinear", "aggregator")
    assert done.exit_code == 0
    assert "provides the aggregator 'bilinear' already; rename yours" in done.stderr
    assert new(tmp_path, "focal", "aggregator").stderr == "", "another kind is no clash"


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("log-sum-exp", "aggregator", "LogSumExp"),
        ("volbench_GeM", "aggregator", "Gem"),
        ("none", "augmentation", "NoneAugmentation"),
        ("encoder", "encoder", "EncoderEncoder"),
    ],
)
def test_a_class_is_never_called_like_what_its_module_imports(name, kind, expected):
    assert Names.of(name).class_of(kind) == expected
