"""Any bytes at all: `check` ends with 0, 2 or 3, never as a bug of ours."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightune.cli.main import main

ROWS = [(f"a review, with number {number}", ("negative", "positive")[number % 2]) for number in range(12)]
VALID = {
    "csv": ("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in ROWS)).encode(),
    "tsv": ("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS)).encode(),
    "jsonl": "".join(f'{{"text": "{text}", "label": "{label}"}}\n' for text, label in ROWS).encode(),
}
# What breaks files, beside random bytes.
PIECES = [
    *[b'"', b",", b"\n", b"\r", b"\t", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"{", b"}", b"[1]", b"null"],
    *[b"NaN", b"1e999", b"\\ud800", b"\\u0000", b"0.5", b"true", b"''", b"text", b"label", b"\xc2\x85", b"9" * 400],
]
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 30), st.one_of(st.sampled_from(PIECES), st.binary(max_size=8))),
    max_size=6,
)


def mutated(data: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """Replace stretches of the data: (where, as a share of its length; how many bytes; by what)."""
    for share, length, piece in edits:
        start = int(share * len(data))
        data = data[:start] + piece + data[start + length :]
    return data


FILES = st.sampled_from(sorted(VALID)).flatmap(
    lambda kind: st.tuples(
        st.just(kind), st.one_of(st.builds(mutated, st.just(VALID[kind]), EDITS), st.binary(max_size=200))
    )
)


@pytest.mark.usefixtures("hashed_once")
@pytest.mark.parametrize("examples", [200, pytest.param(2000, marks=pytest.mark.long)])
def test_whatever_a_file_holds_it_is_read_or_refused(examples: int, tmp_path: Path):
    @settings(max_examples=examples, suppress_health_check=[HealthCheck.too_slow])
    @given(file=FILES, as_json=st.booleans())
    def holds(file: tuple[str, bytes], as_json: bool) -> None:
        path = tmp_path / f"data.{file[0]}"
        path.write_bytes(file[1])
        # Encoded as a terminal's output is: half a character could not be written.
        out, said = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
            status = main(["check", str(path), *(["--json"] if as_json else [])])
        said.seek(0)
        assert status in {0, 2, 3}, said.read()
        assert "Traceback" not in said.read()

    holds()
