"""The commands, links and Python of README, CONTRIBUTING and docs, and a folder with the files that they name."""

from __future__ import annotations

import csv
import itertools
import json
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from tiny import BAD, GOOD, sentences, write_csv

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
# In the order to read them, as docs/README.md has it.
GUIDE = ("README.md", "docs/first_model.md", "docs/own_data.md", "docs/choosing_a_method.md",
         "docs/understanding_the_report.md", "docs/using_the_result.md", "docs/limited_hardware.md", "docs/scaling.md",
         "docs/how_it_works.md", "CONTRIBUTING.md")  # fmt: skip
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(lightune\s+-{0,2}[a-z][^`]*)`")
IN_LINE_OF_TEXT = re.compile(r"(?:^\s*|[|>]\s+|\s{2,})(lightune [a-z].*)$")
LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Command:
    """A command line of lightune, its page, and whether a reader would type it as it stands."""

    page: str
    line: str
    typed: bool

    @property
    def arguments(self) -> list[str]:
        """The words behind `lightune`, without a redirection and what is before a pipe."""
        behind = self.line[re.search(r"(?:^|\s)lightune ", self.line).end() :]  # type: ignore[union-attr]
        return shlex.split(behind.partition(" > ")[0])


def all_pages() -> list[Path]:
    """Return every page of the tree that git has; notes of experiments too."""
    return sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def text_of(name: str) -> str:
    """Return the text of a page by its path in the tree."""
    return (ROOT / name).read_text(encoding="utf-8")


def commands(name: str) -> Iterator[Command]:
    """Yield the commands of a page in order: typed ones from blocks of sh and indented lines, others from all else."""
    text = text_of(name)
    prose = FENCE.sub("", text)
    for language, block in FENCE.findall(text):
        if language == "sh":
            yield from (
                Command(name, line, True) for line in map(without_comment, block.splitlines()) if _is_ours(line)
            )
        elif language in ("", "text"):
            found = (IN_LINE_OF_TEXT.search(line) for line in block.splitlines())
            yield from (Command(name, without_comment(match[1]), False) for match in found if match)
    for line in prose.splitlines():
        if line.startswith("    lightune "):
            yield Command(name, without_comment(line.strip()), True)
    yield from (Command(name, " ".join(found.split()), False) for found in INLINE.findall(prose))


def without_comment(line: str) -> str:
    """Return a line of shell without the comment behind it."""
    return re.sub(r"\s+# .*", "", line).strip()


def _is_ours(line: str) -> bool:
    return re.search(r"(^|\| )lightune ", line) is not None


def python_blocks(name: str) -> list[str]:
    """Return the Python of a page, block by block."""
    return [block for language, block in FENCE.findall(text_of(name)) if language == "python"]


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Yield (path, anchor) of every link of a page that leads into the tree."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        if not target.startswith(("https://", "http://")):
            path, _, anchor = target.partition("#")
            yield path, anchor


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        kept = (sign for sign in words if sign in " -_" or unicodedata.category(sign)[0] in "LN")
        anchor = "".join(kept).replace(" ", "-")
        again = next(
            number for number in itertools.count() if (anchor if not number else f"{anchor}-{number}") not in found
        )
        found.add(f"{anchor}-{again}" if again else anchor)
    return found


def lay_out(folder: Path, rows: int) -> None:
    """Write the files that the pages name, of this many rows each: my.csv, train.csv, reviews.csv, moods.csv, ..."""
    stars = {"negative": ("1", "2"), "positive": ("4", "5")}
    drawn = [(*one, stars[one[1]][at // 2 % 2]) for at, one in enumerate(sentences(3 * rows, seed=3))]
    for number, names in enumerate((("train", "my"), ("test",), ("reviews",))):
        for name in names:
            write_csv(folder / f"{name}.csv", drawn[number * rows : (number + 1) * rows], ("text", "label", "stars"))
    (folder / "data").mkdir()
    for name in ("train", "test"):
        (folder / "data" / f"{name}.csv").write_bytes((folder / f"{name}.csv").read_bytes())
    texts = [text for text, _ in sentences(2 * rows, seed=12)]
    kinds = {"anger": BAD, "fear": ["film", "story", "waiter"], "joy": GOOD}
    labels = [[kind for kind, words in kinds.items() if set(words) & set(text.split())] for text in texts]
    lines = [json.dumps({"text": text, "labels": found}) for text, found in zip(texts, labels, strict=True)]
    (folder / "intents.jsonl").write_text("\n".join(lines[:rows]), encoding="utf-8")
    (folder / "more.jsonl").write_text("\n".join(lines[rows:]), encoding="utf-8")
    flags = [(text, *(int(kind in found) for kind in kinds)) for text, found in zip(texts, labels, strict=True)]
    write_csv(folder / "moods.csv", flags, ("text", *kinds))
    pairs = [(text, other, abs(len(text) - len(other)) / 10) for text, other in itertools.pairwise(texts)]
    write_csv(folder / "pairs.csv", pairs[:rows], ("sentence1", "sentence2", "score"))
    write_csv(folder / "pairs_test.csv", pairs[rows:], ("sentence1", "sentence2", "score"))


def few_reviews(folder: Path, rows: int) -> Path:
    """Write the first embedded reviews of each split, and what it takes to have each topic five times, in a folder."""
    (folder / "reviews").mkdir(parents=True)
    for path in (resources.files("lightune.data") / "reviews").iterdir():
        if path.name.endswith(".csv"):
            with path.open(encoding="utf-8", newline="") as source:
                header, *found = csv.reader(source)
            seen: Counter[str] = Counter()
            kept = []
            for number, row in enumerate(found):
                topics = row[header.index("topics")].split("|")
                if number < rows or any(seen[topic] < 5 for topic in topics):
                    kept.append(tuple(row))
                    seen.update(topics)
            write_csv(folder / "reviews" / path.name, kept, tuple(header))
    return folder
