"""Stands in for the little that scoring scripts use of Azure's packages, where they are not installed:
azureml.core.model.Model.get_model_path, and what run() needs to take and give raw HTTP.

The finder is the last on sys.meta_path, so it is asked only for what the environment does not have;
nothing is made before a script imports it.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar

from . import rawhttp


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


_MODEL = {"Model": Model}
_RAW_REQUEST = {"rawhttp": rawhttp.rawhttp, "AMLRequest": rawhttp.Request}
_RAW_RESPONSE = {"AMLResponse": rawhttp.AMLResponse}


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    modules: ClassVar[dict[str, dict[str, object]]] = {
        "azureml": {},
        "azureml.core": _MODEL,
        "azureml.core.model": _MODEL,
        "azureml.contrib": {},
        "azureml.contrib.services": {},
        "azureml.contrib.services.aml_request": _RAW_REQUEST,
        "azureml.contrib.services.aml_response": _RAW_RESPONSE,
        "azureml_inference_server_http": {},
        "azureml_inference_server_http.api": {},
        "azureml_inference_server_http.api.aml_request": _RAW_REQUEST,
        "azureml_inference_server_http.api.aml_response": _RAW_RESPONSE,
    }

    def find_spec(self, name, path=None, target=None):
        if name not in self.modules:
            return None
        package = any(other.startswith(name + ".") for other in self.modules)
        return importlib.machinery.ModuleSpec(name, self, is_package=package)

    def create_module(self, spec):
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__doc__ = "A stand-in of Ridgeline's: install Azure's package for more than scoring scripts use."
        vars(module).update(self.modules[module.__name__])


def install() -> None:
    sys.meta_path.append(_Finder())
