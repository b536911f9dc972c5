"""One loader of LangChain over some files: run by `tests.benchmarks.loading` in the peers' environment.

    python loading_peer.py pypdf|unstructured|unstructured-sealed|text SECONDS < files > results

`unstructured` is run twice: as it is, which wants to download a spaCy model and cannot, and with a
blank English pipeline in that model's place, which is all that it takes.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
import warnings
from typing import Any

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
KIND, SECONDS = sys.argv[1], int(sys.argv[2])


def loader(kind: str) -> Any:
    if kind == "pypdf":
        from langchain_community.document_loaders import PyPDFLoader

        return PyPDFLoader
    if kind == "text":
        from langchain_community.document_loaders import TextLoader

        return TextLoader
    from langchain_unstructured import UnstructuredLoader

    if kind == "unstructured-sealed":
        import spacy
        import unstructured.nlp.tokenize as tokenize

        def blank() -> Any:
            model = spacy.blank("en")
            model.add_pipe("sentencizer")
            return model

        tokenize._load_spacy_model = blank
    return UnstructuredLoader


def ring(*_: object) -> None:
    raise TimeoutError


def main() -> None:
    made = loader(KIND)
    signal.signal(signal.SIGALRM, ring)
    out: dict[str, Any] = {}
    started = time.perf_counter()
    for path in json.load(sys.stdin):
        signal.alarm(SECONDS)
        try:
            documents = made(path).load()
            pages = [
                [d.metadata.get("page", d.metadata.get("page_number")), d.page_content] for d in documents
            ]
            out[path] = {"pages": pages}
        except BaseException as error:
            out[path] = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"}
        finally:
            signal.alarm(0)
    seconds = time.perf_counter() - started
    sys.stdout.write("\n" + json.dumps({"seconds": seconds, "files": out}) + "\n")


main()
