"""The one place with artefact names, columns and dtypes.

Stages talk through files: IMAGES is what `prepare` makes, STUDY what `search` makes, a model
folder what `collect` makes. Nothing here touches a disk.
"""

from __future__ import annotations

FORMAT = 1
"""Version of every artefact's layout; a reader refuses another one."""

STUDY_FORMAT = 3
"""The same for STUDY; 2 since a study has rungs, 3 since LOSO drops and the best so far climb."""

IMAGES_FORMAT = 2
"""The same for IMAGES; 2 since every clip's origin and the list of parts are recorded."""

PHASES = ("onset_apex", "apex_offset", "whole_clip")
"""The dynamic images of a clip, in storage order: axis 1 of every image array."""

N_CHANNELS = 3
"""Frames are pooled as RGB; greyscale frames are repeated over the channels."""

# IMAGES: images.json is written last, so its existence means that the folder is complete; without
# it the folder is what an interrupted prepare left, which the next one goes on from.
IMAGES_JSON = "images.json"
IMAGES_FOLDER = "clips"  # parquet parts; columns IMAGE_COLUMNS, tensors float16 (H, W, 3)
MANIFEST_CSV = "manifest.csv"  # one row per clip of the sheet or the folders, MANIFEST_COLUMNS
LEFT_OUT_CSV = "left_out.csv"  # the rows of MANIFEST_CSV whose state is left_out

IMAGE_COLUMNS = (
    *("clip_id", "subject", "label", *PHASES, *(f"{p}_scale" for p in PHASES)),
    *("apex", "box", "note", "signature", "made_from"),
)
"""`<phase>_scale` is the sum of positive coefficients that the stored image was divided by; what
follows is what `prepare` needs to go on where it was interrupted."""

MANIFEST_COLUMNS = (
    "clip_id",
    "subject",
    "label",
    "onset",
    "apex",
    "offset",
    "n_frames",
    "apex_from",
    "box",
    "state",
    "reason",
    "frames_path",
)
USED, CORRECTED, LEFT_OUT = "used", "corrected", "left_out"

MIN_SUBJECTS_PER_CLASS = 2
"""With one, the fold that tests this subject trains without the class."""

# STUDY: study.json holds the identity; ledger/ is the truth; the rest can be made again.
STUDY_JSON = "study.json"
LEDGER_FOLDER = "ledger"  # NNNNNN.jsonl, immutable numbered parts
WEIGHTS_FOLDER = "weights"  # <config_id>/<fold>.safetensors
DRIVER_FOLDER = "driver"  # who writes the ledger now, with a heartbeat

# A model folder: card.json is written last.
CARD_JSON = "card.json"
OBJECTIVES = ("uf1", "uar", "accuracy")
METRICS = ("accuracy", "uf1", "uar")


def weights_path(config_id: str, fold: int) -> str:
    """Name the weights of one LOSO training, relative to STUDY (and to a model folder)."""
    return f"{WEIGHTS_FOLDER}/{config_id}/{fold_file(fold)}"


def fold_file(fold: int) -> str:
    """Name the weights file of one fold.

    >>> fold_file(7)
    'fold-007.safetensors'
    """
    return f"fold-{fold:03d}.safetensors"
