# The two commands a newcomer needs: `make demo` and `make test`. Both set up .venv first, once.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
INSTALL := -m pip install --quiet --disable-pip-version-check

TOOLKITS := espnet nemo

.PHONY: help demo test suite test-browser test-toolkits check format bench slow clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# pip would compile every module there is, one after the other. Those that are imported are compiled then, and kept also
# where the environment says otherwise: the tests start many processes, each of which would compile torch again.
export PYTHONDONTWRITEBYTECODE :=
$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "speechconv needs Python 3.11 or newer, not " + sys.version'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(INSTALL) --no-compile --editable '.[test]'
	touch $@

demo: $(READY)  ## log-mel features of audio_samples/ into demo_features/; a recogniser live on voices it never heard
	$(BIN)/speechconv extract audio_samples --output demo_features --overwrite
	$(BIN)/speechconv describe logmel
	head -n 3 demo_features/manifest.jsonl
	$(BIN)/python recipes/digits_ctc/stream.py digits audio_samples/speech/en_us_m7_digits_8k.flac

test: $(READY)  ## formatting, lint, types and, at the same time, the whole suite with doctests
	$(MAKE) --jobs 2 check suite

# Two processes of one thread each: torch's own threads would fight for the cores. xdist would keep the files of few
# tests for the end, and those are the long ones, for which one process would wait.
suite: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-browser: $(READY)  ## the reports in headless Chromium (apt-get install chromium chromium-driver)
	$(BIN)/python $(INSTALL) --editable '.[test,browser]'
	SPEECHCONV_BROWSER=1 $(BIN)/python -m pytest tests/browser
	@echo 'look at browser_screenshots/'

test-toolkits: $(TOOLKITS:%=.venv-%/.ready)  ## ESPnet and NeMo, each in a venv of its own with torch (6 GB): the plugs, and ESPnet's blocks
	set -e; for toolkit in $(TOOLKITS); do OMP_NUM_THREADS=1 .venv-$$toolkit/bin/python -m pytest \
		speechconv/adapters/$$toolkit.py tests/adapters/test_$${toolkit}_plug.py tests/recipes/test_plug_in_$$toolkit.py; done
	OMP_NUM_THREADS=1 .venv-espnet/bin/python -m pytest tests/layers/families/test_espnet_blocks.py

# With all that it asks for, ESPnet does not install from a package index; this is what its recognisers import.
.venv-espnet/.ready: IMPORTED := typeguard humanfriendly torch_complex configargparse editdistance ctc_segmentation \
	einops pyyaml
.venv-espnet/.ready: pyproject.toml
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python $(INSTALL) --editable . pytest hypothesis $(IMPORTED)
	$(@D)/bin/python $(INSTALL) --no-deps 'espnet>=202511'
	touch $@

.venv-nemo/.ready: pyproject.toml
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python $(INSTALL) --editable . pytest hypothesis 'nemo_toolkit[asr]>=3.0'
	touch $@

slow: $(READY)  ## the law on ten times as many random stacks, half an hour of wav2vec 2.0, 20,000 files in every store, chaos, noise as filters
	SPEECHCONV_EXAMPLES=1000 $(BIN)/python -m pytest tests/test_law.py --hypothesis-show-statistics
	SPEECHCONV_SLOW=1 $(BIN)/python -m pytest -s tests/extraction/test_whole_utterance.py -k half_an_hour
	SPEECHCONV_CORPUS=20000 $(BIN)/python -m pytest tests/extraction/test_corpus.py
	SPEECHCONV_STORE_ITEMS=20000 $(BIN)/python -m pytest tests/stores/test_conversion.py -k ring
	SPEECHCONV_CHAOS=500 $(BIN)/python -m pytest tests/extraction/test_chaos.py tests/extraction/test_on_executor.py \
		tests/extraction/test_on_ray.py
	SPEECHCONV_SLOW=1 $(BIN)/python -m pytest tests/recipes/test_digits_training.py -k frozen

check: $(READY)  ## ruff and pyright
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

format: $(READY)  ## rewrite the sources in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)  ## time log-mel, the wav2vec 2.0 encoder, light encoders, live streams, verify and extract, everyone in turn
	$(BIN)/python -m benchmarks.logmel
	$(BIN)/python -m benchmarks.encoder
	$(BIN)/python -m benchmarks.budgets
	$(BIN)/python -m benchmarks.streams
	$(BIN)/python -m benchmarks.verification
	$(BIN)/python -m benchmarks.extraction
	$(BIN)/python -m benchmarks.command

clean:  ## forget the environment and what demo made
	rm -rf $(VENV) $(TOOLKITS:%=.venv-%) demo_features browser_screenshots
