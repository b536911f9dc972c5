"""Rules of the blocks of messages that Bedrock enforces and its service model does not state.

Sources: the texts of botocore 1.44.5's model of bedrock-runtime, shapes Message (numbers and sizes of images
and documents, roles, a text beside documents) and DocumentBlock (names); Bedrock's errors for blank texts,
and for documents of the same name (github.com/aws-samples/sample-apj-sup-sa, pull request 137, July 2026).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Block = Mapping[str, Any]

#: Message: images and documents in one message, and the bytes of each.
MAX_IMAGES, MAX_DOCUMENTS = 20, 5
MAX_IMAGE_BYTES, MAX_DOCUMENT_BYTES = int(3.75 * (1 << 20)), int(4.5 * (1 << 20))
#: DocumentBlock: letters, digits, single blanks, hyphens, parentheses and square brackets.
_NAME = re.compile(r"(?:[A-Za-z0-9()\[\]-]|\s(?!\s))+")


def broken(messages: Sequence[Block], system: Sequence[Block]) -> Iterator[str]:
    """Yield one line per rule that blocks break; they fit the service model."""
    yield from _blank(system, "system")
    names: set[str] = set()
    for number, message in enumerate(messages):
        place, blocks = f"messages[{number}].content", message["content"]
        yield from _blank(blocks or [{"text": ""}], place)
        yield from _media(blocks, place, message["role"])
        for document in _inside(blocks, "document"):
            name = document["name"]
            if not _NAME.fullmatch(name):
                yield (
                    f"{place}: the document name {name!r} may only hold alphanumeric characters, single "
                    "whitespace characters, hyphens, parentheses and square brackets"
                )
            if name in names:
                yield f"{place}: two documents are named {name!r}; names must be unique"
            names.add(name)


def _blank(blocks: Sequence[Block], place: str) -> Iterator[str]:
    for number, block in enumerate(blocks):
        at = f"{place}[{number}]"
        if _is_blank(block.get("text")):
            yield f"The text field in the ContentBlock object at {at} is blank"
        if _is_blank(block.get("guardContent", {}).get("text", {}).get("text")):
            yield f"The text field in the GuardrailConverseTextBlock object at {at} is blank"
        results = [block] if "searchResult" in block else block.get("toolResult", {}).get("content", ())
        for part in results:
            if "searchResult" in part:
                texts = part["searchResult"]["content"]
                if not texts or any(_is_blank(text["text"]) for text in texts):
                    yield f"The text field in the SearchResultContentBlock object at {at} is blank"


def _is_blank(text: Any) -> bool:
    return isinstance(text, str) and not text.strip()


def _media(blocks: Sequence[Block], place: str, role: str) -> Iterator[str]:
    images, documents = list(_inside(blocks, "image")), list(_inside(blocks, "document"))
    if len(images) > MAX_IMAGES:
        yield f"{place}: {len(images)} images: the maximum is {MAX_IMAGES}"
    if len(documents) > MAX_DOCUMENTS:
        yield f"{place}: {len(documents)} documents: the maximum is {MAX_DOCUMENTS}"
    for what, items, most in (  # one line for the largest
        ("image", images, MAX_IMAGE_BYTES), ("document", documents, MAX_DOCUMENT_BYTES),
    ):  # fmt: skip
        size = max((len(item["source"].get("bytes", b"")) for item in items), default=0)
        if size > most:
            yield f"{place}: {what} of {size} bytes: the maximum is {most}"
        if items and role != "user":
            yield f"{place}: {what}s are allowed in user messages only"
    beside = [block for block in blocks if "document" in block]
    if beside and not any("text" in block for block in blocks):
        yield f"{place}: a text block is required beside a document"


def _inside(blocks: Sequence[Block], kind: str) -> Iterator[Block]:
    """Yield the blocks of a kind, also those in tool results."""
    for block in blocks:
        for part in (block, *block.get("toolResult", {}).get("content", ())):
            if kind in part:
                yield part[kind]
