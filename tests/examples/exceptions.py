"""What readers have of their own in the examples of a page, and what cannot be run, each with its reason."""

from __future__ import annotations

_PIPE = 'index = rag.Index.open("indexes/handbook")\npipe = rag.Pipeline(index)\n'
_EMBEDDINGS = "from rag.embedding.static import StaticEmbeddings as MyEmbeddings\n"
_SPLITTER = "from langchain_text_splitters import RecursiveCharacterTextSplitter\n"

_PROMPTS = """
from pathlib import Path
Path("prompts").mkdir()
for version in ("2.0", "2.1"):
    Path(f"prompts/support@{version}.md").write_text(
        f"---\\nname: support\\nversion: {version}\\ncite: true\\nvariables:\\n  tone: {{choices: [brief, warm], default: brief}}\\n---\\n"
        "# STYLE\\nBe {{ tone }}.\\n# DOMAIN CONTEXT\\nLeave.\\n# TASK DIRECTIVES\\nAnswer.\\n"
        "# ERROR HANDLING\\nSay so.\\n# RESPONSE CONSTRAINTS\\nNone.\\n"
    )
"""
#: Run before the first example of a page: what a reader would have made of their own.
BEFORE = {
    "README.md": """
import os
from langchain_community.vectorstores import FAISS
from pydantic import BaseModel
os.environ["OPENAI_API_KEY"] = "none"
class Retention(BaseModel):
    days: int
def lookup(system: str) -> str:
    '''Look up a system.'''
    return "a database"
old_store = FAISS.from_texts(["annual leave"], rag.StaticEmbeddings(), metadatas=[{"year": 2025, "status": "archived"}])
""",
    "rag/answer_batches/README.md": """
with open("rag.toml", "w") as file:
    file.write("[batch]\\nmin_records = 1\\n")
""",
    "rag/bedrock/README.md": _PIPE
    + """
rag.build("docs", "indexes/mine", embedder="static")
from pydantic import BaseModel
class MyModel(BaseModel):
    days: int
with open("more.jsonl", "w") as file:
    file.write('{"source": "leave.md", "year": 2025}\\n')
""",
    "rag/bedrock/guardrails/README.md": """
with open("texts.toml", "w") as file:
    file.write("[[cases]]\\ntext = 'How many days of leave do staff take?'\\nexpect = 'pass'\\n")
""",
    "rag/chunking/README.md": _SPLITTER,
    "rag/conversation/README.md": _PIPE
    + "from langchain_core.chat_history import InMemoryChatMessageHistory\nhistory = InMemoryChatMessageHistory()\n",
    "rag/deployment/README.md": """
with open("rag.toml", "w") as file:
    file.write('[deploy]\\nindex = "s3://bucket/handbook"\\nopen = true\\n')
""",
    "rag/erasure/README.md": """
from fpdf import FPDF
letter = FPDF()
letter.add_page()
letter.set_font("Helvetica")
letter.cell(text="Dear Jane, your parcel with the blue lamps arrives on Tuesday at noon, by the back door.")
letter.output("letter.pdf")
""",
    "rag/embedding/README.md": _EMBEDDINGS,
    "rag/generation/README.md": _PROMPTS
    + "from pydantic import BaseModel, Field\npipe = rag.Pipeline('indexes/handbook', generator='claude')",
    "rag/response_cache/README.md": """
import json
with open("pairs.jsonl", "w") as file:
    for n in range(4):
        file.write(json.dumps({"a": f"Who declares a SEV-{n}?", "b": f"Who declares SEV-{n}?", "same": True}) + "\\n")
        file.write(json.dumps({"a": f"Who declares a SEV-{n}?", "b": f"How long is leave {n}?", "same": False}) + "\\n")
""",
    "rag/retrieval/README.md": _PIPE + "from langchain_core.language_models import FakeListChatModel\n"
    "model = FakeListChatModel(responses=['a'])\n"
    "from rag.bedrock.search.rerank import BedrockReranker\ncompressor = BedrockReranker()",
    "rag/trimming/README.md": "from langchain_classic.retrievers.document_compressors import EmbeddingsFilter\n"
    + _PIPE
    + "ix, embeddings = index, rag.StaticEmbeddings()\n",
    "rag/usage/README.md": _PIPE,
}
#: What stands for a reader's own: words of commands, and texts in blocks of Python, by page.
PLACES = {
    "rag/answer_batches/README.md": {
        "INDEX": "indexes/handbook",
        "FILE.jsonl": "questions.jsonl",
        "ARN": "arn:aws:iam::111122223333:role/rag-batch",
    },
    "rag/bedrock/README.md": {"INDEX": "indexes/handbook"},
    "rag/building/README.md": {
        "INDEX": "indexes/titan",
        "SRC": "docs",
        "ARN": "arn:aws:iam::111122223333:role/rag-batch",
    },
    "rag/erasure/README.md": {"person == 'jane'": "region == 'us'"},
    "rag/generation/README.md": {"support": "support@2.1"},
    "rag/receipts/README.md": {"01m8c3av02": "=answer.id"},
    "rag/review/README.md": {"ID": "=item.id"},
    "rag/response_cache/README.md": {"INDEX": "indexes/handbook"},
    "rag/usage/README.md": {"INDEX": "indexes/handbook"},
}
#: Another command line in place of the page's, and why.
_ASKS = "asks at a terminal"
INSTEAD = {
    ("rag/erasure/README.md", "rag forget indexes/handbook --check --source people/leave-policy-eu.md"): (
        "rag forget indexes/handbook --check --source no-such-file.md",
        "the file is still there, and part of its text in others",
    ),
    ("rag/bedrock/guardrails/README.md", "rag guardrail apply support"): (
        "rag guardrail apply support --yes",
        _ASKS,
    ),
    ("rag/erasure/README.md", "rag forget indexes/handbook --source people/leave-policy-eu.md"): (
        "rag forget indexes/handbook --source people/leave-policy-eu.md --yes",
        _ASKS,
    ),
}
#: Exit codes other than 0, and why.
_DECIDED = "the block of Python above has decided it"
_DONE = "the batch before has ended: nothing is under way"
CODES = {
    ("rag/answer_batches/README.md", "rag batch resume INDEX"): (2, _DONE),
    ("rag/answer_batches/README.md", "rag batch cancel INDEX"): (2, _DONE),
    ("rag/review/README.md", 'rag review approve ID --comment "as in the policy"'): (1, _DECIDED),
    (
        "rag/review/README.md",
        'rag review correct ID --answer "28 days [1], 22 in America [2]." --cites "us.md#22 days"',
    ): (2, "the document that it cites is not in the handbook"),
    ("rag/review/README.md", 'rag review correct ID --answer "The documents do not say." --unanswerable'): (
        1,
        _DECIDED,
    ),
    ("rag/review/README.md", 'rag review reject ID --comment "mixes up the regions"'): (1, _DECIDED),
    ("rag/building/README.md", "rag batch resume INDEX"): (2, _DONE),
    ("rag/building/README.md", "rag batch cancel INDEX"): (2, _DONE),
}
_SERVER = "runs until it is stopped: tests/serving and tests/emulator start it"
#: Parsed, but not run, and why.
_BASE = "needs a knowledge base: tests/bedrock/knowledge_bases makes one"
NOT_RUN = {
    (
        "rag/evaluation/README.md",
        "rag judge calibrate labels.jsonl --judge sonnet",
    ): "needs labels by people: tests/evaluation/judging",
    (
        "rag/index/README.md",
        'rag.push("indexes/handbook", "s3://bucket/handbook")',
    ): "its last line takes version 2, and there is one: tests/index/remote",
    (
        "rag/answer_batches/README.md",
        'pipe = rag.Pipeline("indexes/handbook", generator="claude")',
    ): "a batch job takes at least 100 questions: tests/answer_batches",
    ("rag/bedrock/README.md", "rag kb create handbook --s3 s3://handbook/docs --role ARN"): _BASE,
    ("rag/bedrock/README.md", "rag kb sync KB_ID"): _BASE,
    ("rag/bedrock/README.md", 'rag ask INDEX "How many days of leave?" --config kb.toml'): _BASE,
    (
        "rag/bedrock/README.md",
        'base = KnowledgeBaseAnswers(knowledge_base_id="ABCDEFGHIJ", index=index, prefix="s3://handbook/docs/")',
    ): _BASE,
    (
        "rag/emulator/README.md",
        'entries = Recording.open("rag-doctor-eu-west-1-2026-11-26/traffic.jsonl").entries',
    ): "needs traffic of the real Bedrock: tests/emulator",
    (
        "rag/loading/README.md",
        'rag.build("docs", ix, loader={"include": ["*.pdf"], "passwords": {"board/*": "…"}, "ocr": "tesseract"})',
    ): "needs tesseract, a website and S3 in one block: tests/loading",
    (
        "rag/bedrock/README.md",
        "rag bedrock-emulator --latency 0.2s:2s --rpm 3000 --fail 0.1 --stream-fail 0.05",
    ): _SERVER,
    ("rag/bedrock/README.md", "rag bedrock-emulator --record calls.jsonl"): _SERVER,
    ("rag/bedrock/README.md", "rag bedrock-emulator --replay calls.jsonl"): _SERVER,
    (
        "rag/emulator/README.md",
        "rag bedrock-emulator --latency 0.2s:2s --rpm 3000 --fail 0.1 --stream-fail 0.05",
    ): _SERVER,
    ("rag/emulator/README.md", "rag bedrock-emulator --record calls.jsonl"): _SERVER,
    ("rag/emulator/README.md", "rag bedrock-emulator --replay calls.jsonl"): _SERVER,
    (
        "rag/client/README.md",
        'client = rag.Client("http://127.0.0.1:8000")  # key="rag_…", where the server asks for one',
    ): "asks the server above: tests/client",
    ("rag/client/README.md", "rag serve indexes/handbook"): _SERVER,
    (
        "rag/telemetry/README.md",
        "rag observe apply indexes/handbook --usd-per-day 20 --topic arn:aws:sns:eu-west-1:111122223333:on-call",
    ): "needs CloudFormation, which the emulator is not",
    ("rag/serving/README.md", "rag serve indexes/handbook"): _SERVER,
    ("rag/serving/README.md", "rag mcp indexes/handbook"): _SERVER,
    ("rag/serving/README.md", "rag mcp indexes/handbook --where \"status == 'current'\""): _SERVER,
    ("rag/serving/README.md", "rag mcp indexes/handbook --http 127.0.0.1:8001"): _SERVER,
}
