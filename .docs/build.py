"""Build the documentation: `make docs`, offline, into build/docs; a broken link or reference fails it.

Pages are the READMEs of the rooms, the documents at the top, the notebooks as they are saved, and the
reference in this folder. They are copied under their own paths, so that links between them are those of the
repository, and Sphinx makes HTML of the copies, which can be opened from the folder without a server.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: What becomes pages and pictures, and files that pages link to.
GUIDES = (
    "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
    "notebooks/*", "rag/**/README.md", "rag/embedding/models/NOTICE",
    "tests/benchmarks/*.md", "tests/benchmarks/*.png",
)  # fmt: skip


def sources(folder: Path) -> None:
    """Copy all that pages are made of."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(Path(__file__).parent, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for path in _guides():
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _guides() -> Iterator[Path]:
    for pattern in GUIDES:
        found = [path for path in ROOT.glob(pattern) if path.is_file()]
        if not found:
            raise SystemExit(f"docs: there is no {pattern}: correct GUIDES in .docs/build.py")
        yield from found


def build(into: Path) -> int:
    """Make the pages anew, and return the exit code."""
    from sphinx.cmd.build import build_main

    source = into.with_name(f"{into.name}-source")
    sources(source)
    shutil.rmtree(into, ignore_errors=True)
    options = ["--quiet", "--fail-on-warning", "--nitpicky", "--fresh-env"]
    places = ["--conf-dir", str(Path(__file__).parent), "--doctree-dir", str(source / ".doctrees")]
    code = build_main([*options, "--builder", "html", *places, str(source), str(into)])
    shutil.rmtree(source)
    print(
        f"docs: {into / 'index.html'}" if code == 0 else "docs: not built, for the reasons above", flush=True
    )
    return code


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(build(Path(sys.argv[1]).resolve() if sys.argv[1:] else ROOT / "build" / "docs"))
