"""Weights on a file system or in an object store: safetensors, whole or not at all.

Writes and reads the files that a study keeps of its LOSO trainings. Knows nothing of studies,
networks or settings.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
from torch import Tensor

from dianet_ray.storage import files


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A safetensors file: where it belongs, and its bytes."""

    path: Path
    content: bytes

    @property
    def sha256(self) -> str:
        """The checksum of the bytes, in hex."""
        return hashlib.sha256(self.content).hexdigest()

    def write(self) -> None:
        """Write the file, whole or not at all; it can be repeated."""
        # Only the last folder is made: if STUDY is missing, its disk is not mounted.
        files.make_folder(self.path.parent, parents=False)
        files.put(self.path, self.content)


def weights_file(path: Path, weights: dict[str, Tensor], metadata: dict[str, str]) -> WeightsFile:
    """Make the file of some weights; equal weights and metadata give equal bytes."""
    # docs/decisions.md: No pickle in artefacts
    return WeightsFile(path, _canonical(safetensors.torch.save(weights, metadata)))


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read a file that `WeightsFile` wrote, to the CPU."""
    return safetensors.torch.load_file(path)


def parse_weights(content: bytes) -> dict[str, Tensor]:
    """Read the content of such a file, to the CPU."""
    return safetensors.torch.load(content)


def _canonical(content: bytes) -> bytes:
    """Sort the keys of a safetensors header: their order differs between processes."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":"))
    padded = header.encode() + b" " * (-len(header.encode()) % 8)  # keeps tensors aligned
    return len(padded).to_bytes(8, "little") + padded + content[end:]
