"""Clinical use in a report: decision curves and errors by the share that is decided."""

from tests.helpers.written_runs import write_rival
from volbench.evaluation.clinical.summary import clinical_summary
from volbench.leaderboard import compare_runs, load_run
from volbench.report.clinical import clinical_figures, clinical_summaries, clinical_table
from volbench.report.report_row import report_rows


def test_clinical_use_is_drawn_for_complete_candidates_in_the_numbers_of_the_command(tmp_path):
    whole = load_run(write_rival(tmp_path, "whole", patients=60))
    part = load_run(write_rival(tmp_path, "part", patients=60, loss="focal", done=2))
    rows = report_rows(compare_runs([whole, part], resamples=20))
    summaries = clinical_summaries(rows, resamples=50)
    (figures,) = clinical_figures(summaries, name="s1")
    (row,) = clinical_table(summaries).rows
    found = clinical_summary(whole, resamples=50)
    assert f"{found.selective.area:.3f}" in row.cells
    assert figures.decisions is not None
    for point in found.curve:
        assert f"threshold {point.threshold:g}: {point.model[0]:.3f}" in figures.decisions
    assert "errors among the surest half" in figures.selective


def test_several_classes_have_errors_by_share_and_no_decision_curve(tmp_path):
    run = load_run(write_rival(tmp_path, "three", patients=60, classes=("A", "B", "C")))
    summaries = clinical_summaries(report_rows(compare_runs([run], resamples=20)), resamples=50)
    (figures,) = clinical_figures(summaries, name="s1")
    assert figures.decisions is None
    assert "Risk by coverage" in figures.selective
