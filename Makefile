# Thin names for the real commands. Each makes the virtual environment first, where none is there.
.PHONY: bill-of-materials demo docs packages test mutants slow opinions thorough engines browser e2e vm live scan build lint lock

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOG := $(VENV)/pip.log
MINE = [ -w . ] || { echo "$(CURDIR) belongs to somebody else: run make in a copy of it that is yours" >&2; exit 1; }
SCANNER := .venv-checkov
SCANNER_READY := $(SCANNER)/.ready

# Deploy, two annexes, an expiring lease and delete, on a local AWS.
demo: build
	@$(BIN)/annex-bootstrap demo

# The documentation as one site: dist/site/index.html. Fails where a link leads nowhere.
docs: build
	@$(BIN)/python -m mkdocs build
	@echo dist/site/index.html

# Both wheels and the sdist, in dist/packages, each installed without a network into an empty environment and used.
packages: build
	@rm -rf dist/packages
	@$(BIN)/hatchling build -d dist/packages
	@cd local_aws && ../$(BIN)/hatchling build -t wheel -d ../dist/packages
	@$(BIN)/python -m tests.packages

# Linters, the unit tests, and on the local AWS what it does itself and how the stack and its leases come and go; three
# at a time, because each waits a third of its time.
test: lint
	$(BIN)/pytest -n 3 -m 'not slow'

# Every command on the local AWS, and every attack on it. The sweeps: every fault in every call, every action of every
# role, a kill at every moment, every documented example, ten stacks in a row while the local AWS is at its worst. And a
# second opinion on every authorization decision in them.
slow: build opinions
	TAKE_DECISIONS_AGAIN=yes $(BIN)/pytest -n 3 -m slow

# What the second opinion needs, from npm; TAKE_DECISIONS_AGAIN=yes asks for it in `make test` too, as CI does.
opinions:
	npm ci --ignore-scripts --no-audit --no-fund --prefix tests/local_aws/second_opinions/simulator

# 20,000 generated histories of annexes instead of the 500 of `make slow`, and 100 stacks in a row while the local AWS is
# at its worst, instead of the 10 of `make slow`: hours.
thorough: build
	HYPOTHESIS_PROFILE=thorough $(BIN)/pytest -m slow tests/unit/lambda_lease/test_model.py
	WORST_CASE_LIVES=100 $(BIN)/pytest -m slow tests/local_aws/worst_case

# Other judges than the local AWS: AWS's own runtime client on the Python of the functions, LocalStack's open engine, and
# cfn-lint in every region. Needs root rights on Debian or Ubuntu, for the Python.
engines: build
	$(BIN)/pytest -n 2 tests/engines

# The launch page and the documentation's site in a real Chromium, with axe-core from npm; installs Chromium where it may.
browser: build
	$(BIN)/pytest tests/browser

# A real HTCondor; needs root rights on Debian or Ubuntu.
e2e: build
	@$(BIN)/python -m tests.htcondor

# Machines that really boot, by QEMU without help of the processor; needs root rights on Debian or Ubuntu.
vm: build
	@$(BIN)/python -m tests.machines $(ARGS)

# The stack in a real account of yours: says what that costs, and does nothing before you agree.
live: build
	@$(BIN)/python -m tests.live $(ARGS)

# checkov on the built template, offline. It pins an old boto3, and so has a virtual environment of its own.
scan: build $(SCANNER_READY)
	@$(BIN)/python -m tests.scan $(SCANNER)/bin/checkov

# Faults planted at random, one at a time in a copy of the checkout: names those that no test notices which calls the
# function. Others each time; ARGS="--seed 7" repeats them.
mutants: build
	@$(BIN)/python -m tests.mutants $(ARGS)

build: $(READY)
	@$(MINE)
	@$(BIN)/python build.py

lint: build
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	cat machine_image/files/debian.sh machine_image/files/build.sh | $(BIN)/shellcheck --shell=bash -
	$(BIN)/cfn-lint dist/annex-bootstrap.template.json
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	$(BIN)/zizmor --offline --quiet --no-progress .github

# Everything that a build and an installation are made of, as a CycloneDX bill of materials.
bill-of-materials: build
	@$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible \
	  --output-file dist/annex-bootstrap.cdx.json

# The versions and hashes of everything that is installed; needs uv. Commit what it writes.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links --no-emit-package annex-bootstrap \
	  --extra dev pyproject.toml local_aws/pyproject.toml --output-file requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links tests/scan/requirements.in --output-file tests/scan/requirements.txt
	uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links tests/engines/lambda_runtime/requirements.in \
	  --output-file tests/engines/lambda_runtime/requirements.txt
	uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links tests/engines/localstack/requirements.in \
	  --output-file tests/engines/localstack/requirements.txt

$(READY): pyproject.toml local_aws/pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "annex-bootstrap needs Python 3.11 or later: make PYTHON=python3.13")'
	@$(MINE)
	@echo 'Making the virtual environment $(VENV): a minute or two, once.'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --require-hashes --requirement requirements.lock \
	  > $(LOG) 2>&1 & installer=$$!; \
	while [ -t 1 ] && kill -0 $$installer 2>/dev/null; do \
	  did="$$(grep -c '^Collecting' $(LOG)) of $$(grep -c '==' requirements.lock) packages found"; \
	  ! grep -q '^Installing' $(LOG) || did='installing them'; \
	  printf '\r  %-40s' "$$did"; sleep 1; \
	done; \
	[ ! -t 1 ] || echo; wait $$installer || { tail -n 20 $(LOG) >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  --editable . --editable ./local_aws
	@touch $@

$(SCANNER_READY): tests/scan/requirements.txt
	@echo 'Making the virtual environment $(SCANNER): a minute or two, once.'
	@$(PYTHON) -m venv $(SCANNER)
	@$(SCANNER)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@
