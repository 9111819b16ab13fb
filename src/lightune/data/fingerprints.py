"""Recognising texts: their normal form, and a fingerprint of it, which is stored where no text may be.

Two texts are the same when they are equal after case folding, with single spaces, without punctuation at the ends and
without invisible characters, in Unicode NFC.

A fingerprint is 8 bytes of BLAKE2b, so that files larger than memory can be compared: of ten million texts, two
different ones share one with a probability of 3e-6.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightune.durable import write_file
from lightune.errors import ArtifactError
from lightune.tensor_headers import read_headers
from lightune.values.lookalikes import is_unseen

FINGERPRINTS_FILE = "fingerprints.safetensors"
# The name of its only tensor. Another normal form needs another name, or no text would be recognised.
TENSOR = "normal_form_1"
KEY_BYTES = 32
# Characters at the ends that do not make texts different. No brackets: ":)" and ":(" are different texts.
ENDS = " .,;:!?…\"'“”‘’«»„¿¡–—-。！？、，"

Values = NDArray[np.uint64]


def folded_words(text: str) -> list[str]:
    """Return the words of a text, case-folded; spaces between them and invisible characters do not count."""
    if not (text.isascii() and text.isprintable()):
        text = unicodedata.normalize("NFC", "".join(character for character in text if not is_unseen(character)))
    return text.casefold().split()


def normal_form(words: Sequence[str]) -> str:
    """Return the form in which folded words are compared; a text of only punctuation stays as it is."""
    text = " ".join(words)
    return text.strip(ENDS) or text


def fingerprint(texts: Sequence[str], key: bytes = b"") -> int:
    """Return 8 bytes of BLAKE2b of a text or of the parts of a pair, as a number; keyed, when there is a key."""
    return int.from_bytes(blake2b("\0".join(texts).encode(), digest_size=8, key=key).digest(), "little")


def among(values: Values, ordered: Values) -> NDArray[np.bool_]:
    """Say which values are among the ordered ones; np.isin would take several times the memory."""
    if not len(ordered):
        return np.zeros(len(values), bool)
    places = np.searchsorted(ordered, values)
    places[places == len(ordered)] = 0
    return ordered[places] == values


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Keyed fingerprints of the texts that a model was trained or validated on, sorted, each once.

    No text can be read from them, and without the key they reveal nothing. But the key is stored beside them. So anyone
    who has a text, or guesses it, can test whether it was used. A short text, or one of few likely texts, can be found
    by trying. Other data gives another key: fingerprints of two runs cannot be compared, and a table of hashes that was
    computed in advance does not match them.
    """

    key: bytes
    values: Values

    @classmethod
    def of(cls, texts: Iterable[Sequence[str]], secret: str) -> Fingerprints:
        """Return the fingerprints of texts, one or two parts each; the key depends only on `secret`."""
        key = blake2b(secret.encode(), digest_size=KEY_BYTES, person=b"lightune texts").digest()
        return cls(key, np.unique(_values(texts, key)))

    def known(self, texts: Iterable[Sequence[str]]) -> NDArray[np.bool_]:
        """Say of each text, one or two parts each, whether its normal form is among the fingerprints."""
        return among(_values(texts, self.key), self.values)

    def write(self, folder: Path) -> None:
        """Write the file: the same bytes for the same texts and key."""
        from safetensors.numpy import save

        # Only one metadata entry: the order of several is not fixed.
        write_file(folder / FINGERPRINTS_FILE, save({TENSOR: self.values}, metadata={"key": self.key.hex()}))


def read_fingerprints(folder: Path) -> Fingerprints:
    """Read the file of a folder; ArtifactError when it holds anything but what `write` writes."""
    from safetensors import SafetensorError, safe_open

    path = folder / FINGERPRINTS_FILE
    try:
        if set(read_headers(path)) != {TENSOR}:
            raise ValueError("not one tensor of them")
        with safe_open(path, "numpy") as file:
            key, values = bytes.fromhex((file.metadata() or {})["key"]), file.get_tensor(TENSOR)
    except (SafetensorError, ArtifactError, OSError, KeyError, ValueError) as error:
        raise _unusable(path, str(error)) from error
    is_ordered = values.dtype == np.uint64 and values.ndim == 1 and bool((values[1:] > values[:-1]).all())
    if not is_ordered or len(key) != KEY_BYTES:
        raise _unusable(path, f"not ordered fingerprints with a key of {KEY_BYTES} bytes")
    return Fingerprints(key, values)


def _values(texts: Iterable[Sequence[str]], key: bytes) -> Values:
    forms = ([normal_form(folded_words(part)) for part in text] for text in texts)
    return np.fromiter((fingerprint(form, key) for form in forms), np.uint64)


def _unusable(path: Path, reason: str) -> ArtifactError:
    hint = "Use the version of lightune that wrote it, or a newer one; or restore the folder from a copy."
    return ArtifactError("ARTIFACT-016", f"{path}: these fingerprints cannot be used ({reason}).", hint)
