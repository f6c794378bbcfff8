# make demo: install, train two runs on real digits, show what came out.   make test: install, run the quick tests.
# make test-slow: those of clusters, launchers, real processes, a browser and W&B's faults.   make mutants: docs/testing.md
PYTHON ?= python3
BIN := .venv/bin
DEMO := dataset=mnist_5k pruner=bayes_magnitude sparsity=0.5,0.9 epochs=10

.PHONY: demo test test-slow mutants lint lock clean

demo: .venv/installed
	$(BIN)/python train.py -m $(DEMO)
	@echo; echo "Each run has a folder with metrics.csv, summary.json and its weights:"; ls -d outputs/mnist_5k-fcn-bayes_magnitude-*

# Some tests start Python many times: its compiled modules are kept, also where the environment says otherwise.
# A few processes are enough: each imports torch, and each collects all tests. The second thread of some waits asleep.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest --dist worksteal

test: .venv/installed
	$(PYTEST) -m "not slow" --numprocesses auto --maxprocesses 4

# Twice as many processes as cores: these tests mostly wait for other processes.
test-slow: .venv/installed
	$(PYTEST) -m slow --numprocesses 4

# Bugs put into the core one at a time; prints those that no quick test notices. Takes more than two hours on two cores.
mutants: .venv/installed
	$(BIN)/python -m pip install --quiet mutmut==3.8.1
	OMP_NUM_THREADS=1 $(BIN)/mutmut run --max-children 2
	$(BIN)/mutmut export-cicd-stats && cat mutants/mutmut-cicd-stats.json
	$(BIN)/mutmut results

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

# The exact versions of requirements.lock, from whatever registry pip is set up to use. Done once; again if they change.
.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

lock:
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --no-header --no-emit-index-url \
		--quiet --output-file requirements.lock

clean:
	rm -rf .venv
