"""Train one run, or with -m a sweep of runs, and prune them while they train.

    python train.py                                                  one run, the defaults of conf/config.yaml
    python train.py -m pruner=bayes_magnitude sparsity=0.5,0.9       a sweep
    python train.py --help                                           every setting and its choices

Each run leaves a folder under outputs/; the same command again skips what is finished and goes on with what is not.
"""

from bayes_pruning.cli import main

if __name__ == "__main__":
    main()
