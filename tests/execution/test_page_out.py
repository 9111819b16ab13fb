"""Memory that is given back to the system: no value is lost, and what a file can give again takes none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lightune.execution.page_out import release

SIZE = 4_000_000


def test_no_value_is_lost_whether_it_was_read_or_changed(tmp_path: Path) -> None:
    wanted = torch.randn(SIZE)
    save_file({"weight": wanted}, tmp_path / "a.safetensors")
    found = load_file(tmp_path / "a.safetensors")["weight"]
    found[1000:500_000] = wanted[1000:500_000] = 7.0
    release(found)
    assert torch.equal(found, wanted)
    assert torch.equal(load_file(tmp_path / "a.safetensors")["weight"][:1000], wanted[:1000])


def test_tensors_without_a_file_or_a_whole_page_stay_as_they_are() -> None:
    for values in (torch.randn(SIZE), torch.randn(3), torch.randn(0), torch.randn(64, 64).t()):
        wanted = values.clone()
        release(values)
        assert torch.equal(values, wanted)


@pytest.mark.skipif(sys.platform != "linux", reason="what is resident is read from /proc")
def test_what_was_read_from_a_file_takes_no_memory_afterwards(tmp_path: Path) -> None:
    save_file({"weight": torch.randn(SIZE)}, tmp_path / "a.safetensors")
    found = load_file(tmp_path / "a.safetensors")["weight"]
    before = resident()
    found.sum()
    if resident() - before < SIZE:
        pytest.skip("this folder's files lie in memory, or the file was read whole")
    release(found)
    assert resident() - before < SIZE


def resident() -> int:
    """Return the bytes of this process that stand in memory and in a file."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssFile:"))
