"""OCR: a hook for pages that are pictures, and tesseract behind it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

from rag.core.errors import ConfigError, LoadError
from rag.core.extras import require
from rag.core.imports import resolve

#: A page as a PNG picture, to its text.
Ocr = Callable[[bytes], str]


class Tesseract:
    """Reads a picture with the ``tesseract`` program, where it is installed.

    Parameters
    ----------
    languages : str
        As tesseract names them, e.g. ``"eng+deu"``; their data must be installed.
    timeout_s : float
        Seconds for one page.

    Raises
    ------
    ConfigError
        The program is not installed.

    Examples
    --------
    >>> rag.Loader("scans", ocr=Tesseract("eng+fra"))           # doctest: +SKIP
    """

    def __init__(self, languages: str = "eng", timeout_s: float = 120.0) -> None:
        self.languages, self.timeout_s = languages, timeout_s
        program = shutil.which("tesseract")
        if program is None:
            raise ConfigError(
                "ocr needs the program tesseract, which is not installed: install it "
                "(apt-get install tesseract-ocr, brew install tesseract), or give another function"
            )
        self._program = program

    def __call__(self, png: bytes) -> str:
        """Return the text of a picture."""
        command = [self._program, "stdin", "stdout", "-l", self.languages]
        try:
            done = subprocess.run(
                command, input=png, capture_output=True, timeout=self.timeout_s, check=True,
                env={"OMP_THREAD_LIMIT": "1", "PATH": "/usr/bin:/bin:/usr/local/bin"},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise LoadError(
                f"took more than {self.timeout_s:g} s to read a page by OCR", "leave it out"
            ) from None
        except subprocess.CalledProcessError as error:
            said = " ".join(error.stderr.decode("utf-8", "replace").split())[:200]
            raise LoadError(f"could not be read by tesseract ({said})", "check its languages") from None
        return done.stdout.decode("utf-8", "replace").replace("\f", "").strip()


def ocr_of(value: str | Ocr | None) -> Ocr | None:
    """Return the function for a setting: ``"tesseract"``, ``"module:function"``, or itself.

    Raises
    ------
    ConfigError
        It cannot be imported, or is no function.
    MissingExtraError
        Pillow, which pages are drawn with, is not installed.
    """
    if value is not None:
        require("PIL", extra="ocr")
    if value == "tesseract":
        return Tesseract()
    if isinstance(value, str):
        return resolve(value, "the loader's ocr")
    if value is not None and not callable(value):
        raise ConfigError(f"ocr is a function, 'tesseract' or 'module:function', not {value!r}")
    return value
