"""What the default install brings: packages and megabytes, in a fresh environment, beside their limits.

    python tests/benchmarks/install_size.py                          # of this checkout
    python tests/benchmarks/install_size.py --wheel W --into FOLDER  # of a wheel; the environment stays

Needs nothing but Python and pip. Megabytes are those that ``du -sm site-packages`` counts: blocks on
disk, in units of 2**20 bytes, with pip itself and the .pyc files that pip makes. Exits with 1 above a
limit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Limits of the default install, on Linux x86-64.
MOST_MB, MOST_PACKAGES = 620, 80
#: Largest entries that are shown.
SHOWN = 12


def size(path: Path) -> int:
    """Return the bytes that a file or folder takes on disk; a file of two names counts once."""
    seen: set[int] = set()
    total = 0
    for each in (path, *path.rglob("*")):
        found = each.lstat()
        if found.st_ino not in seen:
            seen.add(found.st_ino)
            total += found.st_blocks * 512
    return total


def install(what: str, folder: Path) -> Path:
    """Install into a new environment; return its Python."""
    venv.create(folder, with_pip=True, clear=True)
    python = folder / "bin" / "python"
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--constraint",
        str(ROOT / "constraints.txt"),
        what,
    ]
    subprocess.run(command, check=True)
    return python


def measure(python: Path) -> tuple[list[str], int, list[tuple[str, int]]]:
    """Return the packages, the bytes of all, and the largest entries of site-packages with theirs."""
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format", "json"], check=True, capture_output=True, text=True
    )
    packages = sorted(f"{row['name']} {row['version']}" for row in json.loads(listed.stdout))
    [place] = (python.parents[1] / "lib").glob("python*/site-packages")
    entries = sorted(((each.name, size(each)) for each in place.iterdir()), key=lambda item: -item[1])
    return packages, size(place), entries[:SHOWN]


def main() -> int:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wheel", default=str(ROOT), help="what to install; by default the checkout")
    parser.add_argument("--into", type=Path, help="where the environment is made; by default it goes away")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        python = install(options.wheel, options.into or Path(work) / "venv")
        packages, total, largest = measure(python)
    megabytes = -(-total // (1 << 20))
    for name, taken in largest:
        print(f"{taken / (1 << 20):6.0f} MB  {name}")
    print(f"{megabytes:6} MB  in all; at most {MOST_MB}")
    print(f"{len(packages):6} packages; at most {MOST_PACKAGES}: {', '.join(packages)}")
    return int(megabytes > MOST_MB or len(packages) > MOST_PACKAGES)


if __name__ == "__main__":
    sys.exit(main())
