"""Outlook's mails made in code: an OLE file (MS-CFB) of properties (MS-OXMSG)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import TypeAlias

#: A folder of an OLE file: names to streams and folders.
Tree: TypeAlias = "dict[str, bytes | Tree]"
_FREE, _END, _NONE = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF


def ole(tree: Tree) -> bytes:
    """An OLE file with sectors of 512 bytes; small streams lie in the mini stream, as they must."""
    entries: list[dict] = [{"name": "Root Entry", "kind": 5, "kids": [], "data": b""}]

    def walk(folder: Tree, parent: dict) -> None:
        for name, content in folder.items():
            entry = {"name": name, "kind": 2 if isinstance(content, bytes) else 1, "kids": [], "data": b""}
            parent["kids"].append(len(entries))
            entries.append(entry)
            if isinstance(content, bytes):
                entry["data"] = content
            else:
                walk(content, entry)

    walk(tree, entries[0])
    mini, mini_fat = b"", []
    for entry in entries[1:]:
        if entry["kind"] == 2 and 0 < len(entry["data"]) < 4096:
            count = -(-len(entry["data"]) // 64)
            entry["start"] = len(mini_fat)
            mini_fat += [*range(len(mini_fat) + 1, len(mini_fat) + count), _END]
            mini += entry["data"].ljust(64 * count, b"\0")
    sectors: list[bytes] = []
    fat: list[int] = []

    def put(data: bytes) -> int:
        count = -(-len(data) // 512)
        if not count:
            return _END
        start = len(sectors)
        sectors.extend(data[512 * n : 512 * n + 512].ljust(512, b"\0") for n in range(count))
        fat.extend([*range(start + 1, start + count), _END])
        return start

    for entry in entries[1:]:
        if len(entry["data"]) >= 4096:
            entry["start"] = put(entry["data"])
    entries[0]["data"], entries[0]["start"] = mini, put(mini)
    mini_start = put(struct.pack(f"<{len(mini_fat)}I", *mini_fat))
    right: dict[int, int] = {}
    for entry in entries:
        right.update(zip(entry["kids"], entry["kids"][1:], strict=False))
    rows = b"".join(
        struct.pack(
            "<64sHBBIII16sIQQIQ", entry["name"].encode("utf-16-le"), 2 * len(entry["name"]) + 2, entry["kind"],
            1, _NONE, right.get(at, _NONE), entry["kids"][0] if entry["kids"] else _NONE, bytes(16), 0, 0, 0,
            entry.get("start", _END), len(entry["data"]),
        )
        for at, entry in enumerate(entries)
    )  # fmt: skip
    directory = put(rows)
    fat_at = len(sectors)
    fats = -(-(len(fat) + 2) // 128)
    assert fats <= 109
    fat += [0xFFFFFFFD] * fats
    table = struct.pack(f"<{len(fat)}I", *fat).ljust(512 * fats, b"\xff")
    header = struct.pack(
        "<8s16sHHHHHHIIIIIIIIII", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", bytes(16), 0x3E, 3, 0xFFFE, 9, 6, 0, 0, 0,
        fats, directory, 0, 4096, mini_start, -(-len(mini_fat) // 128), _END, 0,
    )  # fmt: skip
    where = struct.pack("<109I", *[*range(fat_at, fat_at + fats), *[_FREE] * (109 - fats)])
    return header + where + b"".join(sectors) + table


def properties(values: Mapping[int, str | bytes | int], *, header: int, page: str = "") -> Tree:
    """The streams of an object's properties; strings in a code page if one is named, else in UTF-16."""
    out: Tree = {}
    rows = bytes(header)
    for number, value in values.items():
        if isinstance(value, int):
            rows += struct.pack("<HHIiI", 3, number, 6, value, 0)
            continue
        kind = 0x0102 if isinstance(value, bytes) else 0x001E if page else 0x001F
        data = value if isinstance(value, bytes) else value.encode(page or "utf-16-le")
        rows += struct.pack("<HHIII", kind, number, 6, len(data), 0)
        out[f"__substg1.0_{number:04X}{kind:04X}"] = data
    return {"__properties_version1.0": rows, **out}


def msg(
    values: Mapping[int, str | bytes | int],
    *,
    people: Sequence[Mapping[int, str | bytes | int]] = (),
    attached: Sequence[Mapping[int, str | bytes | int] | tuple[str, Tree]] = (),
    page: str = "",
    inside: bool = False,
) -> Tree:
    """A mail; `attached`: properties of a file, or the name and the tree of a mail inside."""
    tree = properties({0x001A: "IPM.Note", **values}, header=24 if inside else 32, page=page)
    for at, one in enumerate(people):
        tree[f"__recip_version1.0_#{at:08X}"] = properties(one, header=8, page=page)
    for at, one in enumerate(attached):
        if isinstance(one, tuple):
            name, mail = one
            folder = properties({0x3001: name, 0x3705: 5}, header=8, page=page)
            folder["__substg1.0_3701000D"] = mail
        else:
            folder = properties(one, header=8, page=page)
        tree[f"__attach_version1.0_#{at:08X}"] = folder
    return tree
