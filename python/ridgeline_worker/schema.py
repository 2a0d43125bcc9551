"""What inference-schema's decorators know of a run(): its parameters' samples, which input does not fit
them, and the OpenAPI schemas made from them.

It reads inference-schema 1.8 where the script has imported it, and does without where it has not.
"""

from __future__ import annotations

import inspect
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACKAGE = "inference_schema"
VERSIONS = {"2": "2.0", "3": "3.0", "3.1": "3.1"}  # Azure's name for it → inference-schema's
OWN = {"2": ("swagger.json", "swagger2.json"), "3": ("swagger3.json",), "3.1": ("swagger3.1.json",)}


class SwaggerError(Exception):
    """The app's own swagger file cannot be used; the message says why."""


def decorated(run: Callable[..., Any]) -> bool:
    util = sys.modules.get(PACKAGE + ".schema_util")
    return util is not None and bool(util.is_schema_decorated(run))


def samples(run: Callable[..., Any]) -> dict[str, Any]:
    """The parameters that are converted to the type of a sample, each with its parameter type."""
    found = {}
    while hasattr(run, "_self_wrapper"):  # of wrapt.FunctionWrapper, which every decorator makes
        wrapper = run._self_wrapper
        cells = inspect.getclosurevars(wrapper).nonlocals if inspect.isfunction(wrapper) else {}
        if cells.get("convert_to_provided_type") and not cells.get("optional") and "param_type" in cells:
            found[cells.get("param_name")] = cells["param_type"]
        run = run.__wrapped__
    return found


def convert(parameter_type: Any, name: str, value: Any) -> Any:
    return sys.modules[PACKAGE + ".schema_decorators"]._deserialize_input_argument(value, parameter_type, name)


def misfit(e: BaseException) -> str:
    """Why the input does not fit its sample; empty when e comes from elsewhere, such as run() itself."""
    decorators = sys.modules.get(PACKAGE + ".schema_decorators")
    conversion = getattr(getattr(decorators, "_deserialize_input_argument", None), "__code__", None)
    if conversion is None or not isinstance(e, Exception):
        return ""
    for frame, _ in traceback.walk_tb(e.__traceback__):
        if frame.f_code is conversion:
            name = frame.f_locals.get("param_name")
            return f"The value of the {name!r} parameter does not fit its sample: {e}"[:2000]
    return ""


def openapi(run: Callable[..., Any], app: Path) -> dict[str, Any]:
    """input and output: the schemas; versions: the OpenAPI versions that can express them; own: the
    app's own documents by version, which take their place."""
    described: dict[str, Any] = {"own": _own(app)}
    if not decorated(run):
        anything = {"type": "object", "example": {}}
        return {**described, "input": anything, "output": anything, "versions": list(VERSIONS)}
    util = sys.modules[PACKAGE + ".schema_util"]
    known = util.get_supported_versions(run)
    described["versions"] = [v for v, name in VERSIONS.items() if name in known or v in known]
    for key, schema in (("input", util.get_input_schema(run)), ("output", util.get_output_schema(run))):
        try:
            described[key] = json.loads(json.dumps(schema), parse_constant=lambda _: None)  # JSON has no NaN
        except (TypeError, ValueError, RecursionError):
            described["versions"] = []
            break
    return described


def _own(app: Path) -> dict[str, Any]:
    documents = {}
    for version, names in OWN.items():
        for name in names:
            path = app / name
            if not path.is_file():
                continue
            try:
                document = json.loads(path.read_bytes())
            except (ValueError, RecursionError) as e:
                raise SwaggerError(f"{name} in the project's folder is not JSON: {e}") from None
            if not isinstance(document, dict) or not document:
                raise SwaggerError(f"{name} in the project's folder: expected a JSON object with an API's description")
            documents[version] = document
            break
    return documents
