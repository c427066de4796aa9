"""How many trainings fit into the memory of a GPU as one stack, measured on their first step."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dianet_ray.model.blocks import Workplace
from dianet_ray.model.fit import LabelledImages, Member, fit_block
from dianet_ray.model.out_of_memory import is_out_of_memory
from dianet_ray.settings import Settings

SHARE = 0.8
"""Share of the free memory that a stack may take: its later steps may need a little more."""

MOST = 128
"""Largest stack: beyond, a step takes as much longer as there are more members."""


def most_members(
    settings: Settings, clips: LabelledImages, member: Member, device: str, share: float = 1.0
) -> int:
    """Measure how many members like this one fit together, 1 at least.

    Args:
        settings: the largest configuration.
        clips: images and labels.
        member: a fold.
        device: a GPU, as torch names it.
        share: of the GPU's memory that is ours.
    """
    short = settings.model_copy(update={"steps": 1, "points": 1})
    torch.cuda.init()  # type: ignore[no-untyped-call] # before that it has no statistics
    peaks = []
    # Not one member, which trains without a stack and in another memory layout.
    for n in (2, 4):
        try:
            peaks.append(_peak(short, clips, [member] * n, device))
        except RuntimeError as error:
            if is_out_of_memory(error):
                return n // 2
            raise
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    return that_fit(int(SHARE * share * free), *peaks)


def _peak(
    settings: Settings, clips: LabelledImages, members: Sequence[Member], device: str
) -> int:
    """Return the peak memory of a stack's first step, in bytes.

    Reserved, not allocated: a recorded step keeps its memory between replays.
    """
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    fit_block(settings, clips, members, Workplace(device))
    return torch.cuda.max_memory_reserved(device)


def that_fit(free: int, two: int, four: int) -> int:
    """Count the members that fit, from the bytes of two and of four.

    >>> that_fit(1000, 150, 250), that_fit(1000, 2000, 4000), that_fit(10**9, 100, 100)
    (19, 1, 128)
    """
    more = max((four - two) // 2, 1)
    return max(1, min(MOST, 2 + (free - two) // more))
