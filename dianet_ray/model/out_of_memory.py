"""Tell that the memory of a GPU ran out, by whichever error torch says it."""

from __future__ import annotations

import torch

_CUDA_CODE = 2  # cudaErrorMemoryAllocation


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether memory ran out: in torch's allocator, or in CUDA itself, as where graphs begin.

    What torch calls an AcceleratorError is a lost GPU in most other cases.
    """
    if isinstance(error, torch.AcceleratorError):
        return getattr(error, "error_code", None) == _CUDA_CODE
    return isinstance(error, torch.OutOfMemoryError)
