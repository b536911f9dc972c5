"""Which engine reads which file: `rag`'s own parsers, or `unstructured` for its partitioning."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from importlib.metadata import version

from rag.core.errors import ConfigError, near_miss
from rag.core.extras import ensure
from rag.loading.formats.registry import Format

ENGINES = ("rag", "unstructured")
#: Changes when the same elements become another text or structure than before.
_ADAPTER = 1
_HERE = "rag.loading.formats.unstructured_engine:"
_OPEN_XML = "application/vnd.openxmlformats-officedocument."
#: A file's type to its parser. All other types of text are read as plain text.
_PARSERS = {
    "text/markdown": "parse_markdown",
    "text/html": "parse_html",
    "text/csv": "parse_csv",
    "text/tab-separated-values": "parse_tsv",
    "application/xml": "parse_xml",
    "message/rfc822": "parse_eml",
    "application/vnd.ms-outlook": "parse_msg",
    _OPEN_XML + "wordprocessingml.document": "parse_word",
    _OPEN_XML + "presentationml.presentation": "parse_slides",
    _OPEN_XML + "spreadsheetml.sheet": "parse_sheets",
    "application/vnd.ms-excel": "parse_sheets",
    "application/pdf": "parse_pdf",
}


class Engines:
    """The engine of each file, by glob.

    Parameters
    ----------
    setting : str or mapping of str to str
        An engine for all files, or glob pattern (over the path relative to the root, ``*`` also
        matches ``/``) to engine: the first that matches decides, and ``"rag"`` reads the rest.

    Raises
    ------
    ConfigError
        There is no such engine.
    MissingExtraError
        `unstructured` is named and not installed.

    Examples
    --------
    >>> Engines({"contracts/*.docx": "unstructured"}).of("contracts/a.docx")     # doctest: +SKIP
    'unstructured'
    """

    def __init__(self, setting: str | Mapping[str, str] = "rag") -> None:
        if not isinstance(setting, str | Mapping):
            raise ConfigError(f"engine is a name, or a table of glob patterns and names, not {setting!r}")
        self._engines = {"*": setting} if isinstance(setting, str) else dict(setting)
        for engine in self._engines.values():
            if engine not in ENGINES:
                raise ConfigError(f"there is no engine {engine!r}: {near_miss(str(engine), ENGINES)}")
        if "unstructured" in self._engines.values():
            ensure("unstructured", extra="unstructured")

    def of(self, source: str) -> str:
        """Return the name of the engine that reads a file."""
        matching = (name for glob, name in self._engines.items() if fnmatch.fnmatchcase(source, glob))
        return next(matching, "rag")

    def fingerprint(self, source: str) -> list[str]:
        """Return what a file's text depends on beside its bytes; nothing for `rag`'s own parsers."""
        if self.of(source) == "rag":
            return []
        return [f"unstructured {version('unstructured')} adapter {_ADAPTER}"]

    def format(self, source: str, own: Format) -> Format:
        """Return how a file is read, from how `rag` itself would read it."""
        if self.of(source) == "rag":
            return own
        plain = own.plain and own.mime != "text/x-rst"  # reStructuredText is pandoc's to read
        parser = _PARSERS.get(own.mime, "parse_text" if plain else "refuse")
        if source.lower().endswith(".xlsb"):  # a workbook by its type, which openpyxl does not read
            parser = "refuse"
        return Format(_HERE + parser, own.mime)
