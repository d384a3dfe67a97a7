# Every target makes its own .venv when there is none. uv is used where it is installed, else venv and pip.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
# The rooms that decide who gets in: every line and branch of them is tested.
CORE := */errors.py,*/keys.py,*/paths.py,*/identity.py,*/tokens.py,*/verifier.py,*/keyring.py,*/_key_list.py,*/_regular_file.py,*/_redaction.py,*/_refusal_log.py,*/guard.py,*/asgi.py
# A development install is found through a hook that pyright does not know, hence the path.
PYRIGHT := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" PYTHONPATH="$(CURDIR)" $(VENV)/bin/pyright
UV := $(shell command -v uv 2>/dev/null)
# How many tests run side by side. Many wait for a server, so there is room for more than there are cores.
WORKERS ?= 4

# Each of the hundreds of Python processes would otherwise compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo quick test check docs dist pythons bench format vectors conformance conformance-sdks mutation fuzz soak audit lock clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp is newer than both files exactly when what they ask for is installed.
$(INSTALLED): pyproject.toml requirements/dev.txt
ifdef UV
	test -x $(RUN) || $(UV) venv --quiet --python $(PYTHON) $(VENV)
	$(UV) pip sync --quiet --python $(RUN) --require-hashes requirements/dev.txt
	$(UV) pip install --quiet --python $(RUN) --no-deps --no-build-isolation --editable .
else
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
endif
	@touch $@

demo: $(INSTALLED)  ## Watch a real Restate server be let in and every forgery be turned away
	$(RUN) -m demo

quick: $(INSTALLED)  ## Run the tests of the core and of the adapters, offline: on every save
	$(RUN) -m pytest --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder tests/core tests/adapters

test: $(INSTALLED)  ## Run every test, with the coverage of the core
	$(RUN) -m coverage erase
	COVERAGE_PROCESS_START=$(CURDIR)/pyproject.toml $(RUN) -m pytest --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder
	$(RUN) -m coverage combine --quiet
	$(RUN) -m coverage report
	$(RUN) -m coverage report --fail-under=100 --include='$(CORE)'

check: $(INSTALLED)  ## Lint, formatting, types, the rules between the rooms
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(PYRIGHT) tests/typing_of_the_api.py
	$(PYRIGHT) --verifytypes restate_identity --ignoreexternal
	$(VENV)/bin/lint-imports
	$(VENV)/bin/zizmor --offline --no-progress .github

docs: $(INSTALLED)  ## Make the site in build/docs; a warning, such as a link that leads nowhere, is an error
	$(RUN) -m sphinx --quiet --fresh-env --nitpicky --fail-on-warning --keep-going docs build/docs
	@echo "open build/docs/index.html"

# hatchling dates every file by SOURCE_DATE_EPOCH: the same commit makes the same bytes.
dist: $(INSTALLED)  ## Build the wheel and the sdist in dist/ and check them
	rm -rf dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(RUN) -m build --no-isolation --outdir dist
	$(RUN) -m twine check --strict dist/*
	$(VENV)/bin/check-wheel-contents dist/*.whl

pythons: dist  ## Try the wheel on each supported Python that is here; the others are skipped by name
	$(RUN) -m nox --session wheel

bench: $(INSTALLED)  ## Measure against the peers, under 10 minutes; keeps the numbers, which make docs draws
	$(RUN) -m benchmarks

format: $(INSTALLED)  ## Format the code
	$(RUN) -m ruff check --fix --exit-zero .
	$(RUN) -m ruff format .

vectors: $(INSTALLED)  ## Write the files of tests/vectors again
	$(RUN) -m tests.vectors.generate

conformance: $(INSTALLED)  ## Compare with the SDKs' own verifiers, PyJWT and the SDK's tunnel; 200,000 mutations, 11 scenarios
	$(RUN) -m tests.tools.conformance

conformance-sdks: $(INSTALLED)  ## Send every vector over HTTP to a service of each official SDK whose toolchain is there
	$(RUN) -m tests.tools.conformance.sdks

mutation: $(INSTALLED)  ## Make the package wrong in every small way, one at a time: does a test notice? PART=1/1 (hours)
	$(RUN) -m tests.tools.mutation --part $(or $(PART),1/1)

fuzz: $(INSTALLED)  ## Fuzz what reads the input of strangers, SECONDS=60 for each target
	$(RUN) -m fuzz --seconds $(or $(SECONDS),60)

soak: $(INSTALLED)  ## Real servers and the tunnel under genuine and hostile traffic, SECONDS=300 and half of it
	$(RUN) -m soak --seconds $(or $(SECONDS),300)

# Strict: what cannot be looked up is a failure, not a line in a table.
audit: $(INSTALLED)  ## Look up what is locked among the known vulnerabilities
	$(RUN) -m pip_audit --strict --disable-pip --require-hashes --requirement requirements/dev.txt

# The lock names exact versions and hashes, for every supported Python and platform, and no registry.
lock:  ## Renew requirements/dev.txt (needs uv)
	uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-annotate --no-emit-index-url \
		--custom-compile-command "make lock" --all-extras --group dev pyproject.toml --output-file requirements/dev.txt

clean:  ## Remove what the other targets made
	rm -rf $(VENV) .cache .coverage .hypothesis .import_linter_cache .mypy_cache .nox .pytest_cache .ruff_cache build dist
