"""The champion's fold models as one MLflow model. MLflow keeps a copy of this file and runs it.

A model from code: nothing is pickled (docs/decisions.md: No pickle in artefacts). It reads a model
folder, a card and safetensors, and predicts the mean of the fold models' probabilities.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from dianet_ray.artefacts import CARD_JSON
from dianet_ray.model import fit
from dianet_ray.model.own_network import trust
from dianet_ray.model.weights import load_weights
from dianet_ray.settings import NetworkFile, Settings


class EnsembleModel(PythonModel):  # type: ignore[misc] # MLflow is untyped
    """The mean of the champion's fold models."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the card and the weights from the model folder."""
        folder = Path(context.artifacts["model"])
        # Read by key: the card's record belongs to ensemble/, which is built on tracking/.
        card = json.loads((folder / CARD_JSON).read_text(encoding="utf-8"))
        if card["network"]:  # MLflow runs the code of a model, and so this file, when it is loaded
            trust(NetworkFile(**card["network"]))
        self._settings = Settings(**card["settings"])
        self._n_classes = len(card["classes"])
        self._weights = [load_weights(folder / fold["file"]) for fold in card["folds"]]

    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> np.ndarray:
        """Predict class probabilities (N, n_classes) float32, in the order of the card's classes.

        Args:
            context: unused after `load_context`.
            model_input: (N, 3, H, W, 3) float32, stored dynamic images in the order of
                `dianet_ray.artefacts.PHASES`.
            params: unused; MLflow passes it.
        """
        images, n_classes = model_input, self._n_classes
        by_member = fit.predict(self._settings, self._weights, images, n_classes=n_classes)
        return np.asarray(by_member.mean(axis=0), dtype=np.float32)


set_model(EnsembleModel())
