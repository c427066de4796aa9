"""oneDNN's kernels, chosen by the processor, agree with float64 and write where they may."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tests.support.convolutions import convolutions, small

LIMITS = ("SSE41", "AVX2", "AVX512_CORE", None)
"""Values of ONEDNN_MAX_CPU_ISA; one that the processor lacks changes nothing."""

HAS_AVX512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
DIFFERENT = LIMITS if HAS_AVX512 else ("SSE41", None)
"""Those that make a difference here; without AVX-512 the last three name the same kernels."""

CHECKED = {
    # glibc then ends the process at the first block that was written past its end.
    "LD_PRELOAD": "libc_malloc_debug.so.0",
    "GLIBC_TUNABLES": "glibc.malloc.check=3",
}


def check(limit, networks, n_threads=1):
    """Compare in a child process; return what went wrong."""
    environment = {k: v for k, v in os.environ.items() if k != "ONEDNN_MAX_CPU_ISA"} | CHECKED
    if limit:
        environment["ONEDNN_MAX_CPU_ISA"] = limit
    words = [sys.executable, "-m", "tests.support.convolutions", networks, str(n_threads)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    last = done.stdout.rsplit("\n", 2)[-2:]
    return f"status {done.returncode} at {last[0]}\n{done.stderr}" if done.returncode else ""


def test_every_convolution_agrees_with_float64():
    with ThreadPoolExecutor() as pool:
        problems = list(pool.map(lambda limit: check(limit, "small"), LIMITS))
    assert problems == [""] * len(LIMITS)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("limit", DIFFERENT)
def test_every_convolution_within_reach_agrees_with_float64(limit, n_threads):
    assert not check(limit, "whole", n_threads)


def test_no_strided_1x1_convolution_reaches_onednn():
    """Its weight gradient writes past its workspace: uxlfoundation/oneDNN issue 6035."""
    found = convolutions(small())
    assert any(each.weight.shape[2:] == (1, 1) for each in found)
    assert not [each for each in found if each.is_strided_1x1]
