"""What the commands of the tests have imported already (`tests.command`); nothing is started by it."""

import importlib
import pkgutil

import onnxruntime  # noqa: F401

import rag
import rag.cli
import rag.cli.main

for module in pkgutil.iter_modules(rag.cli.__path__, "rag.cli."):
    importlib.import_module(module.name)
for name in rag.__all__:
    getattr(rag, name)
for name in ("rag.building.batch", "rag.evaluation", "rag.retrieval.search", "rag.generation.plain"):
    importlib.import_module(name)
