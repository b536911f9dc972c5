"""The token estimate against counts of real tokenizers, its sums, and what it learns of replies.

The counts beside the texts were measured in November 2026, in this order: with Anthropic's own
tokenizer of Claude 2 (``tokenizer.json`` of the PyPI package anthropic 0.38.0, read by tokenizers
0.23.3); with ctok 1.3.0 (PyPI), ``token_count(text, "3.0") - 7`` for Claude 3 to 4.6 and
``token_count(text, "4.8") - 6`` for 4.7 and later (the number taken off is the frame of a message).
"""

from __future__ import annotations

import copy
import json
import math
import multiprocessing
import pickle
import random
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.trimming import BudgetTrimmer
from rag.usage.tokens import JOIN, Calibration, TokenCounter, estimate_all, estimate_tokens, generation

GENERATIONS = (
    "anthropic.claude-v2:1",
    "anthropic.claude-3-haiku-20240307-v1:0",
    "global.anthropic.claude-opus-5-5",
)

#: kind: (text, (tokens of Claude 2, of Claude 3 to 4.6, of 4.7 and later))
COUNTED = {
    "english": ("When the pager goes off at night, the person on call reads the alert first and writes one line into the incident channel: what is broken, who notices it, and since when. Only then do they look for the cause. A service that has been restarted is not a service that has been understood, so every restart is noted with its time. If two people disagree about how bad it is, the higher level holds until the morning, because it costs less to stand down than to call everybody twice.", (102, 105, 128)),
    "markdown": ("""\
## Who may approve a purchase

| Amount | Approver | Paperwork |
|---|---|---|
| up to $500 | team lead | receipt |
| up to $5,000 | head of department | quote, receipt |
| above | finance committee | three quotes, contract |

- **Travel** is booked by the office; see [the travel page](travel.md#booking).
- *Software* needs a review by security first.
  1. Open a ticket with the name of the tool.
  2. Wait for `approved` before you pay.

> A purchase without an approval is paid back only once.""", (137, 142, 183)),
    "python": ('''\
def moving_average(values: list[float], width: int = 7) -> list[float]:
    """Return the mean of each value and those before it."""
    if width < 1:
        raise ValueError(f"width must be at least 1, not {width}")
    total, means = 0.0, []
    for index, value in enumerate(values):
        total += value
        if index >= width:
            total -= values[index - width]
        means.append(total / min(index + 1, width))
    return means


class RateLimiter:
    def __init__(self, calls_per_second: float) -> None:
        self._interval = 1.0 / calls_per_second
        self._next_call = time.monotonic()
''', (166, 187, 211)),
    "json": ("{\"id\": 4711, \"status\": \"open\", \"customer\": {\"name\": \"Jane Roe\", \"email\": \"jane.roe@example.com\", \"tags\": [\"priority\", \"eu-west\"]}, \"items\": [{\"sku\": \"BX-2209\", \"quantity\": 2, \"unitPrice\": 19.99, \"inStock\": true}, {\"sku\": \"KL-0040\", \"quantity\": 1, \"unitPrice\": 249.0, \"inStock\": false}], \"createdAt\": \"2026-03-14T09:26:53Z\", \"notes\": null}", (130, 144, 174)),
    "yaml": ("""\
service:
  name: billing-api
  replicas: 3
  image: registry.example.com/billing/api:1.14.2
  resources:
    limits: {cpu: "500m", memory: 512Mi}
  env:
    - name: DATABASE_URL
      valueFrom:
        secretKeyRef: {name: billing-db, key: url}
    - name: LOG_LEVEL
      value: warning
  probes:
    readiness: /healthz
    periodSeconds: 15
""", (104, 124, 160)),
    "html": ("""\
<!doctype html>
<html lang="en">
  <head><meta charset="utf-8"><title>Release notes</title></head>
  <body>
    <h1 class="title">What is new</h1>
    <ul id="changes">
      <li><a href="/changes/142">Search remembers your filters</a></li>
      <li>Exports are <strong>twice as fast</strong> &amp; smaller</li>
    </ul>
    <script src="/static/app.js" defer></script>
  </body>
</html>
""", (128, 139, 166)),
    "finance": ("""\
Total revenue was $4,218.7 million for the three months ended September 30, 2025, up 6.3% from $3,968.1 million a year earlier.

| (in millions) | 2025 | 2024 | Change |
|---|---|---|---|
| Products | $2,904.2 | $2,811.6 | 3.3% |
| Services | 1,314.5 | 1,156.5 | 13.7% |
| Cost of sales | (2,377.9) | (2,290.4) | 3.8% |
| Operating income | 612.3 | 549.0 | 11.5% |
| Diluted earnings per share | $1.47 | $1.29 | 14.0% |

Cash and cash equivalents were $1,082.4 million; 0.75% notes due 2029 of $650.0 million were outstanding.""", (205, 235, 266)),
    "logs": ("""\
2026-05-03T11:42:07.318Z INFO  [ingest-2] request_id=7b0c5f0e-93d2-4a1c-8e55-1f6a0d9c2b41 status=200 latency_ms=48.21 path=/v1/documents/88213
2026-05-03T11:42:07.902Z WARN  [ingest-2] retry=1 host=10.24.7.113:9200 error="connection reset by peer" backoff_ms=250
2026-05-03T11:42:08.155Z ERROR [search-0] request_id=e2d94c7a-0b61-4f3e-a7d8-5c90be13f662 status=503 latency_ms=1042.77 path=/v1/search?q=leave&k=8
""", (211, 223, 245)),
    "opaque": ("""\
9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
aGFuZGJvb2svcGVvcGxlL2xlYXZlLm1kOjE4MjQtMjA5MQ==
c56a4180-65aa-42ec-a945-5fd21dec0538
https://docs.example.org/en/latest/api/v2/search?query=annual%20leave&limit=50&cursor=eyJvZmZzZXQiOjUwfQ
s3://acme-prod-eu-west-1/exports/2026/04/17/part-00042.snappy.parquet
""", (177, 195, 219)),
    "white space": ("\n\n        left\t\t\tright\n\n\n\n    1       2       3       4\n" * 6, (79, 85, 84)),
    "german": ("Wer nachts gerufen wird, liest zuerst die Meldung und schreibt eine Zeile in den Kanal: was kaputt ist, wer es merkt und seit wann. Erst danach sucht man nach der Ursache. Ein Dienst, der neu gestartet wurde, ist noch lange nicht verstanden; deshalb wird jeder Neustart mit Uhrzeit festgehalten. Die Rufbereitschaftsvergütung steht in der Betriebsvereinbarung, Abschnitt Überstunden.", (126, 134, 184)),
    "french": ("Celui qui est appelé la nuit lit d'abord l'alerte et écrit une ligne dans le canal : ce qui est en panne, qui s'en aperçoit et depuis quand. Ce n'est qu'ensuite qu'il cherche la cause. Un service redémarré n'est pas un service compris ; c'est pourquoi chaque redémarrage est noté avec son heure. Les congés payés sont demandés au moins deux semaines à l'avance.", (117, 117, 156)),
    "spanish": ("Quien recibe la llamada por la noche lee primero la alerta y escribe una línea en el canal: qué está roto, quién lo nota y desde cuándo. Solo después se busca la causa. Un servicio reiniciado no es un servicio comprendido, así que cada reinicio se anota con su hora. Las vacaciones se piden con dos semanas de antelación y las aprueba la persona responsable del equipo.", (106, 105, 139)),
    "russian": ("Тот, кого вызвали ночью, сначала читает сообщение и пишет одну строку в канал: что сломалось, кто это замечает и с какого времени. Только потом ищут причину. Перезапущенная служба — ещё не понятая служба, поэтому каждый перезапуск записывают вместе со временем. Отпуск согласуют с руководителем за две недели.", (155, 125, 125)),
    "greek": ("Όποιος ειδοποιείται τη νύχτα διαβάζει πρώτα το μήνυμα και γράφει μια γραμμή στο κανάλι: τι χάλασε, ποιος το βλέπει και από πότε. Μόνο μετά αναζητά την αιτία. Κάθε επανεκκίνηση σημειώνεται μαζί με την ώρα της. Η άδεια ζητείται δύο εβδομάδες νωρίτερα.", (274, 163, 163)),
    "arabic": ("من يُستدعى ليلاً يقرأ التنبيه أولاً ويكتب سطراً واحداً في القناة: ما الذي تعطل، ومن لاحظ ذلك، ومنذ متى. بعد ذلك فقط يبحث عن السبب. الخدمة التي أعيد تشغيلها ليست خدمة مفهومة، ولذلك يُسجَّل وقت كل إعادة تشغيل. تُطلب الإجازة قبل أسبوعين.", (231, 172, 172)),
    "hebrew": ("מי שנקרא בלילה קורא קודם את ההתראה וכותב שורה אחת בערוץ: מה התקלקל, מי מבחין בכך וממתי. רק אחר כך מחפשים את הסיבה. שירות שהופעל מחדש עדיין אינו שירות שהובן, ולכן רושמים כל הפעלה מחדש עם השעה שלה. חופשה מבקשים שבועיים מראש.", (191, 153, 153)),
    "hindi": ("जिसे रात में बुलाया जाता है, वह पहले सूचना पढ़ता है और चैनल में एक पंक्ति लिखता है: क्या खराब है, किसे दिख रहा है और कब से। उसके बाद ही कारण खोजा जाता है। हर बार सेवा दोबारा शुरू करने का समय लिखा जाता है। छुट्टी दो सप्ताह पहले माँगी जाती है।", (251, 153, 153)),
    "thai": ("ผู้ที่ถูกเรียกตอนกลางคืนต้องอ่านข้อความแจ้งเตือนก่อน แล้วเขียนหนึ่งบรรทัดลงในช่องสนทนาว่าอะไรเสีย ใครพบปัญหา และตั้งแต่เมื่อไร หลังจากนั้นจึงค่อยหาสาเหตุ ทุกครั้งที่เริ่มบริการใหม่ต้องจดเวลาไว้ การลาพักร้อนต้องขอล่วงหน้าสองสัปดาห์", (397, 207, 207)),
    "chinese": ("夜里接到呼叫的人要先读完告警，然后在频道里写一行：什么坏了、谁发现的、从什么时候开始。之后才去找原因。重新启动过的服务并不等于弄明白了的服务，所以每次重启都要记下时间。年假要提前两周申请，由部门负责人批准。", (100, 110, 109)),
    "japanese": ("夜中に呼び出された人は、まず警告を読み、何が壊れているか、誰が気づいたか、いつからかを一行でチャンネルに書きます。原因を探すのはその後です。再起動したサービスは理解したサービスではないので、再起動のたびに時刻を記録します。休暇は二週間前までに申請してください。", (137, 115, 114)),
    "korean": ("밤에 호출을 받은 사람은 먼저 경고를 읽고 무엇이 고장 났는지, 누가 알아챘는지, 언제부터인지를 채널에 한 줄로 적습니다. 원인은 그다음에 찾습니다. 다시 시작한 서비스가 곧 이해한 서비스는 아니므로 다시 시작할 때마다 시각을 기록합니다. 휴가는 두 주 전에 신청합니다.", (150, 161, 160)),
    "turkish": ("Gece aranan kişi önce uyarıyı okur ve kanala bir satır yazar: ne bozuldu, kim fark etti ve ne zamandan beri. Nedeni ancak ondan sonra aranır. Yeniden başlatılan bir hizmet anlaşılmış bir hizmet değildir; bu yüzden her yeniden başlatma saatiyle birlikte not edilir. Yıllık izin iki hafta önceden istenir.", (128, 123, 156)),
    "vietnamese": ("Người được gọi vào ban đêm đọc cảnh báo trước rồi viết một dòng vào kênh: cái gì hỏng, ai nhận thấy và từ khi nào. Sau đó mới tìm nguyên nhân. Một dịch vụ đã khởi động lại chưa phải là một dịch vụ đã được hiểu, vì vậy mỗi lần khởi động lại đều được ghi giờ. Nghỉ phép phải xin trước hai tuần.", (220, 154, 166)),
    "emoji": ("Deploy done 🚀 all green ✅✅ — thanks team 🙏🎉! Two flaky tests ⚠️ remain 🐛🐛, fix on Monday 📅. Lunch? 🍕🍜🥗 Vote: 👍 / 👎 / 🤷. Status: 🟢 api, 🟡 search, 🔴 exports 😬", (88, 108, 126)),
}  # fmt: skip

#: (model, tokens, text): what was billed for the text less the frame of the message, by replies
#: recorded in github.com/pydantic/pydantic-ai, tests/models (usage of test_anthropic_opus_48_features,
#: test_anthropic_response_prefix, test_thinking_block_binding, test_anthropic_prompted_output).
BILLED = [
    ("claude-sonnet-4-20250514", 36, ' **rojo** (o "red" en inglés). Este es el valor hexadecimal para el color rojo puro en el espacio de color RGB.'),
    ("claude-sonnet-4-5-20250929", 13, '{"city": "Mexico City", "country": "Mexico"}'),
    ("claude-opus-4-8", 9, "2 + 2 = 4"),
    ("claude-fable-5-1", 35, "17 × 23 = 17 × 20 + 17 × 3 = 340 + 51 = **391**."),
    ("claude-opus-5-5", 48, "17 × 23 = **391**\n\n(17 × 20 = 340, plus 17 × 3 = 51, so 340 + 51 = 391.)"),
    ("claude-sonnet-5-5", 25, "**28,545,542**\n\n14,272,771 × 2 = 28,545,542"),
]  # fmt: skip

TEXT = st.text() | st.sampled_from([text[:200] for text, _ in COUNTED.values()])


@pytest.mark.parametrize("kind", COUNTED)
@pytest.mark.parametrize("number", [1, 2])
def test_a_short_text_of_any_kind_is_estimated_near_its_count(kind: str, number: int) -> None:
    text, counts = COUNTED[kind]
    assert 0.97 <= estimate_tokens(text, GENERATIONS[number]) / counts[number] <= 1.4


@pytest.mark.parametrize("number", [0, 1, 2])
def test_over_all_kinds_the_estimate_is_above_the_count_but_not_wasteful(number: int) -> None:
    estimated = sum(estimate_all([text for text, _ in COUNTED.values()], GENERATIONS[number]))
    assert 1.02 <= estimated / sum(counts[number] for _, counts in COUNTED.values()) <= 1.15


@pytest.mark.parametrize(("number", "tokens"), [(0, 56_482), (1, 59_626), (2, 78_087)])
def test_english_documents_are_estimated_high_by_at_most_fifteen_percent(
    number: int, tokens: int, handbook_texts: dict[str, str]
) -> None:
    # tokens is what the handbook's 43 Markdown files, 220,368 characters, count
    texts = [text for name, text in handbook_texts.items() if name.endswith(".md")]
    estimated = sum(estimate_all(texts, GENERATIONS[number]))
    assert 1.02 <= estimated / sum(map(len, texts)) * 220_368 / tokens <= 1.15


@pytest.mark.parametrize(("model", "tokens", "text"), BILLED)
def test_replies_are_estimated_near_what_they_were_billed(model: str, tokens: int, text: str) -> None:
    assert tokens - 2 <= estimate_tokens(text, model) <= 1.4 * tokens + 2


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("anthropic.claude-instant-v1", "claude-2"),
        ("anthropic.claude-v2:1", "claude-2"),
        ("claude-2.1", "claude-2"),
        ("anthropic.claude-3-haiku-20240307-v1:0", "claude-3"),
        ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", "claude-3"),
        ("anthropic.claude-sonnet-4-20250514-v1:0", "claude-3"),
        ("anthropic.claude-opus-4-1-20250805-v1:0", "claude-3"),
        ("us.anthropic.claude-opus-4-5-20251101-v1:0", "claude-3"),
        ("global.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-3"),
        ("arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-3"),
        ("claude-opus-4.6", "claude-3"),
        ("claude-opus-4-7", "claude-4-7"),
        ("claude-opus-4-10", "claude-4-7"),
        ("global.anthropic.claude-sonnet-5", "claude-4-7"),
        ("global.anthropic.claude-haiku-5-5", "claude-4-7"),
        ("claude-fable-5-1", "claude-4-7"),
        ("claude-opus-30", "claude-4-7"),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/mi1dadi0g15f", "claude-4-7"),
        ("amazon.nova-lite-v1:0", "claude-4-7"),
        ("", "claude-4-7"),
        (None, "claude-4-7"),
    ],
)  # fmt: skip
def test_the_tokenizer_is_told_from_the_models_id(model: str | None, expected: str) -> None:
    assert generation(model) == expected


def test_nothing_costs_nothing() -> None:
    assert [estimate_tokens("", model) for model in GENERATIONS] == [0, 0, 0]
    assert TokenCounter()("") == 0


@given(TEXT, TEXT, st.sampled_from(GENERATIONS))
def test_a_whole_costs_no_more_than_its_parts_but_for_the_seam(first: str, second: str, model: str) -> None:
    parts = estimate_tokens(first, model) + estimate_tokens(second, model)
    assert estimate_tokens(first + second, model) <= parts + JOIN


@given(TEXT, TEXT)
def test_a_longer_text_never_costs_less(first: str, second: str) -> None:
    assert 0 <= estimate_tokens(first) <= estimate_tokens(first + second)


@given(st.lists(TEXT.filter(bool), max_size=12))
def test_a_sum_over_pieces_is_never_below_the_joined_text_but_for_the_seams(pieces: list[str]) -> None:
    assert estimate_tokens("".join(pieces)) <= sum(estimate_all(pieces)) + JOIN * len(pieces)


@given(st.text(st.characters(codec=None, categories=None), max_size=40))
def test_every_character_has_a_cost(text: str) -> None:
    assert (len(text) > 0) <= estimate_tokens(text) <= 4 * len(text)


def test_a_text_longer_than_a_block_costs_the_same_as_in_one() -> None:
    text = "Leave is asked for two weeks ahead. " * 40_000
    once = estimate_tokens("Leave is asked for two weeks ahead. " * 20_000)
    assert abs(estimate_tokens(text) - 2 * once) <= JOIN + 1
    assert len(text) > 1 << 20


def replies(truth: float, noise: float, seed: int, count: int) -> list[tuple[int, int]]:
    """Make estimates and the usage of a model that counts `truth` times the estimate, give or take."""
    chance = random.Random(seed)
    estimates = [chance.randint(200, 20_000) for _ in range(count)]
    return [(e, round(e * truth * chance.gauss(1, noise))) for e in estimates]


@pytest.mark.parametrize("truth", [0.8, 1.0, 1.3])
def test_twenty_replies_teach_what_a_model_counts(truth: float) -> None:
    under, waste = [], []
    for seed in range(200):
        counter = TokenCounter("claude-sonnet-5-5")
        for estimated, actual in replies(truth, 0.02, seed, 20):
            assert counter.observe(estimated, actual)
        for estimated, actual in replies(truth, 0.02, 10_000 + seed, 20):
            counted = math.ceil(estimated * counter.calibration.ratio)
            under.append(counted < 0.98 * actual)
            waste.append(counted / actual - 1)
    assert sum(under) / len(under) <= 0.02
    assert sum(waste) / len(waste) < 0.10


def test_the_first_reply_leaves_a_margin_that_more_replies_take_away() -> None:
    counter = TokenCounter("claude-opus-5")
    assert counter.calibration == Calibration(0, 1.0)
    counter.observe(1000, 900)
    assert counter.calibration == Calibration(1, pytest.approx(0.9 * 1.1))
    for _ in range(99):
        counter.observe(1000, 900)
    assert counter.calibration == Calibration(64, pytest.approx(0.9 * (1 + 0.1 / 8)))


def test_no_reply_it_learned_from_would_be_counted_two_percent_too_low() -> None:
    counter = TokenCounter()
    for _ in range(40):
        counter.observe(10_000, 10_000)
    counter.observe(200, 300)
    assert counter.calibration.ratio == pytest.approx(0.98 * 1.5)


def test_a_long_reply_weighs_more_than_a_short_one() -> None:
    counter = TokenCounter()
    for estimated, actual in [(10_000, 9_000)] * 9 + [(200, 200)]:
        counter.observe(estimated, actual)
    assert counter.calibration.ratio == pytest.approx(max(0.9 * (1 + 0.1 / math.sqrt(10)), 0.98))
    assert counter("a " * 5000) < counter.estimate("a " * 5000)


@pytest.mark.parametrize(
    ("estimated", "actual"), [(0, 10), (99, 99), (1000, 0), (1000, 249), (1000, 4001), (-500, -500)]
)
def test_an_absurd_reply_teaches_nothing(estimated: int, actual: int) -> None:
    counter = TokenCounter()
    assert not counter.observe(estimated, actual)
    assert counter.calibration == Calibration(0, 1.0)


def test_the_ratio_stays_within_sane_bounds() -> None:
    low, high = TokenCounter(), TokenCounter()
    for _ in range(20):
        low.observe(1000, 260)
        high.observe(1000, 3900)
    assert (low.calibration.ratio, high.calibration.ratio) == (0.5, 2.5)


def test_what_was_learned_is_kept_by_model(tmp_path: Path) -> None:
    path = tmp_path / "kept" / "tokens.json"
    first = TokenCounter("claude-opus-5", path)
    first.observe(1000, 1200)
    TokenCounter("claude-opus-4-5", path).observe(1000, 800)
    assert (
        TokenCounter("claude-opus-5", path).calibration
        == first.calibration
        == Calibration(1, pytest.approx(1.32))
    )
    assert TokenCounter("claude-opus-4-5", path).calibration.ratio == pytest.approx(0.88)
    assert TokenCounter("claude-haiku-4-5", path).calibration.n == 0
    assert [file.name for file in path.parent.iterdir()] == ["tokens.json"]


@pytest.mark.parametrize(
    "damaged", ["", "{", "[]", '{"tables": 1}', '{"tables": 1, "models": 3}', "\x00\xff"]
)
def test_a_damaged_file_is_a_warning_and_is_started_anew(tmp_path: Path, damaged: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(damaged, "latin-1")
    with pytest.warns(UserWarning, match=r"tokens\.json holds no token calibration"):
        counter = TokenCounter("claude-opus-5", path)
    with pytest.warns(UserWarning, match="starts uncalibrated"):
        assert counter.observe(1000, 1200)
    assert TokenCounter("claude-opus-5", path).calibration.n == 1


def test_senseless_rows_of_a_file_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    rows = [[1000, 1200], [1000], "x", [1000, True], [1000, 99_999], [5, 5], None]
    path.write_text(json.dumps({"tables": 1, "models": {"m": rows, "other": "what"}}))
    assert TokenCounter("m", path).calibration.n == 1
    assert TokenCounter("other", path).calibration.n == 0


def test_what_other_tables_taught_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps({"tables": 0, "models": {"m": [[1000, 1200]]}}))
    assert TokenCounter("m", path).calibration == Calibration(0, 1.0)


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    counter = TokenCounter("m")
    counter.path = tmp_path / "file" / "tokens.json"
    with pytest.warns(UserWarning, match="kept for this process alone"):
        assert counter.observe(1000, 1200)
    assert counter.calibration.n == 1


def _observe_often(path: Path, model: str) -> None:
    counter = TokenCounter(model, path)
    for _ in range(25):
        counter.observe(1000, 1100)


def test_processes_and_threads_that_write_at_once_leave_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    start = multiprocessing.get_context("spawn").Process
    writers = [start(target=_observe_often, args=(path, f"m{number}")) for number in range(2)]
    writers += [threading.Thread(target=_observe_often, args=(path, f"t{number}")) for number in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    kept = json.loads(path.read_text())
    assert kept["tables"] == 1
    assert all(row == [1000, 1100] for rows in kept["models"].values() for row in rows)
    assert list(tmp_path.iterdir()) == [path]


def test_a_counter_survives_copying_and_fits_the_trimmer(tmp_path: Path) -> None:
    counter = TokenCounter("claude-opus-5", tmp_path / "tokens.json")
    counter.observe(1000, 1200)
    for twin in (copy.deepcopy(counter), pickle.loads(pickle.dumps(counter))):
        assert twin("Leave is asked for two weeks ahead.") == counter("Leave is asked for two weeks ahead.")
        assert twin.calibration == counter.calibration
    trimmer = BudgetTrimmer(budget=30, unit="tokens", count_tokens=counter)
    assert trimmer.size("Leave.") == counter("Leave.")
