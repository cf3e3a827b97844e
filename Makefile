# Two commands do everything: `make demo` and `make test`. They need Python 3.11 or newer and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PEERS := .venv-peers
ADAPTERS := .venv-adapters
PRETRAINED := .venv-pretrained
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo mlflow lint quick test docs pictures notebooks thorough slow mutants cluster adapters adapters-libraries adapters-pretrained benchmarks bench-peers format clean

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/ -/'

$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	$(BIN)/tsforecast compile
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP) --editable '.[test]'
	touch $@

demo: $(VENV)/installed  ## Compare networks with naive forecasts on two datasets; results in demo/
	$(BIN)/tsforecast leaderboard co2-weekly --out demo/co2-weekly
	$(BIN)/tsforecast leaderboard elnino-monthly --out demo/elnino-monthly

mlflow: $(VENV)/installed  ## Show the runs in mlflow.db at http://127.0.0.1:5000, and take those of other machines
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(BIN)/mlflow server --backend-store-uri sqlite:///mlflow.db --default-artifact-root mlartifacts --host 127.0.0.1

lint: $(VENV)/installed-test  ## Check style, types and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# Processes that tests start need not compile the package again, and assertions are prepared once.
quick test thorough: export PYTHONDONTWRITEBYTECODE :=

# Tests of MLflow are none of these, and loading it takes seconds; so does preparing assertions to show their values, as
# `pytest --last-failed` does for those that failed.
quick: $(VENV)/installed-test  ## Run the short tests that need no other process, each on one model of a kind, in some 90 seconds
	$(BIN)/python -m pytest -m "not slow and not adapters and not ray and not browser and not mlflow and not process and not thorough and not cluster and not long" \
		--hypothesis-profile few --assert plain --numprocesses 2 --dist loadfile --durations 12 --durations-min 0.6 \
		--ignore tests/tracking --ignore tsforecast/tracking

# Three workers on two cores: tests that start processes wait for these.
test: lint  ## Check style, types and the import contract, run each test on one model of a kind, in some ten minutes
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

$(VENV)/installed-docs: $(VENV)/installed-test
	$(PIP) --editable '.[docs]'
	touch $@

docs: $(VENV)/installed-docs  ## Build the documentation into site/, with its links checked, and run its examples
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/python -m pytest --quiet tests/test_docs.py tests/test_readme.py

pictures: $(VENV)/installed-docs  ## Make the pictures of reports on the pages again, in Chromium
	$(BIN)/python docs/pictures.py

notebooks: $(VENV)/installed-docs  ## Execute the tutorials again, and keep their output
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python docs/notebooks.py

thorough: $(VENV)/installed-test  ## Run the same tests on all other models, and with more draws, in some ten minutes
	$(BIN)/python -m pytest -m "thorough and not slow and not adapters" --numprocesses 2 --dist loadfile

slow: $(VENV)/installed-test  ## Run the longer checks
	$(BIN)/python -m pytest -m slow
	$(BIN)/python -m pytest --hypothesis-profile explore tests/data tests/leakage

mutants: $(VENV)/installed-test  ## Read 2,000 damaged files: each is read, or refused with one message, in some three minutes
	$(BIN)/python -m pytest -m slow tests/test_cli_mutants.py

cluster: $(VENV)/installed-test  ## Kill workers, nodes and drivers, some at random moments, and run the page on scale, in some ten minutes
	$(BIN)/python -m pytest -m cluster

$(ADAPTERS)/installed: pyproject.toml tests/adapters/requirements.txt
	test -x $(ADAPTERS)/bin/python || $(PYTHON) -m venv $(ADAPTERS)
	$(ADAPTERS)/bin/python -m pip install --quiet --disable-pip-version-check --editable . --requirement tests/adapters/requirements.txt
	touch $@

$(PRETRAINED)/installed: pyproject.toml tests/adapters/requirements-pretrained.txt tests/adapters/requirements-alone.txt
	test -x $(PRETRAINED)/bin/python || $(PYTHON) -m venv $(PRETRAINED)
	$(PRETRAINED)/bin/python -m pip install --quiet --disable-pip-version-check --editable . --requirement tests/adapters/requirements-pretrained.txt
	$(PRETRAINED)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement tests/adapters/requirements-alone.txt
	touch $@

adapters: adapters-libraries adapters-pretrained  ## Compare models of other libraries, and ours within them, with the libraries

# Some of these libraries install a package of the name tests, which the configuration of these tests must not meet.
adapters-libraries: $(ADAPTERS)/installed  ## The same for StatsForecast, sktime, Darts, MLForecast, skforecast and NeuralForecast, in an environment of their own
	$(ADAPTERS)/bin/python -m pytest --noconftest -m adapters tests/adapters/test_libraries.py tests/adapters/test_sktime_forecaster.py \
		tests/adapters/test_window_regressor.py tests/adapters/test_fev.py tests/adapters/test_past_covariates.py \
		tests/adapters/test_metrics_elsewhere.py tests/adapters/test_foreign_leaks.py \
		tests/adapters/test_hierarchical.py

# LightGBM may wait for ever for its threads in a process where torch has some, on a busy machine.
adapters-pretrained: $(PRETRAINED)/installed  ## The same for GluonTS, AutoGluon and pretrained models, in another environment
	OMP_NUM_THREADS=1 $(PRETRAINED)/bin/python -m pytest --noconftest -m adapters tests/adapters/test_gluonts.py tests/adapters/test_autogluon.py tests/adapters/test_pretrained.py \
		tests/adapters/test_metrics_gluonts.py

benchmarks: $(VENV)/installed  ## Measure memory and speed of the data core, leaks, and accuracy again (hours)
	$(BIN)/python benchmarks/windows.py
	$(BIN)/python benchmarks/leaks.py
	$(BIN)/python benchmarks/audit.py
	$(BIN)/python benchmarks/optimism.py
	$(BIN)/python benchmarks/plan.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/conformal.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/distributions.py
	$(BIN)/python benchmarks/tracking.py
	$(BIN)/python benchmarks/monitoring.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/anomalies.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/drift.py
	$(BIN)/python benchmarks/naive_bound.py --seeds 3
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/fit_speed.py
	$(BIN)/python benchmarks/together.py
	$(BIN)/python benchmarks/convolution_speed.py
	$(BIN)/python benchmarks/ragged_speed.py
	$(BIN)/python benchmarks/quotes.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/executors.py
	$(BIN)/python benchmarks/kills.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/verdicts.py
	$(BIN)/python benchmarks/accuracy.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/hierarchies.py
	$(BIN)/python benchmarks/gestures.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/streaming.py
	$(BIN)/python benchmarks/sensors.py
	$(BIN)/python benchmarks/tables.py

$(PEERS)/installed: benchmarks/peers.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/peers.txt
	touch $@

bench-peers: $(VENV)/installed $(PEERS)/installed  ## Compare searches, reading, fits and forecasts with other libraries, in an environment of their own
	$(BIN)/python benchmarks/search.py --peer $(PEERS)/bin/python
	$(BIN)/python benchmarks/peers.py --peer $(PEERS)/bin/python
	$(BIN)/python benchmarks/reading.py --peer $(PEERS)/bin/python
	$(BIN)/python benchmarks/tables.py

format: $(VENV)/installed-test  ## Bring the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove what the other targets made
	rm -rf $(VENV) $(PEERS) $(ADAPTERS) $(PRETRAINED) demo site build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
