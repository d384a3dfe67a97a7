# Every target makes its own .venv if there is none, with uv if it is installed, else with venv and pip.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
DEMO_INSTALLED := $(VENV)/.demo-installed
# The modules that decide which requests get in: tests must cover every line and branch of them.
CORE := errors keys paths identity tokens verifier keyring guard asgi edge/aliases edge/application edge/dialects edge/judged_path _allowance _base64url _ed25519 _edwards25519 _headers _key_list _libsodium _node_crypto _quoting _redaction _refusal_log _regular_file _strict_json
COMMA := ,
SPACE := $() $()
CORE_FILES := $(subst $(SPACE),$(COMMA),$(CORE:%=restate_identity/%.py))
# The path is for pyright, which does not know the import hook of a development install.
PYRIGHT := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" PYTHONPATH="$(CURDIR)" $(VENV)/bin/pyright
# Empty if there is no cargo, or none that accelerator/Cargo.toml accepts.
CARGO := $(shell cargo --version 2>/dev/null | awk '{ split($$2, version, "."); if (version[1] > 1 || version[2] >= 88) print "yes" }')
LEFT_OUT := @echo "left out, because there is no cargo 1.88 or later:"
ACCELERATED_WORKLOADS := new keys threads recorded servers imports
# The accelerator is not installed in .venv: what is to use it gets this folder in PYTHONPATH.
ACCELERATOR := build/accelerator/site
UV := $(shell command -v uv 2>/dev/null)
# How many tests run in parallel. Many of them wait for a server, so this may exceed the number of cores.
WORKERS ?= 4

# With this variable, each of the hundreds of Python processes would compile all its imports again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo quick test check docs dist pythons bench format vectors conformance conformance-sdks mutation fuzz soak audit lock clean accelerator accelerated

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

ifdef UV
MAKE_VENV := $(UV) venv --quiet --python $(PYTHON) $(VENV)
PIP_INSTALL := $(UV) pip install --quiet --python $(RUN)
PIP_SYNC := $(UV) pip sync --quiet --python $(RUN) --require-hashes
else
MAKE_VENV := $(PYTHON) -m venv $(VENV)
PIP_INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check
PIP_SYNC := $(PIP_INSTALL) --require-hashes --requirement
endif

define install
test -x $(RUN) || $(MAKE_VENV)
$(1)
$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
endef

# If a stamp is newer than both files, their dependencies are installed.
$(INSTALLED): pyproject.toml requirements/dev.txt
	$(call install,$(PIP_SYNC) requirements/dev.txt)
	@touch $@ $(DEMO_INSTALLED)

# What is there already stays: it may be all of requirements/dev.txt.
$(DEMO_INSTALLED): pyproject.toml requirements/demo.txt
	$(call install,$(PIP_INSTALL) --require-hashes --requirement requirements/demo.txt)
	@touch $@

demo: $(DEMO_INSTALLED)  ## Watch a real Restate server get in, and every forgery be refused
	$(RUN) -m demo

QUICK = $(RUN) -m pytest --numprocesses auto --dist loadscope --no-loadscope-reorder --hypothesis-profile quick tests/core tests/adapters

quick: $(INSTALLED)  ## Run the tests of the core and the adapters, offline; fast enough for every save
	$(QUICK)

ifdef CARGO
test bench conformance fuzz accelerated: $(ACCELERATOR)
endif

# Its tests are left out, by name, if this was not built.
accelerator: $(ACCELERATOR)  ## Build the accelerator, in build/accelerator; needs cargo 1.88

accelerated: $(INSTALLED)  ## Run the tests of make quick with the accelerator, where cargo is
ifdef CARGO
	PYTHONPATH=$(CURDIR)/$(ACCELERATOR) $(QUICK)
else
	$(LEFT_OUT) the tests of the core and the adapters with the accelerator
endif

$(ACCELERATOR): $(INSTALLED) accelerator/Cargo.lock accelerator/Cargo.toml accelerator/pyproject.toml $(wildcard accelerator/src/*.rs)
	rm -rf build/accelerator
	cd accelerator && ../$(VENV)/bin/maturin build --quiet --release --locked --out ../build/accelerator
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-index --target $@ build/accelerator/*.whl
	@touch $@

test: $(INSTALLED)  ## Run every test, with the coverage of the core
ifndef CARGO
	$(LEFT_OUT) the tests of the accelerator, if it was not built before
endif
	$(RUN) -m coverage erase
	COVERAGE_PROCESS_START=$(CURDIR)/pyproject.toml $(RUN) -m pytest --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder
	$(RUN) -m coverage combine --quiet
	$(RUN) -m coverage report --fail-under=100 --include='$(CORE_FILES)'

check: $(INSTALLED)  ## Check lint, formatting, types, and the imports between modules
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(PYRIGHT) tests/typing_of_the_api.py
	$(PYRIGHT) --verifytypes restate_identity --ignoreexternal
	$(VENV)/bin/lint-imports
	$(VENV)/bin/zizmor --offline --no-progress --persona=auditor .github
ifdef CARGO
	cd accelerator && cargo fmt --check
	cd accelerator && cargo clippy --quiet --release --locked --all-targets -- --deny warnings
	cd accelerator && cargo test --quiet --release --locked
else
	$(LEFT_OUT) "the accelerator's lint and tests in Rust"
endif

docs: $(INSTALLED)  ## Build the site in build/docs; a warning, such as a broken link, is an error
	$(RUN) -m sphinx --quiet --fresh-env --nitpicky --fail-on-warning --keep-going docs build/docs
	@echo "open build/docs/index.html"

# hatchling dates every file by SOURCE_DATE_EPOCH, so that a commit always builds the same bytes.
dist: $(INSTALLED)  ## Build the wheel and the sdist in dist/ and check them
	rm -rf dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(RUN) -m build --no-isolation --outdir dist
	$(RUN) -m twine check --strict dist/*
	$(VENV)/bin/check-wheel-contents dist/*.whl

pythons: dist  ## Try the wheel on each supported Python that is installed, and name the others
	$(RUN) -m nox --session wheel

bench: $(INSTALLED)  ## Measure this library and its peers, in 15 minutes; make docs draws the results
	$(RUN) -m benchmarks
ifdef CARGO
	PYTHONPATH=$(CURDIR)/$(ACCELERATOR) $(RUN) -m benchmarks --no-node $(ACCELERATED_WORKLOADS:%=--only %)
else
	$(LEFT_OUT) the budgets with the accelerator
endif

format: $(INSTALLED)  ## Format the code
	$(RUN) -m ruff check --fix --exit-zero .
	$(RUN) -m ruff format .

vectors: $(INSTALLED)  ## Write the files of tests/vectors again
	$(RUN) -m tests.vectors.generate

conformance: $(INSTALLED)  ## Compare with the SDKs' verifiers, PyJWT and the SDK's tunnel; 200,000 mutations, 11 scenarios
	$(RUN) -m tests.tools.conformance
ifdef CARGO
	PYTHONPATH=$(CURDIR)/$(ACCELERATOR) $(RUN) -m tests.tools.conformance.signatures
else
	$(LEFT_OUT) the comparison of the accelerator with libsodium
endif

conformance-sdks: $(INSTALLED)  ## Send every vector over HTTP to a service of each SDK whose toolchain is installed
	$(RUN) -m tests.tools.conformance.sdks
	$(RUN) -m tests.tools.conformance.sdks.behind_an_edge
	$(RUN) -m tests.tools.conformance.sdks.behind_a_tunnel_client

mutation: $(INSTALLED)  ## Check that a test notices every small mistake in the package, PART=1/1, CHANGED=1 for changed modules (hours)
	$(RUN) -m tests.tools.mutation --part $(or $(PART),1/1) $(if $(CHANGED),--changed)

fuzz: $(INSTALLED)  ## Fuzz the code that reads untrusted input, SECONDS=60 for each target
	$(RUN) -m fuzz --seconds $(or $(SECONDS),60)

soak: $(INSTALLED)  ## Run real servers under genuine and hostile traffic for SECONDS=300, then the tunnel, then REQUESTS=100000 through each proxy, then encrypt a million values
	$(RUN) -m soak --seconds $(or $(SECONDS),300)
	$(RUN) -m tests.servers.edge --requests $(or $(REQUESTS),100000)
	$(RUN) -m tests.encryption.million

# Strict: a package that cannot be looked up is a failure, not only a line in the table.
audit: $(INSTALLED)  ## Check the locked dependencies for known vulnerabilities
	$(RUN) -m pip_audit --strict --disable-pip --require-hashes --requirement requirements/dev.txt

COMPILE := uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-annotate --no-emit-index-url \
	--custom-compile-command "make lock" pyproject.toml

# Every extra but `accelerated`, which is built here.
EXTRAS := cli django encryption encryption-aws fastapi kubernetes opentelemetry prometheus restate signing testing tunnel tunnel-client
# The lock pins versions and hashes for every supported Python and platform, and names no registry.
lock:  ## Renew the files in requirements/ (needs uv)
	$(COMPILE) $(EXTRAS:%=--extra %) --group dev --output-file requirements/dev.txt
	$(COMPILE) --extra restate --extra cli --group demo --constraints requirements/dev.txt --output-file requirements/demo.txt

clean:  ## Remove the files that the other targets made
	rm -rf $(VENV) .cache .coverage .hypothesis .import_linter_cache .mypy_cache .nox .pytest_cache .ruff_cache accelerator/target build dist
