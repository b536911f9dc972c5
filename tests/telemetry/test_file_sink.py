"""A file of records holds whole lines, whatever interrupts their writing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rag.telemetry.sinks import FileSink


def test_a_full_disk_tears_no_record(tmp_path: Path) -> None:
    """The file may have 1,000 bytes, which end in the middle of a record; later there is room again."""
    path = tmp_path / "calls.jsonl"
    code = (
        "import resource, signal, sys\nfrom pathlib import Path\nfrom rag.telemetry.sinks import FileSink\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "sink, lost = FileSink(Path(sys.argv[1]), 10_000, 1), 0\n"
        "for number in range(20):\n"
        "    try: sink.write({'number': number, 'text': 'x' * 90})\n"
        "    except OSError as error: lost += 1; print(error.strerror)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "sink.write({'number': 20})\nprint(lost)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    *reasons, lost = done.stdout.split("\n")[:-1]
    assert len(lines) == 21 - int(lost) and 8 <= len(lines) < 12
    assert [line["number"] for line in lines] == [*range(len(lines) - 1), 20]
    assert reasons[0] == "No space left on device"


def test_a_line_that_a_killed_process_left_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_text('{"number":1}\n{"numb')
    sink = FileSink(path, 10_000, 1)
    sink.write({"number": 2})
    sink.write({"number": 3})
    assert path.read_text() == '{"number":1}\n{"numb\n{"number":2}\n{"number":3}\n'
