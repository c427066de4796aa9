"""Weights on a file system or in an object store: safetensors, whole or not at all.

Writes and reads the files that a study keeps of its LOSO trainings. Knows nothing of studies,
networks or settings.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import safetensors.torch
from torch import Tensor

from dianet_ray.storage import files


def save_weights(
    path: Path, weights: dict[str, Tensor], metadata: dict[str, str]
) -> tuple[int, str]:
    """Write a safetensors file whole or not at all; equal content gives equal bytes.

    Returns:
        The file's size in bytes and its sha256 in hex.
    """
    # docs/decisions.md: No pickle in artefacts
    content = _canonical(safetensors.torch.save(weights, metadata))
    # Only the last folder is made: if STUDY is missing, its disk is not mounted.
    files.make_folder(path.parent, parents=False)
    files.put(path, content)
    return len(content), hashlib.sha256(content).hexdigest()


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read what `save_weights` wrote, to the CPU."""
    return safetensors.torch.load_file(path)


def _canonical(content: bytes) -> bytes:
    """Sort the keys of a safetensors header: their order differs between processes."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":"))
    padded = header.encode() + b" " * (-len(header.encode()) % 8)  # keeps tensors aligned
    return len(padded).to_bytes(8, "little") + padded + content[end:]
