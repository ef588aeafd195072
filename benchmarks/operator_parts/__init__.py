"""What the benchmarks of the running operator share: a stage to run it on, its writes, what everybody used."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "harness"))
