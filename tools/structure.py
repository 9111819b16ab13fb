"""Write docs/structure.md: every file of the project with the first line of its own description.

python tools/structure.py            # writes the page
python tools/structure.py --check    # says whether it is up to date (exit status 1 if not)
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "structure.md"

# Files that cannot describe themselves in a docstring.
CAPTIONS = {
    ".ci/run": "Continuous integration: lint, tests and the wheel on a fresh clone.",
    ".gitignore": "What git ignores.",
    "src/lightune/methods/costs.json": "What each method costs beside LoRA; made by `python -m benchmarks.methods`.",
    "src/lightune/methods/support.json": "Which method works on which architecture; made by tools/methods.py.",
    "CHANGELOG.md": "What changed, by version.",
    "CONTRIBUTING.md": "How to set up, test and propose a change.",
    "LICENSE": "MIT.",
    "Makefile": "`make run`, `make test`, `make check`.",
    "NOTICE": "Licences of the software that lightune uses and embeds.",
    "README.md": "What lightune is, how to use it, and its results.",
    "SECURITY.md": "What is never done (pickle, remote code), and how to report a vulnerability.",
    "constraints.txt": "Every package version that was tested together.",
    "docs/performance.cuda.json": "The same on a GPU; made by `python -m benchmarks --device cuda`.",
    "docs/architectures.json": "The figures of every architecture; made by `python -m benchmarks.every_architecture`.",
    "docs/results.md": "The first experiment: four methods beside the Trainer, three seeds.",
    "docs/seed_experiment.json": "The figures behind results.md; made by `python -m benchmarks.seed_experiment`.",
    "docs/settings.jsonl": "Settings tried on larger models; made by `python -m benchmarks.defaults`.",
    "docs/performance.json": "The figures behind performance.md; made by `make benchmark`.",
    "docs/performance.svg": "The plot of performance.md; made by `python -m benchmarks`.",
    "docs/notebook.ipynb": "A first run from Python, in a notebook.",
    "pyproject.toml": "Package metadata and the settings of every tool.",
    "src/lightune/py.typed": "Says that the package is typed (PEP 561).",
    "src/lightune/data/reviews/train.csv": "2,000 review sentences of this project: text, label, kind, topics, stars.",
    "src/lightune/data/reviews/validation.csv": "500 more, for validation.",
    "src/lightune/data/reviews/test.csv": "1,500 more, for the test.",
    "src/lightune/recipes/default.yaml": "What other data or another model is trained with, where nothing is stated.",
    "src/lightune/recipes/quickstart.yaml": "The embedded model on the embedded reviews.",
    "src/lightune/recipes/rotten-tomatoes.yaml": "The usual tutorial: DistilBERT, LoRA, Rotten Tomatoes.",
    "src/lightune/recipes/rotten-tomatoes-tuned.yaml": "The same budget with settings of our own.",
    "src/lightune/report/templates/report.html.j2": "The HTML report.",
    "src/lightune/report/templates/report.css": "The page's style: light, dark, phone, print.",
    "src/lightune/report/templates/labels.html.j2": "The HTML report's figures per label.",
    "src/lightune/report/templates/confusion.html.j2": "The HTML report's confusion matrices.",
    "src/lightune/report/templates/calibration.html.j2": "The HTML report's plots of probabilities and their numbers.",
    "src/lightune/report/templates/label_sets.html.j2": "The HTML report's labels that go together, and how many.",
    "src/lightune/report/templates/wrong_sets.html.j2": "The HTML report's most wrong sets of labels.",
    "src/lightune/report/templates/numbers.html.j2": "The HTML report's figures and plots of predicted numbers.",
    "src/lightune/report/templates/errors.html.j2": "The HTML report's largest errors of predicted numbers.",
    "src/lightune/recipes/topics.yaml": "Several labels a text: what the embedded reviews praise or blame.",
    "src/lightune/recipes/stars.yaml": "A number a text: how satisfied the writers of the embedded reviews are.",
    "src/lightune/report/templates/wrong.html.j2": "The HTML report's most confident mistakes.",
    "src/lightune/report/templates/card.md.j2": "The model card.",
}


def tracked() -> list[str]:
    """Return the files git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(name for name in set(names) if (ROOT / name).is_file())


def caption(name: str) -> str:
    """Return a file's own first line: of the docstring, of the page's heading, or from CAPTIONS."""
    path = ROOT / name
    if name in CAPTIONS:
        return CAPTIONS[name]
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        return text.split("\n\n")[0].replace("\n", " ")
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
    return {".png": "A picture.", ".svg": "A picture."}.get(path.suffix, "")


def page() -> str:
    """Return the page: a table for each folder."""
    lines = ["# Structure", "", "Every file, with its own first line. Made by `python tools/structure.py`.", ""]
    folder = None
    for name in sorted(tracked(), key=lambda name: (str(Path(name).parent), name)):
        parent = str(Path(name).parent)
        if parent != folder:
            folder = parent
            lines += ["", f"## {'The root' if parent == '.' else parent}", "", "| file | what it is |", "| --- | --- |"]
        lines.append(f"| [{Path(name).name}](../{name}) | {caption(name).replace('|', chr(92) + '|')} |")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def main() -> int:
    """Write the page, or check it."""
    if "--check" in sys.argv:
        current = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
        return 0 if current == page() else 1
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
