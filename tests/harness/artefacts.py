"""A small real network to serve: Google's Magika, which tells the type of a file from its first and last bytes.

3 MB of ONNX, a few milliseconds on one core, Apache-2.0. It ships in the package ``magika``, from which only the
network and the names of its classes are taken.
"""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt

import cache
import interpreters
from progress import Step

LOCK = interpreters.REQUIREMENTS / "artefacts.txt"
NETWORK = Path("magika/models/standard_v3_3")

INPUT, OUTPUT = "bytes", "target_label"
"""Names of the network's tensors: INT32 [batch, 2048] → FP32 [batch, 214], probabilities."""

EDGE_BYTES = 1024
READ_BYTES = 4096
PADDING = 256
SPACE = b" \t\n\r\x0b\x0c"


@dataclasses.dataclass(frozen=True)
class FileTypes:
    """The network's folder, as a version directory of Triton holds it, and what its classes are called."""

    folder: Path
    labels: tuple[str, ...]

    def best(self, probabilities: npt.NDArray[np.float32]) -> list[tuple[str, float]]:
        """The likeliest class of each row of [batch, 214], with its probability."""
        return [(self.labels[row.argmax()], float(row.max())) for row in probabilities]


def file_types() -> FileTypes:
    """Fetched on the first call (16 MB); kept in the cache as ``model.onnx`` and ``classes.json``."""
    folder = cache.kept(f"artefacts/file-types-{cache.key(LOCK.read_bytes())}", _fetch)
    return FileTypes(folder, tuple(json.loads((folder / "classes.json").read_text())))


def tokens(content: bytes) -> npt.NDArray[np.int32]:
    """The network's input for a file of this content: [1, 2048], its first and last 1024 bytes without outer space.

    As in magika 1.0.3, ``Magika._extract_features_from_seekable``; shorter files are padded with 256.
    """
    first = content[:READ_BYTES].lstrip(SPACE)
    last = content[-READ_BYTES:].rstrip(SPACE)
    if len(content) <= READ_BYTES:
        first = last = content.strip(SPACE)
    row = np.full(2 * EDGE_BYTES, PADDING, dtype=np.int32)
    beginning, end = first[:EDGE_BYTES], last[-EDGE_BYTES:]
    row[: len(beginning)] = list(beginning)
    row[len(row) - len(end) :] = list(end)
    return row[None, :]


def put(folder: Path) -> None:
    """Copy the network into ``folder``, for example a claim's, as Triton wants a version directory."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file_types().folder / "model.onnx", folder / "model.onnx")


def _fetch(folder: Path) -> None:
    package = folder.with_name("package")
    with Step("fetching a small real network (16 MB)"):
        interpreters.unpack(LOCK, package)
    folder.mkdir()
    (package / NETWORK / "model.onnx").rename(folder / "model.onnx")
    classes = json.loads((package / NETWORK / "config.min.json").read_text())["target_labels_space"]
    (folder / "classes.json").write_text(json.dumps(classes))
