"""Loads a scoring script and says how its run() wants to be called.

The contract is that of azureml-inference-server-http: init() and run() at the top level, run() without
positional-only, *args or **kwargs parameters, `request_headers` filled in when asked for.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import logging.config
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from . import rawhttp, schema


class ContractError(Exception):
    """The script does not have the shape that the contract asks for."""


class Script(NamedTuple):
    init: Callable[[], Any]
    run: Callable[..., Any]
    parameters: list[inspect.Parameter]  # of run, without request_headers
    wants_headers: bool
    by_name: bool  # @input_schema: the body's members become the parameters
    raw: bool  # @rawhttp: the request itself is the first parameter


def load(app: Path, entry: str) -> Script:
    path = (app / entry).resolve()
    if not path.is_file():
        raise ContractError(f"there is no scoring script {entry} in {app}. Name one with release.score.")
    for folder in (str(app), str(path.parent)):  # the script's own folder comes first
        if folder in sys.path:
            sys.path.remove(folder)
        sys.path.insert(0, folder)
    sys.argv = [str(path)]
    configure_logging(app, path.parent)
    spec = importlib.util.spec_from_file_location("entry_module", path)
    if spec is None or spec.loader is None:
        raise ContractError(f"{entry} is not a Python file: its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look their module up by name
    spec.loader.exec_module(module)
    return examine(module, entry)


def configure_logging(*folders: Path) -> None:
    """Does what the first logging.json says, before the script makes its loggers."""
    for folder in folders:
        file = folder / "logging.json"
        if not file.is_file():
            continue
        try:
            logging.config.dictConfig(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError, AttributeError, ImportError, OSError) as e:
            cause = f" ({e.__cause__})" if e.__cause__ else ""
            raise ContractError(
                f"{file} cannot be used: {e}{cause}. "
                "It has to be a configuration for Python's logging.config.dictConfig, as JSON."
            ) from e
        return


def examine(module: ModuleType, entry: str) -> Script:
    for name in ("init", "run"):
        if not callable(getattr(module, name, None)):
            raise ContractError(f"{entry} does not define a function {name}().")
    run = module.run
    # A driver wraps the real script; it forwards run() but breaks decorated parameters, so the real
    # run() is called, while init() stays the driver's, which is where drivers do their own work.
    driver = getattr(module, "driver_module", None)
    if isinstance(driver, ModuleType) and callable(getattr(driver, "run", None)):
        run = driver.run

    parameters = list(inspect.signature(run).parameters.values())
    if any(p.kind not in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
        raise ContractError("run() cannot accept positional-only arguments, *args, or **kwargs.")
    others = [p for p in parameters if p.name != "request_headers"]
    if not others:
        wanted = 'an argument other than "request_headers"' if parameters else "an argument for input data"
        raise ContractError(f"run() needs to accept {wanted}.")
    raw = rawhttp.requested()
    by_name = schema.decorated(run)
    if raw and by_name:
        raise ContractError("run() cannot be decorated with both @rawhttp and @input_schema")
    if not by_name and any(p.default is p.empty for p in others[1:]):
        names = ", ".join(p.name for p in others)
        raise ContractError(
            f"run({names}) takes more than one argument, but only the first is filled in "
            "with the request's body. Give the others defaults, or decorate run() with "
            "@input_schema."
        )
    return Script(module.init, run, others, len(others) < len(parameters), by_name, raw)

