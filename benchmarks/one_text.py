"""The time for one text, against transformers' pipeline, both loaded and warmed up.

python -m benchmarks.one_text [--texts FILE] [--json]
"""

from __future__ import annotations

from transformers import pipeline

from benchmarks.bulk import answered
from benchmarks.measuring import Row, in_turn, load_for, load_texts, parser, show


def main() -> None:
    """Measure MiniLM on 40 texts a round, one after the other."""
    given = parser(__doc__, rounds=7).parse_args()
    source, texts, _ = load_texts(given.texts, 40)
    loaded = load_for("minilm", device=given.device)
    model = loaded.model.eval()
    classify = pipeline("text-classification", model=model, tokenizer=loaded.tokenizer, device=model.device)

    def peer() -> None:
        for text in texts:
            classify(text)

    def ours() -> None:
        for text in texts:
            answered(model, loaded, [text])

    seconds = in_turn({"pipeline": peer, "pipeline, again": peer, "lightune": ours}, given.rounds)
    show([Row("one text at a time, minilm", "texts", source, seconds, len(texts))], given.json)


if __name__ == "__main__":
    main()
