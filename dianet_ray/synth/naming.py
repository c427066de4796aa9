"""How the clips of a subject are named, by the forms of a layout.

The random generator is read in an order that does not depend on labels, so that other labels
(`--null`) give other names to the same images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dianet_ray.synth.filming import Files
from dianet_ray.synth.layout import ClipForms, Layout


@dataclass(frozen=True, slots=True)
class NamedClip:
    """A clip before it is filmed.

    Attributes:
        name: in the table.
        files: where its frames go.
        seed_key: its name for the random generator.
        film: number of the film that the subject watched; 0 if the release numbers none.
    """

    name: str
    files: Files
    seed_key: str
    film: int


class _LaterNumber:
    """Formats as a field again, because a frame's number is known only later."""

    def __format__(self, form: str) -> str:
        return f"{{:{form}}}"


def name_clips(
    layout: Layout, rng: np.random.Generator, subject: int, labels: list[str]
) -> list[NamedClip]:
    """Name the clips of one subject, in the order of the table's rows.

    Args:
        layout: of the release.
        rng: draws films and endings, where the release has them.
        subject: number, from 1.
        labels: of the clips, in order.
    """
    forms = layout.clips
    takes = _takes(rng, forms.n_films, len(labels))
    endings = rng.choice(forms.endings, len(labels)) if forms.endings else [""] * len(labels)
    clips = []
    for k, (label, (film, take), ending) in enumerate(zip(labels, takes, endings, strict=True)):
        fields = {
            "subject": subject,
            "index": k,
            "count": k + 1,
            "film": film,
            "take": take,
            "ending": ending,
            "letter": _letter(k // forms.per_recording),
            "label": label,
            "label_folder": layout.labels[label].folder or label,
            "code": layout.labels[label].code,
            "nth": 1 + labels[:k].count(label),
        }
        # Folder, frames and seed key may hold the name, so it comes first.
        fields["name"] = forms.name.format(**fields)
        files = _files(forms, fields)
        seed_key = forms.seed_key.format(**fields)
        clips.append(NamedClip(str(fields["name"]) or files.folder, files, seed_key, film))
    return clips


def _files(forms: ClipForms, fields: Mapping[str, Any]) -> Files:
    if forms.videos and fields["index"] == 0:
        suffixes = forms.videos.suffixes
        if suffix := suffixes[fields["subject"] % len(suffixes)]:
            return Files(forms.videos.path.format(**fields, suffix=suffix), "", grey=forms.grey)
    frame = forms.frames[fields["index"] % len(forms.frames)]
    return Files(
        forms.folder.format(**fields),
        frame.format(**fields, number=_LaterNumber()),
        grey=forms.grey,
    )


def _takes(rng: np.random.Generator, n_films: int, n_clips: int) -> list[tuple[int, int]]:
    """Number a subject's clips by the film they watched and their reactions to it so far."""
    if not n_films:
        return [(0, 0)] * n_clips
    films = np.sort(rng.integers(1, n_films + 1, n_clips))
    return [(int(film), 1 + int(np.sum(films[:i] == film))) for i, film in enumerate(films)]


def _letter(n: int) -> str:
    """Name recordings a to z, then a1, b1 and so on.

    >>> _letter(0), _letter(27)
    ('a', 'b1')
    """
    return f"{chr(ord('a') + n % 26)}{n // 26 or ''}"
