"""What every adapter gives: a model with a signature, and a predict() from batch to batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from ..batch import Batch
from . import signature, values

# Says as what a model's function takes a batch, see values.
FRAME, MATRIX, NAMED = "frame", "matrix", "named"


class ModelError(Exception):
    """The model cannot be loaded; the message is for whoever packed it."""


class Model:
    """A loaded model.

    framework names it and its version, as in "scikit-learn 1.9.1". signature is that of score/tensor as a
    dict, or None when the model does not give it away: then batches are as the request was.
    """

    def __init__(
        self,
        framework: str,
        given: dict[str, Any] | None,
        takes: str,
        function: Callable[[Any, dict[str, Any]], Any],
        trial: bool = True,
    ):
        self.framework = framework
        self.signature = given
        self.takes = takes  # FRAME, MATRIX or NAMED; empty: as the request was
        self._function = function
        self._trial = trial  # a row of zeros does no harm

    def predict(self, batch: Batch) -> Batch:
        """Answer a batch. It raises what the model raises."""
        value = self._function(values.give(batch, self.takes), batch.params or {})
        return values.take(value, batch.rows)

    def warm(self) -> None:
        """Answer a row of zeros: the first call is slow, and its answer tells the type of all others."""
        row = signature.example(self.signature) if self._trial else None
        if row is None:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                answer = self.predict(row)
            except Exception:  # zeros may be no values that this model knows
                return
        if self.signature is not None and not self.signature.get("outputs"):
            self.signature["outputs"] = signature.describe(answer)


def own(version: Any, name: str) -> str:
    """Return a framework's name with its version."""
    return f"{name} {version}" if version else name
