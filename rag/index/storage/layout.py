"""The layout of a segment: its files, their columns, and the head of its vectors' file.

==================  ========================================================================
chunks.arrow        one row per chunk: document, id, offsets, pages, section, text
documents.arrow     one row per document: id, source, and the user's metadata
headings.npy        one vector per distinct heading path, float32, unit rows
vectors.faiss       a FAISS ``IndexFlatIP`` of unit rows, float32, memory-mapped
moments.npy         sum and second moment of the vectors, float64 (where rows > dimensions)
codes-*.faiss, …    one-bit codes of the vectors of a large segment (`rag.index.storage.rabitq`)
terms.arrow, …      the postings (`rag.index.storage.bm25`)
==================  ========================================================================
"""

from __future__ import annotations

import struct

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

CHUNKS_FILE = "chunks.arrow"
DOCUMENTS_FILE = "documents.arrow"
HEADINGS_FILE = "headings.npy"
VECTORS_FILE = "vectors.faiss"
MOMENTS_FILE = "moments.npy"

CHUNKS = pa.schema([
    ("doc", pa.int32()), ("chunk_id", pa.string()), ("start", pa.int64()), ("end", pa.int64()),
    ("gap", pa.string()),
    ("page_start", pa.int32()), ("page_end", pa.int32()), ("page_breaks", pa.list_(pa.int64())),
    ("section", pa.list_(pa.string())), ("heading", pa.int32()), ("text", pa.string()),
    ("table_head", pa.string()), ("table_head_start", pa.int64()),
])  # fmt: skip
#: The column of a document's metadata as JSON, where these must come back exactly.
ORIGINAL = "_original"
#: Columns of documents that hold no field of the user's.
OF_DOCUMENT = ("doc_id", "source", ORIGINAL)


def flat_header(dimensions: int, rows: int) -> bytes:
    """Return the head of FAISS's file of an ``IndexFlatIP``; the vectors follow, float32.

    Written and compared by `rag` itself, so that vectors can be appended in pieces, and FAISS's
    reader never gets a file with any other head. The layout is that of ``write_index`` in
    FAISS 1.15 (a test compares it with the installed one's).
    """
    return b"IxFI" + struct.pack(
        "<iqqqBiQ", dimensions, rows, 1 << 20, 1 << 20, 1, faiss.METRIC_INNER_PRODUCT,
        rows * dimensions,
    )  # fmt: skip
