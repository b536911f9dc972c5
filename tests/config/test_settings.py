"""Every table of rag.toml is checked when it is read; a mistake is one line that names file and table."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.bedrock.storage import batch_settings
from rag.config import settings
from rag.core.errors import ConfigError
from rag.embedding import cache_settings


def read(tmp_path: Path, text: str) -> dict[str, object]:
    path = tmp_path / "rag.toml"
    path.write_text(text)
    return settings.read(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[cache]\nmax_mb = 0", "[cache]: the cache's max_mb is a number of megabytes above 0, not 0"),
        ("[cache]\nmax_mb = '8'", "[cache]: the cache's max_mb is a number of megabytes above 0, not '8'"),
        ("[cache]\nmax_mb = true", "[cache]: the cache's max_mb is a number of megabytes above 0, not True"),
        ("[cache]\npath = 3", "[cache]: the cache's path is a string, not 3"),
        ("[cache]\nmax = 3", "[cache]: the cache has no setting 'max': did you mean 'max_mb'?"),
        ("[baseline]\nk = 5", "[baseline]: a baseline needs use = \"knowledge-base\", or \"module:Class\""),
        ("baseline = 'base'", "[baseline]: there is no baseline 'base': there is: knowledge-base (or module:Class)"),
        (
            "[baseline]\nuse = 'knowledge-base'\nknowledgebase_id = 'X'",
            "[baseline]: the baseline 'knowledge-base' has no argument 'knowledgebase_id': did you mean "
            "'knowledge_base_id'?",
        ),
        (
            "[baseline]\nuse = 'knowledge-base'\nmeter = 'X'",
            "[baseline]: the baseline 'knowledge-base' has no argument 'meter': did you mean 'retry'?",
        ),
        ("[batch]\nrole = 'x'", "[batch]: the batch has no setting 'role': did you mean 'role_arn'?"),
        (
            "[batch]\ns3 = 'work/jobs'",
            "[batch]: the batch's s3: write s3://bucket/prefix, without blanks or //, not 'work/jobs'",
        ),
        (
            "[batch]\nrole_arn = 'rag'",
            "[batch]: the batch's role_arn: write arn:aws:iam::ACCOUNT:role/NAME, not 'rag'",
        ),
        (
            "[batch]\nmin_records = true",
            "[batch]: the batch's min_records is a whole number of at least 1, not True",
        ),
        ("batch = 'work'", "[batch]: the batch's s3: write s3://bucket/prefix, without blanks or //, not 'work'"),
        ("[ledger]\nper = 'days'", "[ledger]: the ledger's per: it is 'days': did you mean 'day'?"),
        ("[ledger]\non_budget = 'math:pi'", "[ledger]: the ledger's on_budget: 'math:pi' is neither a function nor a class"),
        ("[prices.m]\ninput = -1", "[prices]: the price of 'm''s input is a number of dollars per million tokens, from 0, not -1"),
        ("[chunker]\nmax_token = 3", "[chunker]: the chunker 'semantic' has no argument 'max_token': did you mean 'max_tokens'?"),
        ("[embedder]\nuse = 3", "[embedder]: use must be a name, not 3"),
        ("[embedder]\nuse = 'math:sqtr'", "[embedder]: the embedder 'math:sqtr': 'math' has no 'sqtr': did you mean 'sqrt'?"),
    ],
)  # fmt: skip
def test_a_mistake_names_file_table_and_setting(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, text)
    assert str(error.value) == f"{tmp_path / 'rag.toml'}, {message}"


def test_an_unknown_table_names_the_near_miss(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has a table \[price\]: did you mean 'prices'\?"):
        read(tmp_path, "[price]\ninput = 1\n")


def test_the_pipeline_reads_some_arguments_itself(tmp_path: Path) -> None:
    tables = read(
        tmp_path, '[trimmer]\ncalibration = "t.json"\n[generator]\nuse = "claude"\nfallback = ["local"]\n'
    )
    assert tables["trimmer"] == {"calibration": "t.json"}
    with pytest.raises(ConfigError, match="has no argument 'embedder'"):
        read(tmp_path, '[chunker]\nembedder = "static"\n')


def test_the_cache_is_in_the_index_unless_a_path_says_otherwise() -> None:
    assert cache_settings.settings(None).file(Path("ix")) == Path("ix/cache.sqlite")
    assert cache_settings.settings(None).max_bytes == 8_000_000_000
    shared = cache_settings.settings({"path": "shared.sqlite", "max_mb": 0.5})
    assert (shared.file(Path("ix")), shared.max_bytes) == (Path("shared.sqlite"), 500_000)
    assert cache_settings.settings("shared.sqlite").file(Path("ix")) == Path("shared.sqlite")


def test_a_batch_may_be_set_by_its_bucket_alone() -> None:
    assert batch_settings.settings("s3://work/jobs").s3 == "s3://work/jobs"
    assert batch_settings.settings({"s3": None, "min_records": 5}).min_records == 5
