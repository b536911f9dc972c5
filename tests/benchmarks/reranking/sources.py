"""Public repositories whose texts hold questions with their evidence, and how each is read.

Each function returns a `Domain`: documents as the product loads them, and questions with the offsets of
their evidence. None is a retrieval benchmark that `rag` is measured on.

    for NAME in $(python -m tests.benchmarks.reranking.questions --list); do
        git clone --bare --depth 1 https://github.com/$NAME FOLDER/$(echo $NAME | tr / +); done
"""

from __future__ import annotations

import csv
import html
import io
import json
import random
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: A question, and where its evidence starts and ends in the document.
Asked = tuple[str, int, int]


@dataclass
class Domain:
    """Documents of one kind, and questions that they answer."""

    name: str
    most: int
    documents: dict[str, str] = field(default_factory=dict)
    questions: dict[str, dict[str, object]] = field(default_factory=dict)

    def add(self, name: str, text: str, asked: Iterable[Asked]) -> None:
        name = re.sub(r"[^\w.-]+", "-", name)[:80].strip("-") + ".md"
        if name in self.documents or len(text) < 200:
            return
        self.documents[name] = text
        for raw, start, end in asked:
            question = " ".join(raw.split())
            if len(question) >= 8 and text[start:end].strip():
                row = {"question": question, "source": name, "start": start, "end": end}
                self.questions.setdefault(question.lower(), row)


@dataclass(frozen=True)
class Repository:
    """The newest commit of a repository, cloned into ``FOLDER/OWNER+NAME``."""

    folder: Path
    name: str

    def read(self, path: str) -> str:
        return self._git("show", f"HEAD:{path}").decode("utf-8", "replace")

    def files(self, *endings: str) -> list[str]:
        names = self._git("ls-tree", "-r", "--name-only", "-z", "HEAD").decode().split("\0")
        return [name for name in names if name.endswith(endings)]

    def _git(self, *arguments: str) -> bytes:
        place = self.folder / self.name.replace("/", "+")
        called = ["git", "-C", str(place), *arguments]
        return subprocess.run(called, check=True, stdout=subprocess.PIPE).stdout


def squad(repository: Repository, name: str, most: int, path: str) -> Domain:
    """Read a file in SQuAD's format; the shortest answer of each question is its evidence."""
    domain = Domain(name, most)
    for number, article in enumerate(json.loads(repository.read(path))["data"]):
        title = html.unescape(article.get("title") or "").replace("_", " ")
        text, asked = f"# {title}\n\n" if title else "", []
        for paragraph in article["paragraphs"]:
            context = paragraph["context"]
            for question in paragraph["qas"]:
                answers = [each for each in question.get("answers", ()) if each.get("text", "").strip()]
                if question.get("is_impossible") or not answers:
                    continue
                best = min(answers, key=lambda each: len(each["text"]))
                at = best["answer_start"]
                if context[at : at + len(best["text"])] == best["text"]:
                    start = len(text) + at
                    asked.append((question["question"], start, start + len(best["text"].rstrip())))
            text += context + "\n\n"
        domain.add(f"{number:04}-{title}", text, asked)
    return domain


def textbook(repositories: Iterable[Repository], name: str, most: int) -> Domain:
    """Ask for the terms of OpenStax's glossaries; the sentence that introduces one is the evidence."""
    domain, chance = Domain(name, most), random.Random(name)
    for repository in repositories:
        for path in repository.files(".cnxml"):
            xml = repository.read(path)
            meanings = {
                _plain(term).lower(): _plain(meaning).rstrip(".;")
                for term, meaning in re.findall(
                    r"<definition[^>]*>\s*<term[^>]*>(.*?)</term>\s*<meaning[^>]*>(.*?)</meaning>",
                    xml,
                    re.DOTALL,
                )
            }
            left_out = r"<(glossary|metadata|exercise|figure|table|note|equation)\b.*?</\1>"
            body = re.sub(left_out, " ", xml, flags=re.DOTALL)
            text, asked, title = "", [], ""
            for kind, inner in re.findall(r"<(title|para|item)\b[^>]*>(.*?)</\1>", body, re.DOTALL):
                words = _plain(inner)
                if kind == "title":
                    text += f"## {words}\n\n" if title else f"# {words}\n\n"
                    title = title or words
                    continue
                for term in map(_plain, re.findall(r"<term[^>]*>(.*?)</term>", inner, re.DOTALL)):
                    meaning, at = meanings.pop(term.lower(), ""), words.lower().find(term.lower())
                    if len(meaning) >= 20 and at >= 0:
                        first = max((end.end() for end in re.finditer(r"[.!?]\s+", words[:at])), default=0)
                        last = re.search(r"[.!?](\s|$)", words[at:])
                        end = at + last.end() if last else len(words)
                        asked.append((_about(term, meaning, chance), len(text) + first, len(text) + end))
                text += words + "\n\n"
            domain.add(f"{path.split('/')[-2]}-{title}", text, asked)
    return domain


def _about(term: str, meaning: str, chance: random.Random) -> str:
    return chance.choice([
        f"What is {term}?", f"What does {term} mean?", f"What is meant by {term}?", f"What do we call {meaning}?",
        f"Which term describes {meaning}?", f"What is the name for {meaning}?", f"What is the term for {meaning}?",
    ])  # fmt: skip


def headings(
    repository: Repository, name: str, most: int, under: str, skip: str = "$^", share: float = 0.2
) -> Domain:
    """Take headings out of Markdown and ask by them: those that are questions, and a share of the others.

    What stands under such a heading, up to 500 characters, is the evidence.
    """
    domain, chance = Domain(name, most), random.Random(name)
    for path in repository.files(".md", ".mdx"):
        if not path.startswith(under) or re.search(skip, path):
            continue
        text = re.sub(r"\A---\n.*?\n---\n", "", repository.read(path).replace("\r\n", "\n"), flags=re.DOTALL)
        code = [found.span() for found in re.finditer(r"^```.*?^```", text, re.DOTALL | re.MULTILINE)]
        found = [
            each
            for each in re.finditer(r"^(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*$", text, re.MULTILINE)
            if not any(start <= each.start() < end for start, end in code)
        ]
        out, asked, last = "", [], 0
        ends = [*(each.start() for each in found), len(text)][1:]
        for each, end in zip(found, ends, strict=True):
            heading, body = _bare(each[2]), text[each.end() : end].lstrip("\n")
            topic = len(each[1]) > 1 and chance.random() < share
            told = len(body.strip()) >= 80 and not body.lstrip().startswith(("```", "<", "|", "!["))
            if told and len(heading.split()) >= 3 and (heading.endswith("?") or topic):
                out += text[last : each.start()]
                stop = len(body[:500].rstrip())
                cut = body[:stop].rfind("\n\n", 200)
                stop = cut if len(body) > 500 and cut > 0 else stop
                asked.append((heading, len(out), len(out) + stop))
                last = end - len(body)
        domain.add(path, out + text[last:], asked)
    return domain


def answers(repository: Repository, name: str, most: int, path: str) -> Domain:
    """Read a table of frequent questions; the first 400 characters of an answer are its evidence."""
    domain = Domain(name, most)
    by_page: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(repository.read(path))):
        if (row.get("lang") or "en") == "en" and len(row["answer"].strip()) > 60:
            by_page.setdefault((row["source"], row["category"]), []).append(row)
    for number, ((source, category), rows) in enumerate(by_page.items()):
        text, asked = f"# {category or source}\n\n", []
        for row in rows:
            answer = re.sub(r"\n{3,}", "\n\n", row["answer"].strip())
            asked.append((row["question"], len(text), len(text) + min(len(answer), 400)))
            text += answer + "\n\n"
        domain.add(f"{number:03}-{source}", text, asked)
    return domain


def abstracts(repository: Repository, name: str, most: int, path: str) -> Domain:
    """Read PubMedQA: the conclusions of an abstract answer the question that is its title."""
    domain = Domain(name, most)
    for number, row in json.loads(repository.read(path)).items():
        parts = zip(row["LABELS"], row["CONTEXTS"], strict=False)
        text = "".join(f"{label.capitalize()}: {part}\n\n" for label, part in parts)
        whole = f"{text}Conclusions: {row['LONG_ANSWER']}"
        domain.add(number, whole + "\n", [(row["QUESTION"], len(text), len(whole))])
    return domain


def _plain(xml: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", xml)).split())


def _bare(heading: str) -> str:
    heading = re.sub(r"\{[#:/][^}]*\}|<[^>]+>|\{\{.*?\}\}", "", heading)
    heading = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[*_`\\]+", "", heading).strip()
