import time

import pytest
import torch

from volbench.profiling.fold_timings import OTHER, Timings, add
from volbench.profiling.section_timer import (
    AUGMENT,
    BACKWARD,
    EVALUATE,
    FORWARD,
    SECTIONS,
    WAIT,
    Clock,
)

CPU = torch.device("cpu")


def test_sections_add_up_and_others_stay_at_zero(monkeypatch):
    now = iter([1.0, 1.5, 10.0, 12.0, 20.0, 20.25])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    clock = Clock(CPU)
    for name in (FORWARD, BACKWARD, FORWARD):
        with clock.section(name):
            pass
    expected = dict.fromkeys(SECTIONS, 0.0) | {FORWARD: 0.75, BACKWARD: 2.0}
    assert clock.seconds() == expected
    assert clock.seconds() == expected  # asking does not count twice


def test_a_clock_that_is_off_measures_nothing(monkeypatch):
    monkeypatch.setattr(time, "perf_counter", lambda: pytest.fail("asked for the time"))
    clock = Clock(CPU, on=False)
    with clock.section(FORWARD):
        pass
    assert not any(clock.seconds().values())


@pytest.mark.gpu
def test_on_a_gpu_a_section_holds_what_the_device_did_and_nothing_waits_for_it(no_waiting):
    device = torch.device("cuda")
    clock = Clock(device)
    matrix = torch.randn(4096, 4096, device=device)
    with no_waiting(), clock.section(FORWARD):
        for _ in range(20):
            matrix @ matrix
    assert clock.seconds()[FORWARD] > 20 * 2 * 4096**3 / 5e15


def timings(**changes):
    seconds = {FORWARD: 2.0, BACKWARD: 4.0, WAIT: 1.0, AUGMENT: 1.0, EVALUATE: 2.0, OTHER: 0.0}
    values = {
        "seconds": dict.fromkeys(SECTIONS, 0.0) | seconds,
        "volumes": 40,
        "peak_memory_mb": 100.0,
        "least_seconds": 0.03,
        "gflop": 5.0,
        "tflop_per_s": 0.1,
        "gb_per_s": 20.0,
    }
    return Timings(**values | changes)


def test_volumes_per_second_leave_evaluation_out_and_the_roofline_all_but_the_network():
    assert timings().volumes_per_second == 40 / 8
    assert timings().share_of_roofline == pytest.approx(40 * 0.03 / 6)


def test_folds_are_summed_but_for_memory_and_peaks():
    whole = add([timings(), timings(volumes=60, peak_memory_mb=300.0, tflop_per_s=0.3)])
    assert whole.volumes == 100
    assert whole.seconds[FORWARD] == 4.0
    assert list(whole.seconds) == [*SECTIONS, OTHER]
    assert whole.peak_memory_mb == 300.0
    assert whole.tflop_per_s == pytest.approx(0.2)
