"""The champion's fold models as one MLflow model: the file that MLflow keeps and runs.

A model from code: nothing is pickled. It reads a model folder (card and safetensors) and answers
with the mean of the fold models' probabilities.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from dianet_ray.artefacts import CARD_JSON
from dianet_ray.model import fit
from dianet_ray.model.weights import load_weights
from dianet_ray.settings import Settings


class Ensemble(PythonModel):  # type: ignore[misc] # MLflow is untyped
    """Every fold model of the champion; all of them vote."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the card and the weights from the model folder."""
        folder = Path(context.artifacts["model"])
        card = json.loads((folder / CARD_JSON).read_text(encoding="utf-8"))
        self._settings = Settings(**card["settings"])
        self._n_classes = len(card["classes"])
        self._weights = [load_weights(folder / fold["file"]) for fold in card["folds"]]

    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> np.ndarray:
        """Answer class probabilities (N, n_classes) float32, in the order of the card's classes.

        Args:
            context: not needed any more.
            model_input: (N, 3, H, W, 3) float32, stored dynamic images as in `schemas.PHASES`.
            params: none are known.
        """
        votes = fit.predict(self._settings, self._weights, model_input, n_classes=self._n_classes)
        return np.asarray(votes.mean(axis=0), dtype=np.float32)


set_model(Ensemble())
