"""Evaluation on a golden set: metrics with their uncertainty, comparisons, and sweeps over settings.

>>> from rag.evaluation import compare, evaluate, sweep
>>> evaluation = evaluate(rag.Pipeline("indexes/handbook"), "data/golden.jsonl")   # doctest: +SKIP
>>> print(evaluation.metrics["recall@4000"])                                       # doctest: +SKIP
0.905 [0.867, 0.939]
"""

# None of these modules imports the pipeline, LangChain or matplotlib before a function needs it.
from rag.evaluation.answers import AnswersEvaluation, evaluate_answers
from rag.evaluation.answers_compared import AnswersCompared
from rag.evaluation.compare import compare
from rag.evaluation.compare_answers import compare_answers, compare_prompts
from rag.evaluation.differences import Comparison, Difference
from rag.evaluation.evaluate import Evaluation, evaluate
from rag.evaluation.golden_set import Question, Span, read
from rag.evaluation.sweep import Sweep, sweep

__all__ = [
    "AnswersCompared", "AnswersEvaluation", "Comparison", "Difference", "Evaluation", "Question", "Span",
    "Sweep", "compare", "compare_answers", "compare_prompts", "evaluate", "evaluate_answers", "read", "sweep",
]  # fmt: skip
