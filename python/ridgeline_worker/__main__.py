"""Start by path (python …/ridgeline_worker/__main__.py) or with -m; the scorer does the former.

Started by path, the interpreter puts this package's own folder first on sys.path, where its modules
would shadow the user's. It is taken away again before any of the user's code is imported.
"""

if __name__ == "__main__":
    import sys
    from pathlib import Path

    here = Path(__file__).resolve().parent
    sys.path[:1] = [str(here.parent)]
    from ridgeline_worker.serve import main

    sys.path.remove(str(here.parent))
    sys.exit(main())
