"""The project's public face agrees with itself: versions, tools, workflows, release notes."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))


def read(path: str | Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def release_notes():
    spec = importlib.util.spec_from_file_location("release_notes", ROOT / ".ci/release_notes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.release_notes


def test_the_changelog_has_notes_for_the_version_of_the_project(release_notes):
    notes = release_notes(PROJECT["version"])
    assert notes.startswith("### ")
    assert "\n## " not in notes


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("pyproject.toml", "pyproject.toml is at 9.9.9, not at {version}"),
        ("CITATION.cff", "CITATION.cff names another version than {version}"),
        ("CHANGELOG.md", "CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD'"),
    ],
)
def test_a_release_whose_files_disagree_is_refused(file, message, release_notes, tmp_path):
    version = PROJECT["version"]
    for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md"):
        text = read(name)
        if name == file:
            assert version in text
            text = text.replace(version, "9.9.9")
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(message.format(version=version))):
        release_notes(version, tmp_path)


def test_changes_that_are_not_released_have_a_place():
    headings = re.findall(r"^## \[(.+?)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1] == PROJECT["version"]


def test_pre_commit_formats_with_the_ruff_of_the_constraints():
    pinned = re.search(r"^ruff==(.+)$", read("constraints.txt"), re.MULTILINE)[1]
    revisions = {
        repository["repo"].rpartition("/")[2]: repository["rev"]
        for repository in yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    }
    assert revisions["ruff-pre-commit"] == f"v{pinned}"


def test_the_tests_run_on_every_python_that_the_project_names():
    workflow = yaml.safe_load(read(".github/workflows/ci.yml"))
    tested = workflow["jobs"]["tests"]["strategy"]["matrix"]["python-version"]
    prefix = "Programming Language :: Python :: 3."
    named = [entry.rpartition(" ")[2] for entry in PROJECT["classifiers"] if prefix in entry]
    assert tested == named
    assert PROJECT["requires-python"] == f">={tested[0]}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_targets_and_scripts_that_exist_and_may_not_write(path):
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    targets = set(re.findall(r"^([a-z][a-z-]*):", read("Makefile"), re.MULTILINE))
    called = {word for line in re.findall(r"run: make (.+)", text) for word in line.split()}
    assert called <= targets
    for script in re.findall(r"python (\S+\.py)", text):
        assert (ROOT / script).is_file()
    assert workflow["permissions"] == {"contents": "read"}, "what a job needs it asks for itself"
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


def test_links_of_the_community_files_lead_somewhere():
    for name in ("CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#\s]+)\)", read(name)):
            assert "://" in target or (ROOT / target).exists(), (name, target)


def test_the_citation_cites_the_paper_of_the_readme():
    citation = yaml.safe_load(read("CITATION.cff"))
    preferred = citation["preferred-citation"]
    assert (
        re.sub(r"[{}]", "", re.search(r"title *= \{(.+)\},", read("README.md"))[1])
        == (preferred["title"])
    )
    assert citation["license"] == PROJECT["license"]


def test_every_target_is_phony_and_says_what_it_does():
    makefile = read("Makefile")
    targets = re.findall(r"^([a-z][a-z-]*):(.*)$", makefile, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[1].split()
    assert sorted(phony) == sorted(name for name, _ in targets)
    assert all(" ## " in rest for _, rest in targets)


def test_the_fast_tests_exist():
    makefile = read("Makefile").replace("\\\n", " ")
    paths = re.search(r"^FAST := (.+)$", makefile, re.MULTILINE)[1].split()
    assert len(paths) > 8
    assert all((ROOT / path).exists() for path in paths)


def test_the_commands_of_the_guide_for_contributors_exist():
    targets = set(re.findall(r"^([a-z][a-z-]*):", read("Makefile"), re.MULTILINE))
    shown = set(re.findall(r"make ([a-z-]+)", read("CONTRIBUTING.md"))) - {"and"}
    assert {"test-fast", "test", "lint", "docs"} <= shown <= targets
