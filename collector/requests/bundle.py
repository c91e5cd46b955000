"""Writes the ASGI middleware with everything it imports into one file, for an engine's environment.

The file is a zip that Python imports from as it is: put it on `PYTHONPATH`. It needs the standard
library alone, of Python 3.11 or later.
"""

from __future__ import annotations

import zipfile
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
"""Where the packages lie: the repository, or the environment that Inferometer is installed in."""
_MIDDLEWARE: Final = Path(__file__).with_name("middleware.py")
_OURS: Final = ("collector", "telemetry")


def sources() -> list[Path]:
    """Return the files the middleware is made of, relative to `ROOT`, in order."""
    finder = ModuleFinder(path=[str(ROOT)])
    finder.run_script(str(_MIDDLEWARE))
    ours = (module for name, module in finder.modules.items() if name.partition(".")[0] in _OURS)
    files = {Path(getattr(module, "__file__", None) or _MIDDLEWARE) for module in ours} | {_MIDDLEWARE}
    return sorted(file.resolve().relative_to(ROOT) for file in files)


def write_bundle(path: Path) -> int:
    """Write the file, replacing any; return how many bytes it has. Raises `OSError`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for source in sources():
            bundle.write(ROOT / source, source.as_posix())
    return path.stat().st_size
