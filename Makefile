# make demo   environment, then two conversions with no network: of a small trained model, and of a model of published size
# make test   environment, then the unit tests and a handful of commands
# The rest: make test-full (all other commands, and models of published size), make lint, make compat (transformers 4.57), make browser (the report in the MLflow UI), make server (a
# team's tracking server), make scale and make ray (launchers), make faults (bad input), make fuzz, make docs (the site), make dist (wheel and sdist), make bench, make clean.

PYTHON ?= python3
BIN := .venv/bin
COMPAT := .venv-compat/bin
DEMO := outputs/models/ast-finetuned-audioset-16-16-0.442
CLIPS := outputs/sounds
SOUNDS := outputs/models/sounds
# Only a few thousand of the twenty thousand modules are ever imported; these are compiled on import.
INSTALL := install --quiet --no-compile
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
# Set in many containers. It would make every process compile torch and transformers again: five seconds each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-full lint compat browser server scale ray faults fuzz docs dist bench clean

demo: $(SOUNDS) $(DEMO)
	@echo "The converted models are in $(SOUNDS) and $(DEMO). To convert them again: rm -r $^ && make demo"

$(CLIPS)/eval.json: examples/sounds/sounds.py | .venv/ready
	$(BIN)/python examples/sounds/sounds.py $(CLIPS)

$(SOUNDS): | $(CLIPS)/eval.json
	@echo "A small model trained to distinguish ten kinds of sounds, proved over 200 clips that were not used in training"
	$(BIN)/python convert.py model=custom model.name=sounds checkpoint=examples/sounds/sounds.pth \
		labels=examples/sounds/labels.csv loss=ce model.mean=-5.7428329 model.std=3.8301974 model.max_length=100 \
		model.family=ast audio=$(CLIPS)/0003.wav data=manifest data.path=$(CLIPS)/eval.json

$(DEMO): | .venv/ready
	@echo "A model of published size, with synthetic weights: its labels mean nothing, its proof is as good"
	$(BIN)/python convert.py model=ast_16_16 experiment=offline

# The tests are shared among processes, each with one core to compute on. If commands wait for servers and for each
# other, there may be more processes than cores. make test SHARE= runs them in one process, as a debugger needs.
PYTEST = $(BIN)/python -m pytest $(SHARE)
EACH := --dist load --maxschedchunk 1
QUICK := tests/unit tests/integration/test_smoke.py

test: SHARE = -n auto --maxprocesses 8 --dist worksteal
test: .venv/ready
	$(PYTEST) $(QUICK)

test-full: SHARE = -n 3 $(EACH)
test-full: .venv/ready
	$(PYTEST) $(QUICK:%=--ignore=%) -m 'not browser and not scale and not server and not fault'

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The same folder, loaded by both versions of transformers, must give the same logits.
compat: .venv/ready .venv-compat/ready
	$(PYTEST) tests/compat --compat-python=$(COMPAT)/python

# What a person sees of a conversion in the MLflow UI, in headless Chromium.
browser: .venv/ready
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
		|| { echo "error: chromium is not installed; install it (Debian: apt-get install chromium)"; exit 1; }
	$(PYTEST) -m browser tests/integration

# A team's tracking server: PostgreSQL and a bucket. The tests start a cluster of their own.
server: .venv/server-ready
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null \
		|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null; } \
		|| { echo "error: PostgreSQL is not installed; install it (Debian: apt-get install postgresql)"; exit 1; }
	$(PYTEST) -m server tests/integration

# Sweeps over processes. Ray, on one node and on two, has a target of its own, because it is large to install.
scale: SHARE = -n 2 $(EACH)
scale: .venv/ready
	$(PYTEST) -m scale -k 'not ray' tests/integration/test_launchers.py

ray: .venv/ray-ready
	$(PYTEST) -m scale -k ray tests/integration/test_launchers.py

# The result for each kind of bad input and broken surroundings: a table with a row per case.
faults: SHARE = -n 4 $(EACH)
faults: .venv/ready
	@mkdir -p outputs
	$(PYTEST) -m fault tests/faults tests/integration --fault-table=outputs/faults.md
	@# Of each result the kind and the exit code must be as documented; numbers and names in a message may depend on the machine.
	@for table in docs outputs; do \
		sed -E 's/^(\| [0-9]+ \| [^|]* \| [^ |]+( [^ |]+)?).*/\1/' $$table/faults.md > outputs/faults-in-$$table.txt; done
	@diff outputs/faults-in-docs.txt outputs/faults-in-outputs.txt \
		|| { echo "error: docs/faults.md differs from the results; if they are right: cp outputs/faults.md docs/faults.md"; exit 1; }
	@diff docs/faults.md outputs/faults.md >/dev/null || echo "The words of docs/faults.md differ; to update it: cp outputs/faults.md docs/faults.md"

# Looks for checkpoint files that give neither a clean error nor verified weights, guided by code coverage.
# make fuzz SECONDS=3600. Interesting inputs are kept in outputs/fuzz, where the next run continues.
SECONDS ?= 60
fuzz: .venv/fuzz-ready
	@mkdir -p outputs/fuzz
	PYTHONPATH=tests $(BIN)/python -m support.fuzz_intake outputs/fuzz -max_total_time=$(SECONDS)

# The documentation site, into outputs/site; whatever mkdocs warns of is an error.
docs: .venv/docs-ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	$(PYTEST) tests/integration/test_site.py

# Wheel and sdist, and whether they work in a fresh environment (some minutes).
dist: .venv/ready
	.ci/dist

bench: .venv/ready .venv-compat/ready
	$(BIN)/python bench/bench.py --baseline-python $(COMPAT)/python

.venv/ready: pyproject.toml constraints.txt
	$(call environment,.venv)
	$(BIN)/pip $(INSTALL) --constraint constraints.txt hatchling editables setuptools
	$(BIN)/pip $(INSTALL) --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@# With a CPU-only torch, a script without ast2hf needs the guard to load a model. Only in this environment.
	@$(BIN)/python -c 'import torchaudio' 2>/dev/null || { cd .venv/lib/python*/site-packages \
		&& echo 'import ast2hf.torchaudio_guard as guard; guard.install()' > ast2hf_torchaudio_guard.pth; }
	@touch $@

.venv/ray-ready: .venv/ready
	$(BIN)/pip $(INSTALL) --constraint constraints.txt --no-build-isolation --editable '.[dev,ray]'
	@touch $@

.venv/docs-ready: .venv/ready
	$(BIN)/pip $(INSTALL) --constraint constraints.txt --no-build-isolation --editable '.[dev,docs]'
	@touch $@

.venv/fuzz-ready: .venv/ready
	$(BIN)/pip $(INSTALL) --constraint constraints.txt --no-build-isolation --editable '.[dev,fuzz]'
	@touch $@

.venv/server-ready: .venv/ready
	$(BIN)/pip $(INSTALL) --constraint constraints.txt --no-build-isolation --editable '.[dev,server]'
	@touch $@

.venv-compat/ready: constraints-compat.txt
	$(call environment,.venv-compat)
	$(COMPAT)/pip $(INSTALL) --requirement constraints-compat.txt
	@touch $@

define environment
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $(PYTHON) is older than Python 3.11; use another: make PYTHON=python3.11 $@"; exit 1; }
	@echo "Setting up $(1) (some minutes, once)"
	@$(PYTHON) -m venv $(1)
endef

clean:
	rm -rf .venv .venv-compat .pytest_cache .mypy_cache .ruff_cache .hypothesis
