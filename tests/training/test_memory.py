"""Memory of the process that trains; each case in a process of its own, as a setting lasts."""

import json
import os
import platform
import subprocess
import sys

import pytest

from volbench.training.memory import CHOSEN_BY_USER

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="another C library is left alone"
)

MB = 2**20
# A block of 64 MB, written and freed fifty times; each new page that it touches is a fault.
CODE = """
import json, resource, torch
from volbench.training.memory import forget_peak, keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def own_pages():
    return int(open("/proc/self/statm").read().split()[1])

keep_freed_memory()
found = [faults() for _ in range(50)]
kept = own_pages()
forget_peak(torch.device("cpu"))
print(json.dumps({"faults": found, "given back": kept - own_pages()}))
"""


def look(**variables):
    inherited = {k: v for k, v in os.environ.items() if k not in CHOSEN_BY_USER}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**inherited, **variables},
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    )
    found = json.loads(done.stdout)
    pages = 64 * MB // os.sysconf("SC_PAGE_SIZE")
    return [each / pages for each in found["faults"]], found["given back"] / pages


def test_memory_of_one_step_serves_the_next_and_is_given_back_before_another_network():
    faults, given_back = look()
    assert faults[0] > 0.9
    assert sum(faults[-20:]) < 5  # at first, a small thing in between may take its place
    assert given_back > 0.9


def test_how_the_user_wants_memory_allocated_stays():
    faults, _ = look(MALLOC_TRIM_THRESHOLD_=str(MB))
    assert min(faults) > 0.9
