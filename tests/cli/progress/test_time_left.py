import pytest

from volbench.cli.progress.time_left import TimeLeft


class Clock:
    seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


def test_nothing_is_said_before_anything_is_known(clock):
    assert str(TimeLeft(3, clock=clock)) == ""


def test_the_time_left_is_extrapolated_from_the_epochs_done(clock):
    left = TimeLeft(2, clock=clock)
    left.epoch(0, 1, 4)
    clock.seconds = 5.0
    assert str(left) == "about 35 s left"  # a quarter of a fold took 5 s, 7 quarters are left


def test_the_time_left_is_told_from_the_first_steps_on_and_corrected_by_later_ones(clock):
    left = TimeLeft(2, clock=clock)
    clock.seconds = 30.0  # until processes run and data are read
    left.step(0, 1, 4, 0.5)
    assert str(left) == "about 8 min left"
    clock.seconds = 31.0
    left.epoch(0, 1, 4)  # half an epoch in a second: 7 epochs are left
    assert str(left) == "about 14 s left"
    left.step(0, 1, 4, 0.5)  # told late, by another process
    assert str(left) == "about 14 s left"


def test_a_fold_that_goes_on_is_not_counted_as_done_by_us(clock):
    left = TimeLeft(1, clock=clock)
    left.epoch(0, 3, 4)
    clock.seconds = 10.0
    assert str(left) == "about 10 s left"


def test_a_failed_fold_takes_no_more_time(clock):
    left = TimeLeft(2, clock=clock)
    left.epoch(0, 1, 2)
    left.end(1)
    clock.seconds = 8.0
    assert str(left) == "about 8 s left"


@pytest.mark.parametrize(
    ("seconds", "text"), [(300, "about 15 min left"), (36000, "about 30.0 h left")]
)
def test_long_times_are_said_in_minutes_and_hours(clock, seconds, text):
    left = TimeLeft(1, clock=clock)
    left.epoch(0, 1, 4)
    clock.seconds = float(seconds)
    assert str(left) == text
