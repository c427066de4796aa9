"""GPUs: what torch can compute on, and what is said about those that it cannot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dianet_ray.doctor.gpus import (
    Gpu,
    check_gpu,
    check_of,
    gpu_advice,
    has_kernels,
    kernel_advice,
    parse_smi,
)

H100 = Gpu("NVIDIA H100", (9, 0), 80 * 2**30, 79 * 2**30, "", "Default", "580.65")
BUILD = "torch 2.13.0+cu130 (CUDA 13.0 build)"
CUDA_13 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]
CUDA_12_6 = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]


def test_a_gpu_that_the_driver_shows_and_torch_cannot_use_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "nvidiactl").touch()
    assert [check.state for check in check_gpu(tmp_path)] == ["ok"]
    (tmp_path / "nvidia0").touch()
    (check,) = check_gpu(tmp_path)
    assert (check.state, "cannot use" in check.found) == ("warn", True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # as in a job's driver on a node with GPUs
    assert [check.state for check in check_gpu(tmp_path)] == ["ok"]


def test_a_usable_gpu_is_named_with_its_memory_and_driver():
    check = check_of(H100, BUILD, "node a: ")
    assert check.state == "ok"
    assert check.found == ("node a: torch can use NVIDIA H100 (79 of 80 GiB free, driver 580.65)")


@pytest.mark.parametrize(
    ("capability", "cuda_13", "cuda_12_6"),
    [
        ((6, 1), False, True),  # GTX 1080
        ((7, 0), False, True),  # V100
        ((7, 5), True, True),
        ((8, 9), True, True),
        ((9, 0), True, True),
        ((10, 0), True, False),
        ((12, 1), True, False),
        ((13, 0), True, False),  # translated by the driver
    ],
)
def test_a_build_runs_on_the_generations_that_it_has_kernels_for(capability, cuda_13, cuda_12_6):
    assert has_kernels(CUDA_13, capability) == cuda_13
    assert has_kernels(CUDA_12_6, capability) == cuda_12_6
    assert has_kernels([*CUDA_13, "sm_90a", "sm_100f", "odd"], capability) == cuda_13
    assert has_kernels(["gfx90a", "gfx942"], capability)


def test_a_gpu_that_is_too_old_for_the_build_gets_the_build_that_fits():
    v100 = replace(H100, name="V100", capability=(7, 0), problem="it has no kernels for ... 7.0")
    check = check_of(v100, BUILD)
    assert check.state == "bad"
    assert f"{BUILD} cannot compute on V100" in check.found
    assert "cu126" in check.advice


def test_a_gpu_that_lets_one_process_in_is_warned_about():
    check = check_of(replace(H100, compute_mode="Exclusive_Process"), BUILD)
    assert check.state == "warn"
    assert "one process at a time" in check.found
    assert "nvidia-smi -c DEFAULT" in check.advice
    held = replace(H100, compute_mode="Exclusive_Process", problem="device is busy")
    assert "end the process that holds it" in kernel_advice(held)
    assert "nvidia-smi shows" in kernel_advice(replace(H100, problem="out of memory"))


def test_what_the_drivers_tool_says_is_read_by_gpu():
    text = "GPU-1, Default, 580.65\nGPU-2, Exclusive_Process, 580.65\nNo devices were found\n"
    assert parse_smi(text) == {
        "GPU-1": ("Default", "580.65"),
        "GPU-2": ("Exclusive_Process", "580.65"),
    }
    assert parse_smi("") == {}


def test_a_build_for_cpus_is_exchanged_else_the_driver_is_repaired():
    assert "CUDA build" in gpu_advice("torch 2.13.0+cpu (CPU build)")
    assert "driver" in gpu_advice(BUILD)
