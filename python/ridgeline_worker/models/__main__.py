"""Looks at a model's folder before it is packed: python …/ridgeline_worker/models/__main__.py

    --model FOLDER  --report FILE  [--rows FILE]

It loads the model as a worker would and writes {"framework", "signature", "onnx"} to the report. With rows of
a holdout ({"columns": […], "rows": […]}) a scikit-learn model is converted to ONNX, when it can be and
answers them alike; "onnx" then is the verdict. Exit code 3, with a message, when the model cannot be loaded.

Started by path, so that the interpreter puts this folder first on sys.path; it is taken away again before
any of the user's code is imported.
"""

from __future__ import annotations

if __name__ == "__main__":
    import sys
    from pathlib import Path

    here = Path(__file__).resolve().parent
    sys.path[:1] = [str(here.parent.parent)]
    from ridgeline_worker.models.examine import main

    sys.path.remove(str(here.parent.parent))
    sys.exit(main(sys.argv[1:]))
