"""Say how far the runs of a grid are: the same overrides as train.py -m takes, nothing is trained.

python scripts/status.py experiment=table1
python scripts/status.py pruner=bayes_magnitude sparsity=0.5,0.9
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout's package, installed or not

from bayes_pruning.cli import main

if __name__ == "__main__":
    sys.argv = [sys.argv[0], "-m", "hydra/launcher=status", *sys.argv[1:]]
    main()
