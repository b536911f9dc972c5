"""Write questions with evidence from public repositories, and the product's best hits for each.

    python -m tests.benchmarks.reranking.questions FOLDER OUT    # FOLDER as `sources` says

For each domain: ``OUT/NAME/docs``, an index, and ``train.jsonl`` and ``validation.jsonl`` of ``{"question",
"start", "end", "hits"}``, where a hit is ``[source, start, end, text, section, score, overlap]``: its
overlap with the evidence in characters. The questions of one document in ten are for validation.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import rag
from rag.retrieval.search import HybridSearch
from tests.benchmarks.reranking.sources import (
    Domain,
    Repository,
    abstracts,
    answers,
    headings,
    squad,
    textbook,
)

#: Repositories and the licences of what is read in them, November 2026.
LICENCES = {
    "minggg/squad": "CC BY-SA 4.0 (SQuAD 2.0, half of its development set)",
    "modestyachts/squadshifts-website": "CC BY-SA (Wikipedia's texts alone are read)",
    "deepset-ai/COVID-QA": "Apache-2.0", "wasiahmad/PolicyQA": "MIT", "pubmedqa/pubmedqa": "MIT",
    "openstax/osbooks-introduction-business": "CC BY 4.0", "openstax/osbooks-college-success-bundle": "CC BY 4.0",
    "openstax/osbooks-principles-economics-bundle": "CC BY 4.0",
    "github/opensource.guide": "CC BY 4.0", "18F/18f.gsa.gov": "public domain",
    "letsencrypt/website": "MPL-2.0", "prometheus/docs": "Apache-2.0", "helm/helm-www": "MIT",
    "reactjs/react.dev": "CC BY 4.0", "privacyguides/privacyguides.org": "CC BY-SA 4.0",
    "nhsuk/nhsuk-service-manual": "MIT", "alphagov/govuk-developer-docs": "MIT", "rust-lang/book": "MIT",
}  # fmt: skip
#: Hits written for each question; most characters of a domain's documents, where some answer nothing.
HITS, MOST_CHARS = 64, 900_000
VALIDATION = 80


def domains(folder: Path) -> Iterator[Domain]:
    def repository(name: str) -> Repository:
        assert name in LICENCES, name
        return Repository(folder, name)

    yield squad(repository("minggg/squad"), "wikipedia", 2900, "data/dev-v2.0.json")
    shifted = repository("modestyachts/squadshifts-website")
    yield squad(shifted, "wikipedia-2", 3000, "datasets/new_wiki_v1.0.json")
    covid = repository("deepset-ai/COVID-QA")
    yield squad(covid, "covid", 1300, "data/question-answering/200423_covidQA.json")
    yield answers(covid, "covid-faq", 300, "data/faqs/faq_covidbert.csv")
    policies = repository("wasiahmad/PolicyQA")
    yield squad(policies, "privacy", 1200, "data/dev.json")
    yield squad(policies, "privacy-2", 800, "data/test.json")
    business = ("introduction-business", "college-success-bundle")
    yield textbook([repository(f"openstax/osbooks-{name}") for name in business], "business", 600)
    yield textbook([repository("openstax/osbooks-principles-economics-bundle")], "economics", 600)
    yield abstracts(repository("pubmedqa/pubmedqa"), "pubmed", 700, "data/ori_pqal.json")
    translated = r"_articles/[a-z]{2,3}(-\w+)?/"
    yield headings(repository("github/opensource.guide"), "open-source", 300, "_articles/", translated, 0.3)
    yield headings(repository("18F/18f.gsa.gov"), "18f", 400, "content/", share=0.1)
    yield headings(repository("letsencrypt/website"), "letsencrypt", 300, "content/en/", share=0.3)
    yield headings(repository("prometheus/docs"), "prometheus", 300, "docs/", share=0.3)
    yield headings(repository("helm/helm-www"), "helm", 300, "docs/")
    yield headings(repository("reactjs/react.dev"), "react", 300, "src/content/")
    yield headings(repository("privacyguides/privacyguides.org"), "privacy-guides", 400, "docs/", share=0.3)
    yield headings(repository("nhsuk/nhsuk-service-manual"), "nhs", 200, "", share=0.4)
    yield headings(repository("alphagov/govuk-developer-docs"), "govuk", 300, "source/", share=0.3)
    yield headings(repository("rust-lang/book"), "rust", 200, "src/", share=0.3)


def write(domain: Domain, folder: Path) -> None:
    """Write documents and questions, build the index, and ask it."""
    chance = random.Random(domain.name)
    rows = list(domain.questions.values())
    chance.shuffle(rows)
    needed = {str(row["source"]) for row in rows}
    others = sorted(domain.documents.keys() - needed)
    chance.shuffle(others)
    size = sum(len(domain.documents[name]) for name in needed)
    (folder / "docs").mkdir(parents=True)
    for name in [*sorted(needed), *others]:
        size += 0 if name in needed else len(domain.documents[name])
        if name in needed or size <= MOST_CHARS:
            (folder / "docs" / name).write_text(domain.documents[name], encoding="utf-8", newline="")
    rag.build(folder / "docs", folder / "index")
    search = HybridSearch(index=rag.Index.open(folder / "index"), k=HITS)
    held = [row for row in rows if hashlib.sha256(str(row["source"]).encode()).digest()[0] < 26]
    train = [row for row in rows if row not in held]
    for kind, some in (("train", train[: domain.most]), ("validation", held[:VALIDATION])):
        with (folder / f"{kind}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(
                json.dumps({**row, "hits": hits(search, row, domain.name)}) + "\n" for row in some
            )
    print(
        f"{domain.name}: {len(train[: domain.most])} questions to train, {len(held[:VALIDATION])} to validate"
    )


def hits(search: HybridSearch, row: dict[str, object], domain: str) -> list[list[object]]:
    # The questions on policies do not say whose.
    within = rag.field("source") == row["source"] if domain in ("privacy", "privacy-2") else None
    found = search.hits(str(row["question"]), where=within)
    start, end = int(str(row["start"])), int(str(row["end"]))
    return [
        [hit.source, hit.start, hit.end, hit.text, list(hit.section), round(float(hit.score), 4),
         max(0, min(end, hit.end) - max(start, hit.start)) if hit.source == row["source"] else 0]
        for hit in found
    ]  # fmt: skip


def main() -> None:
    if sys.argv[1:] == ["--list"]:
        print(*LICENCES, sep="\n")
        return
    folder, out = map(Path, sys.argv[1:])
    for domain in domains(folder):
        write(domain, out / domain.name)


if __name__ == "__main__":
    main()
