"""Make tests/fixtures/runs.tar.gz: small real runs (mnist_5k, three epochs) that drive the tests of all scripts.

    python benchmarks/make_fixture.py

Trains the sweep SWEEP into a temporary folder and keeps what the scripts read of each run. Takes about a minute.
"""

import argparse
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIXTURE = ROOT / "tests" / "fixtures" / "runs.tar.gz"
KEPT = ("metrics.csv", "summary.json", ".hydra/config.yaml", ".hydra/overrides.yaml")
SWEEP = [
    "dataset=mnist_5k",
    "epochs=3",
    "pruner=none,random,bayes_random,magnitude,bayes_magnitude",
    "sparsity=0.5,0.9",
    "seed=range(0,2)",
    "wandb.mode=disabled",
    "device=cpu",
    "hydra/launcher=basic",
]


def main() -> None:
    """Train, then pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FIXTURE, help=f"default: {FIXTURE.relative_to(ROOT)}")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        subprocess.run([sys.executable, "train.py", "-m", *SWEEP, f"output_dir={runs}"], cwd=ROOT, check=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(out, "w:gz") as archive:
            for name in KEPT:
                for path in sorted(runs.glob(f"*/{name}")):
                    archive.add(path, path.relative_to(runs))
    print(f"{out}: {out.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
