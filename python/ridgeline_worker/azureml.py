"""Stands in for azureml.core.model.Model.get_model_path where azureml-core is not installed.

Scoring scripts written for Azure ML find their model by this one call. The finder is the last on
sys.meta_path, so it is asked only for what the environment does not have; nothing is made before a
script imports it.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
from pathlib import Path
from types import ModuleType


class Model:
    """The part of azureml.core.model.Model that a scoring script uses."""

    @staticmethod
    def get_model_path(model_name: str, version: int | None = None, _workspace: object = None) -> str:
        """The model's file if its folder holds exactly one thing, else the folder.

        The folder is AZUREML_MODEL_DIR, or <name>[/<version>] within it when that exists.
        """
        root = os.environ.get("AZUREML_MODEL_DIR", "")
        if not root or not Path(root).is_dir():
            raise FileNotFoundError(f"model {model_name}: AZUREML_MODEL_DIR is {root!r}, which is no folder")
        folder = Path(root)
        if (folder / model_name).is_dir():
            folder = folder / model_name
            versions = [p.name for p in folder.iterdir() if p.is_dir() and p.name.isdigit()]
            if version is not None and str(version) not in versions:
                raise FileNotFoundError(f"model {model_name}: no version {version} in {folder}")
            if versions:
                folder = folder / (max(versions, key=int) if version is None else str(version))
        entries = [p for p in sorted(folder.iterdir()) if not p.name.startswith(".")]
        if not entries:
            raise FileNotFoundError(f"model {model_name}: {folder} is empty")
        return str(entries[0] if len(entries) == 1 else folder)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    packages = ("azureml", "azureml.core", "azureml.core.model")

    def find_spec(self, name, path=None, target=None):
        if name not in self.packages:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=name != self.packages[-1])

    def create_module(self, spec):
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__doc__ = "A stand-in of Ridgeline's: install azureml-core for more than Model.get_model_path."
        if module.__name__ != "azureml":
            module.Model = Model


def install() -> None:
    sys.meta_path.append(_Finder())
