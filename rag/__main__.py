"""Run ``rag`` as ``python -m rag``."""

from rag.cli.main import main

main()
