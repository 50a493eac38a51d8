"""The errors that are no message of ours: a lack of memory, and defects of facekd with their traceback in a file."""

from __future__ import annotations

import platform
import re
import shlex
import sys
import tempfile
import traceback
from pathlib import Path

from facekd import __version__
from facekd.text import path_text, shorten

_OUT_OF_MEMORY = re.compile(r"can't allocate memory|not enough memory|CUDA out of memory|MPS backend out of memory"
                            r"|CUDA error: out of memory|std::bad_alloc|Failed to allocate")


def describe_out_of_memory(error: BaseException) -> str | None:
    """Return a message with a remedy if an exception means a lack of memory; None if it means something else."""
    if not isinstance(error, MemoryError) and not _OUT_OF_MEMORY.search(str(error)):
        return None
    return (f"the memory is not enough ({shorten(error) or 'no more can be allocated'}); use smaller values, for "
            "example training.batch_size, --batch or the size of the model, or a machine with more memory")


def describe_defect(error: BaseException) -> str:
    """Write the traceback of an exception into a file, and return a message that names it."""
    frames = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" at {path_text(Path(frames[0].filename).name)}:{frames[0].lineno}" if frames else ""
    text = "".join((f"facekd {__version__}, Python {platform.python_version()}, {platform.platform()}\n",
                    f"{shlex.join(['facekd', *sys.argv[1:]])}\n\n", *traceback.format_exception(error)))
    summary = f"a defect of facekd, not a mistake of yours: {type(error).__name__}{where}: {shorten(error, 200)}"
    try:
        with tempfile.NamedTemporaryFile("w", prefix="facekd-", suffix=".txt", delete=False, encoding="utf-8",
                                         errors="backslashreplace") as file:
            file.write(text)
    except OSError as problem:
        return f"{summary}. The traceback could not be written ({shorten(problem)}):\n{text}"
    return f"{summary}. The traceback is in {file.name}; please report it with that file"
