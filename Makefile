# The commands of this project. `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
ARGS ?=

export PATH := $(CURDIR)/.tools/bin:$(PATH)
# Tests start hundreds of processes of Python: what one has compiled the others need not.
unexport PYTHONDONTWRITEBYTECODE
BIN := .venv/bin

.PHONY: help setup packages demo up down test test-fast test-slow compose-test test-vault test-lists test-kills test-page test-bodies audit lint types types-of-python types-of-page arch migrate migration openapi api-lint fuzz histories bench profile client docs

help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## Install what the project needs into .venv (and uv into .tools, where it is missing)
	@command -v python3 >/dev/null || { echo "Python 3.11 or later is missing: install it, e.g. apt-get install python3-venv"; exit 1; }
	@command -v uv >/dev/null || { echo "uv: installing into .tools"; python3 -m venv .tools && .tools/bin/pip install --quiet 'uv>=0.13,<1'; }
	@test -e .venv/bin/nbhub || echo "uv: installing what uv.lock names into .venv (about 500 MB, fetched once for each user)"
	@uv sync --frozen --quiet

demo: setup ## Start everything and watch the main job happen (ARGS=--exit ends by itself)
	@$(BIN)/nbhub demo $(ARGS)

up: setup ## Start everything; Ctrl-C ends it (ARGS=--detach leaves it running)
	@$(BIN)/nbhub up $(ARGS)

down: ## End what `make up ARGS=--detach` started
	@$(BIN)/nbhub down $(ARGS)

test: ## Every check and every test, on the whole real stack; each stage with the seconds since the beginning
	@stage() { printf '== %4d s: %s\n' "$$SECONDS" "$$1"; }; \
	stage 'what the project and its tests need'; \
	$(MAKE) --no-print-directory packages; \
	stage 'types, style, imports'; \
	$(MAKE) --no-print-directory --jobs=2 --output-sync types-of-python types-of-page lint arch; \
	stage 'tests that need no more than PostgreSQL'; \
	$(MAKE) --no-print-directory test-fast; \
	stage 'tests on the real parts'; \
	$(MAKE) --no-print-directory test-slow; \
	stage 'done'

packages: setup ## Install what else the tests need of Debian, as root; otherwise say what is missing
	@$(BIN)/python -m stack.tools

client: setup ## Write the synchronous client from the asynchronous one, and docs/commands.md from the command
	@$(BIN)/python client/generate_sync.py && $(BIN)/python client/write_commands.py

docs: setup ## Build the help that /help serves, and say where it is; a link that leads nowhere is an error
	@$(BIN)/python -m stack.tools help-pages

test-fast: packages ## Tests that need no more than PostgreSQL, in parallel
	@$(BIN)/pytest -q -n 2 --dist loadfile --timeout 300 tests/unit tests/contract tests/architecture tests/checklist $(ARGS)

test-slow: packages ## Tests on the real parts, on three stacks side by side, those first that take longest
	@# One more than there are processors where there are two: tests wait as long as they work.
	@$(BIN)/pytest -q -n 3 --dist loadfile --no-loadscope-reorder tests/e2e tests/integration tests/workflows $(ARGS)

# Everything that talks to Vault.
VAULT_TESTS := tests/integration/vault tests/integration/hub/test_secrets.py tests/workflows/test_modules_and_secrets.py \
	tests/e2e/test_modules_and_secrets.py tests/e2e/test_key_rotation.py tests/e2e/test_canary.py

test-vault: packages ## What talks to Vault, on HashiCorp's Vault instead of OpenBao (builds it, once)
	@vault=$$($(BIN)/python -m tests.hashicorp_vault) && NBHUB_STACK_VAULT=$$vault $(BIN)/pytest -q $(VAULT_TESTS) $(ARGS)

compose-test: setup ## docker-compose.yml by the words of deploy/README.md, on a Docker engine of its own; as root
	@$(BIN)/python -m tests.compose

test-lists: packages ## Lists of a million rows, narrowed by every combination of filters (a quarter of an hour)
	@$(BIN)/pytest -q tests/integration/models/test_lists.py --every-combination $(ARGS)

test-kills: packages ## Every crash point of starts and of what is shared; `make test` kills at a third of them (minutes)
	@$(BIN)/pytest -q tests/e2e/test_faults.py tests/e2e/test_sharing_faults.py --every-kill $(ARGS)

test-page: packages ## The page in a real browser, its ten journeys in all eight manners; `make test` takes two (minutes)
	@$(BIN)/pytest -q tests/e2e/test_page.py tests/e2e/test_journeys.py --every-manner $(ARGS)

test-bodies: setup ## Wrong bodies, five hundred times each, with a debugging allocator (minutes of one core)
	@PYTHONMALLOC=debug $(BIN)/python -X faulthandler -m tests.unit.api.http.wrong_bodies 500

audit: setup ## Ask OSV what is known against every pinned version, and say which nobody has looked at
	@$(BIN)/python -m tests.audit $(ARGS)

lint: setup ## Style, and the mistakes that a linter finds
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: types-of-python types-of-page ## Types, strictly: of the Python, and of the page (ui/) against the API's document

types-of-python: setup
	@$(BIN)/mypy

types-of-page: setup
	@$(BIN)/python -m stack.tools check-page

arch: setup ## Imports go one way
	@PYTHONPATH=. $(BIN)/lint-imports --no-cache | sed -n '/^Analyzed/,$$p'

migrate: setup ## Bring the database of NBHUB_DATABASE_URL to the current schema
	@$(BIN)/python -m models.database.migrate

migration: setup ## Write the migration that a change of tables.py needs (NAME=what_changes; ARGS=--empty for an index)
	@$(BIN)/python -m models.database.new_migration '$(NAME)' $(ARGS)

openapi: setup ## Write docs/openapi.json
	@$(BIN)/python -m api.document

api-lint: setup ## Read docs/openapi.json with the tools that others read it with (Redocly, Spectral, generators)
	@$(BIN)/python -m tests.api_lint

fuzz: packages ## Compare the API with its document for as long as you like (ARGS="--max-time 600 --seed 7")
	@SCHEMATHESIS_ARGS="$(or $(ARGS),--max-time 1800)" $(BIN)/pytest -q -s tests/integration/api/test_document.py

histories: setup ## Record the workflow histories that the tests replay
	@$(BIN)/pytest -q tests/workflows --record-histories $(ARGS)

bench: setup ## Measure, each result beside its goal (ARGS=--write puts them into docs/performance.md)
	@$(BIN)/python -m tests.bench $(ARGS)

profile: setup ## Draw flame graphs of the hot requests into docs/profiles/ (as root)
	@$(BIN)/python -m tests.bench.profile $(ARGS)
