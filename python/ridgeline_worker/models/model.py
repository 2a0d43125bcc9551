"""What every adapter gives: a model with a signature, and a predict() from batch to batch."""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from collections.abc import Callable
from typing import Any

from ..batch import Batch
from ..script import ContractError
from . import signature, values

# Says as what a model's function takes a batch, see values.
FRAME, MATRIX, NAMED = "frame", "matrix", "named"


class ModelError(ContractError):
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
    ):
        self.framework = framework
        self.signature = given
        self.takes = takes  # FRAME, MATRIX or NAMED; empty: as the request was
        self._function = function
        self.estimator: Any = None  # scikit-learn's, where it is one and is asked by its predict()
        self.linear: dict[str, Any] | None = None  # the numbers of a linear model that is given a matrix
        self.joins = True  # requests may be answered together: a row's answer is its own
        self.harmless = True  # so is a row of zeros, for a trial

    def predict(self, batch: Batch) -> Batch:
        """Answer a batch. It raises what the model raises."""
        value = self._function(values.give(batch, self.takes), batch.params or {})
        return values.take(value, batch.rows)

    def warm(self) -> None:
        """Answer a row of zeros: the first call is slow, and its answer tells the type of all others."""
        row = signature.example(self.signature) if self.harmless else None
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


def need(module: str, what: str, package: str = "") -> Any:
    """Import a framework of the model's environment. what says what needs it, as the start of a sentence."""
    try:
        return importlib.import_module(module)
    except ImportError as e:
        raise ModelError(
            f"{what}, and {module} cannot be imported: {e}. Add {package or module} to the project's packages."
        ) from e


def present(module: str) -> bool:
    """Report whether a package could be imported."""
    return importlib.util.find_spec(module) is not None


def threads() -> int:
    """Return how many threads one predict() may use: one unless OMP_NUM_THREADS says otherwise. Workers are
    what the scorer has several of, and threads that wait for each other on a busy machine cost a row's
    answer a hundred times its time.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) > 0 else 1


def own(version: Any, name: str) -> str:
    """Return a framework's name with its version."""
    return f"{name} {version}" if version else name
