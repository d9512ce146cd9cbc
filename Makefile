# Thin names for the commands of README.md. `make` alone lists them.
VENV := $(abspath $(or $(BENCHBOOK_VENV),.venv))
export PATH := $(VENV)/bin:$(PATH)

.PHONY: help env quickstart style unit test test-full bench lab

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env:  ## build or repair .venv for a CPU (2 minutes, 3 GB); does nothing when nothing changed
	@environment/cpu/setup.sh

# What `make quickstart OPTIONS=…` gives on to `benchbook run`, such as --new.
OPTIONS :=

quickstart: env  ## sweep a tiny model on a real vLLM on this CPU and write a report
	$(VENV)/bin/benchbook run experiments/quickstart.yaml $(OPTIONS)

style: env  ## is all formatted, and is the linter content? Changes nothing
	$(VENV)/bin/ruff check --config lib/pyproject.toml lib environment
	$(VENV)/bin/ruff format --config lib/pyproject.toml --check lib environment

# A process that imports vLLM's thousand modules should not compile them anew, as containers like to have it.
unexport PYTHONDONTWRITEBYTECODE

# A file's tests run in one process, so that they share what they start; most of a test waits, hence more at a time than
# there are cores. What is to cost little is held to processor time, which the others hardly change.
TOGETHER := $(VENV)/bin/pytest lib/tests -n 4 --dist loadfile --no-loadscope-reorder --cache-clear
# Four at a time leave a test half a core, where a real server may be slower than any limit allows for. What failed so is
# run once more, one at a time, and stands among the failures all the same; what is wrong fails again.
AGAIN := || { test $$? = 1 && $(VENV)/bin/pytest lib/tests --last-failed --last-failed-no-failures none; }

unit: style  ## the tests that need no vLLM: three minutes
	$(TOGETHER) -m "not integration" $(AGAIN)

test: style  ## all tests, on a sample of their matrices; some start the real vLLM: nine to eleven minutes
	$(TOGETHER) $(AGAIN)

test-full: export BENCHBOOK_TEST_FULL := 1
test-full: style  ## all tests and every row of their matrices: 45 minutes
	$(TOGETHER) $(AGAIN)

bench: env  ## what a case costs beside vLLM's own sweep, whether the numbers are the same, how reports grow: three hours
	for each in overhead_online overhead_offline equal_numbers cost_of_watching cost_of_board equal_launches report_growth false_claims starts capacity searches gates steady; do $(VENV)/bin/python lib/proofs/$$each.py || exit 1; done

# Jupyter refuses to run as root unless told; in a container one often is.
lab: env  ## JupyterLab on 127.0.0.1, with a token, on copies of the notebooks in lab/; opens 00_start
	@$(VENV)/bin/python -m benchbook.lab notebooks lab
	$(VENV)/bin/jupyter lab --ip=127.0.0.1 --LabApp.default_url=/lab/tree/00_start.ipynb $(if $(filter 0,$(shell id -u)),--allow-root) lab
