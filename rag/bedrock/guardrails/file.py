"""A guardrail's file, ``guardrails/NAME.toml``: found by name, read, and begun from a template."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from rag.bedrock.guardrails.parse import parse
from rag.bedrock.guardrails.settings import GuardrailSettings
from rag.core.errors import ConfigError, near_miss

TEMPLATE = """\
# A guardrail of Amazon Bedrock. `rag guardrail plan {name}` says what would change in the account,
# `rag guardrail apply {name}` changes it, `rag guardrail test {name} --table FILE` tests it.
description = "What users may ask, and what answers may say."
blocked_input = "Sorry, I cannot help with that question."
blocked_output = "Sorry, I cannot give that answer."
# kms_key = "alias/guardrails"       # encrypts it
# tier = "standard"                  # more languages; needs cross_region
# cross_region = "us.guardrail.v1:0"

# What happens is "block", "detect" (only reported), "off", for sensitive information also "mask"; or one
# for each way: action = {{input = "block", output = "detect"}}.

[[topics]]                           # denied topics, by their meaning
name = "Investment advice"
definition = "Recommendations on stocks, funds or other investments, or on when to buy or sell them."
examples = ["Which stocks should I buy?", "Is bitcoin a good investment?"]

[filters]                            # none, low, medium or high; for input and output, or one each
hate = "high"
insults = "medium"
sexual = "high"
violence = {{input = "medium", output = "high"}}
misconduct = "high"
prompt_attack = "high"               # in prompts alone

[words]
block = ["project falcon"]           # words and phrases, whatever their case
profanity = true

[pii]                                # personal information, by type
email = "mask"
phone = "mask"
credit_debit_card_number = "block"
us_social_security_number = "block"
aws_secret_key = "block"

[[regexes]]
name = "CASE_NUMBER"                 # masked as {{CASE_NUMBER}}
pattern = 'CASE-\\d{{6}}'
action = "mask"

[grounding]                          # answers with a lower score are blocked
grounding = 0.7                      # whether the documents say so
relevance = 0.5                      # whether it answers the question

[tags]
application = "{name}"
"""


def read(path: Path) -> GuardrailSettings:
    """Read a guardrail's file; its name is the guardrail's, unless it says another.

    Raises
    ------
    ConfigError
        It cannot be read, is not TOML, or a setting is refused.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read the guardrail {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    return parse(table, str(path), path.stem)


def find(name: str, folder: Path) -> Path:
    """Return the file of a guardrail, by its name or path.

    Raises
    ------
    ConfigError
        There is none; names the nearest.
    """
    if name.endswith(".toml"):
        return Path(name)
    path = folder / f"{name}.toml"
    if not path.is_file():
        raise ConfigError(f"there is no guardrail {name!r} in {folder}: {_hint(name, folder)}")
    return path


def files(folder: Path) -> list[Path]:
    """Return the guardrails of a folder.

    Raises
    ------
    ConfigError
        There is none.
    """
    found = sorted(folder.glob("*.toml"))
    if not found:
        raise ConfigError(f"there is no guardrail in {folder}: begin one with `rag guardrail new NAME`")
    return found


def begin(name: str, folder: Path) -> Path:
    """Write a guardrail to begin with, with comments.

    Raises
    ------
    ConfigError
        The name is not one of a guardrail, or its file exists or cannot be written.
    """
    path = folder / f"{name}.toml"
    if not re.fullmatch(r"[0-9a-zA-Z\-_]{1,50}", name):
        raise ConfigError(f"a guardrail's name is 1 to 50 letters, digits, - and _, not {name!r}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE.format(name=name))
    except FileExistsError:
        raise ConfigError(f"{path} exists: choose another name, or edit it") from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None
    return path


def _hint(name: str, folder: Path) -> str:
    known = [path.stem for path in folder.glob("*.toml")]
    return near_miss(name, known) if known else "begin one with `rag guardrail new NAME`"
