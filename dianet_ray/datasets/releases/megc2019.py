"""The MEGC2019 composite: CASME II, SAMM and SMIC-HS below one folder, in three classes."""

from __future__ import annotations

from dianet_ray.datasets.annotations import ClipName
from dianet_ray.datasets.composite import Composite, Published
from dianet_ray.datasets.releases import casme2, samm, smic

# Not the same labels in each: CASME II's fear and sadness are dropped, SAMM's are negative.
_NEGATIVE = {
    "casme2": ("disgust", "repression"),
    "samm": ("anger", "contempt", "disgust", "fear", "sadness"),
    "smic": ("negative",),
}
_POSITIVE = {"casme2": "happiness", "samm": "happiness", "smic": "positive"}
_CLASSES = {
    **{f"{name}/{label}": "positive" for name, label in _POSITIVE.items()},
    **{f"{name}/{label}": "negative" for name, labels in _NEGATIVE.items() for label in labels},
    **{f"{name}/surprise": "surprise" for name in _NEGATIVE},
}

RELEASE = Composite(
    dataset="megc2019",
    releases=(casme2.RELEASE, samm.RELEASE, smic.RELEASE),
    folders={"casme2": ("casme2", "casmeii"), "samm": ("samm",), "smic": ("smic",)},
    label_sets={"3": _CLASSES},
    # Six public copies of the challenge's list of 442 clips agree: of CASME II's clips with one of
    # the three classes these two are not in it, and all others are.
    excluded={"casme2": frozenset({ClipName("sub04", "EP12_01f"), ClipName("sub05", "EP09_05f")})},
    published={
        "casme2": Published(24, {"negative": 88, "positive": 32, "surprise": 25}),
        "samm": Published(28, {"negative": 92, "positive": 26, "surprise": 15}),
        "smic": Published(16, {"negative": 70, "positive": 51, "surprise": 43}),
    },
)
