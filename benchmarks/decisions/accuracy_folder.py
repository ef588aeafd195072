"""Makes the modules of ``benchmarks/accuracy`` importable: the fits and splits there are those that decisions use."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "accuracy"))
