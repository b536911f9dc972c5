"""What Knowledge Bases takes: formats and sizes of documents, and of the attributes in their sidecars."""

from __future__ import annotations

from collections.abc import Mapping

#: Documents that Knowledge Bases reads, with their media types (Bedrock User Guide, "Prerequisites for your
#: Amazon Bedrock knowledge base data", read November 2026).
FORMATS: Mapping[str, str] = {
    ".txt": "text/plain", ".md": "text/markdown", ".html": "text/html", ".csv": "text/csv",
    ".doc": "application/msword", ".xls": "application/vnd.ms-excel", ".pdf": "application/pdf",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}  # fmt: skip
#: Bytes of a document (the same page: 50 MB).
MAX_BYTES = 50_000_000
#: Characters of a string; members of a list (MetadataAttributeValue in botocore 1.44.5's model of
#: bedrock-agent).
MAX_CHARS, MAX_MEMBERS = 2_048, 10
#: Bytes of a sidecar (Bedrock User Guide, "Connect to Amazon S3 for your knowledge base": 10 KB).
MAX_SIDECAR_BYTES = 10_000
#: Of a document in a knowledge base on S3 Vectors: bytes of its attributes, and their number (Amazon S3 User
#: Guide, "Using S3 Vectors with Amazon Bedrock Knowledge Bases": 1 KB and 35 keys).
VECTORS_BYTES, VECTORS_KEYS = 1_024, 35
