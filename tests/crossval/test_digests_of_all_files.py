"""Files of a run that are read but were not covered: where time went, which tokens were used."""

import pytest

from tests.faults.tiny_run import TINY
from volbench.crossval import make_plan, run
from volbench.crossval.fold_files import read_timings
from volbench.errors import StateError


def test_a_changed_profile_is_refused(tmp_path):
    plan = make_plan(**TINY, data="phantom(patients=12, size=16)")
    assert not run(plan, out=tmp_path, name="run", jobs=1, profile=True).failed
    assert read_timings(tmp_path / "run", 0) is not None
    path = tmp_path / "run" / "folds" / "00" / "profile.json"
    content = path.read_bytes()
    place = next(at for at, byte in enumerate(content) if chr(byte) in "12345678")
    path.write_bytes(content[:place] + b"9" + content[place + 1 :])
    with pytest.raises(StateError, match=r"profile\.json is missing or was changed"):
        read_timings(tmp_path / "run", 0)
