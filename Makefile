# The commands of the house. `make demo` and `make test` do all the set-up on a fresh Debian or Ubuntu machine that has a
# Rust toolchain. Everything is built with the one profile `release`, so the dependencies are built once.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# A build folder outside the checkout, where somebody made one, keeps the dependencies over fresh clones.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/boxwright/target
CARGO_TARGET_DIR ?= $(if $(wildcard $(CACHE)/.),$(CACHE),$(CURDIR)/target)
export CARGO_TARGET_DIR

# Reference data beside the checkout; what is not there is skipped, and says so.
SHARED ?= ../shared
GOLDEN ?= $(SHARED)/golden
RACCOON ?= $(SHARED)/data/raccoon
WEIGHTS ?= $(SHARED)/data/weights/ssd_mobilenet_v1_0.75_coco_quant/derived_float32.safetensors
# Where benchmarks and the screenshots' project are put.
SCRATCH ?= $(CARGO_TARGET_DIR)/scratch
# Further arguments of `boxwright demo`.
ARGS ?=
# The Python peers of the benchmarks.
VENV ?= $(SCRATCH)/venv

CARGO := cargo
BOXWRIGHT := $(CARGO_TARGET_DIR)/release/boxwright

.PHONY: help demo test lint parity bench bench-demo bench-raccoon bench-raccoon-rate bench-train-step bench-gpu bench-config bench-curve coco-picture soak soak-kill screenshots build setup

help:
	@echo "make demo           draw a sample project, train on it, measure it, and open the studio"
	@echo "make test           everything that CI runs"
	@echo "make lint           rustfmt and clippy"
	@echo "make parity         the numbers of TensorFlow's Object Detection API [GOLDEN=$(GOLDEN)]"
	@echo "make bench          the demo and the raccoon benchmark, with their times"
	@echo "make bench-config   how long a config takes to parse, check, print and merge"
	@echo "make bench-raccoon  fine-tune on real photographs [RACCOON=$(RACCOON)]"
	@echo "make bench-raccoon-rate  whole training steps beside PyTorch's, short"
	@echo "make bench-train-step  a training step beside PyTorch's"
	@echo "make bench-gpu      the same on an NVIDIA GPU: WGSL, SPIR-V and CUDA beside PyTorch's CUDA"
	@echo "make bench-inference   one picture through a detector beside LiteRT and onnxruntime"
	@echo "make bench-curve    the learning curves of raccoon and BCCD beside TFOD's [SEEDS='0 1 2']"
	@echo "make coco-picture   the README's picture of the COCO detectors"
	@echo "make soak           train for an hour and watch the memory [MINUTES=60]"
	@echo "make soak-kill      kill a run 200 times at random moments"
	@echo "make screenshots    the pictures of the README, taken anew"
	@echo "make setup          install what this machine lacks"

setup:
	@packaging/setup.sh

build: setup
	$(CARGO) build --release

demo: setup
	$(CARGO) run --release -- demo --dir "$(SCRATCH)/demo" $(ARGS)

test: setup
	$(CARGO) test --release --workspace --no-fail-fast -- --show-output | awk -f tests/summary.awk

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings

# Every test of a room with `parity` in its path compares with the reference numbers in GOLDEN; their rows are the table.
parity: setup
	@if [[ -d "$(GOLDEN)" ]]; then \
	    BOXWRIGHT_GOLDEN="$(abspath $(GOLDEN))" $(CARGO) test --release --workspace --lib --no-fail-fast -- parity --show-output \
	        | awk -v tables=1 -f tests/summary.awk; \
	else \
	    echo "parity: skipped, there is no folder $(GOLDEN)"; \
	fi

bench: bench-demo bench-raccoon bench-raccoon-rate bench-train-step bench-inference

# Parse, check, print and merge of every config that is here, at most 20 ms each.
bench-config: setup
	$(CARGO) build --release --workspace --example config_bench
	$(CARGO_TARGET_DIR)/release/examples/config_bench assets/pipelines/*.config \
	    $(wildcard $(SHARED)/data/tfod-configs/tf?/*.config $(GOLDEN)/config/*.config)

# The main job from a built binary and from nothing else: ten minutes on two cores, mAP@.5 of 0.75 and more.
bench-demo: build
	rm -rf "$(SCRATCH)/demo"
	time "$(BOXWRIGHT)" demo --no-window --dir "$(SCRATCH)/demo"

bench-raccoon: build
	@BOXWRIGHT="$(BOXWRIGHT)" tests/benches/raccoon.sh "$(RACCOON)" "$(WEIGHTS)" "$(SCRATCH)/raccoon"

# Whole steps with input and augmentation: images a second, set against PyTorch's step in the same run.
bench-raccoon-rate: build
	@BOXWRIGHT="$(BOXWRIGHT)" tests/benches/raccoon_rate.sh "$(RACCOON)" "$(WEIGHTS)" "$(SCRATCH)/raccoon-rate" "$(VENV)"

# MobileNetV2 1.0 with SSD heads, 300 x 300, batch 8: one training step here and in PyTorch.
bench-train-step: setup
	$(CARGO) build --release -p boxwright-kernels --example train_step_bench
	@tests/benches/train_step.sh "$(CARGO_TARGET_DIR)/release/examples/train_step_bench" "$(VENV)"

# Batch 32, on the GPU.
bench-gpu: setup
	@tests/benches/gpu.sh "$(CARGO)" "$(VENV)"

# SSD MobileNet v1 0.75, one picture, here, in LiteRT and in onnxruntime; and the start of `boxwright predict`.
bench-inference: build
	$(CARGO) build --release -p boxwright-detection --example inference_bench
	@tests/benches/inference.sh "$(CARGO_TARGET_DIR)/release/examples/inference_bench" "$(VENV)" "$(BOXWRIGHT)"

# Three seeds of each run; half an hour and more on two cores.
bench-curve: build
	@BOXWRIGHT="$(BOXWRIGHT)" tests/benches/curve.sh "$(SHARED)/data" "$(SCRATCH)/curve"

coco-picture: setup
	$(CARGO) run --release -p boxwright-cli --example coco_picture -- "$(SHARED)/data/weights" "$(SHARED)/data/test-images" \
	    assets/screenshots/coco-detections.png

# The memory of an hour's training must not grow.
soak: build
	@BOXWRIGHT="$(BOXWRIGHT)" tests/benches/soak.sh "$(SCRATCH)/soak"

# The last good checkpoint always loads, and the run ends to the same bits.
soak-kill: setup
	BOXWRIGHT_KILLS=$(or $(KILLS),200) $(CARGO) test --release --test it killed_again -- --nocapture

# Every station in both themes, drawn offscreen on a project that the demo made, and the empty project.
screenshots: build
	[[ -d "$(SCRATCH)/demo/runs/demo" ]] || "$(BOXWRIGHT)" demo --no-window --dir "$(SCRATCH)/demo"
	rm -rf "$(SCRATCH)/empty" && "$(BOXWRIGHT)" new "$(SCRATCH)/empty"
	$(CARGO) build --release --workspace --example studio_screenshots
	$(CARGO_TARGET_DIR)/release/examples/studio_screenshots "$(SCRATCH)/demo" "$(SCRATCH)/shots" --size 1280x800
	$(CARGO_TARGET_DIR)/release/examples/studio_screenshots "$(SCRATCH)/empty" "$(SCRATCH)/empty-shots" --size 1280x800 --theme dark
	# Those that the README shows; the rest stay in $(SCRATCH)/shots to be looked at.
	cd "$(SCRATCH)/shots" && cp annotate-dark.png annotate-light.png labels-dark.png pipeline-dark.png review-dark.png \
	    review-light.png train-dark.png "$(CURDIR)/assets/screenshots"
	cp "$(SCRATCH)/empty-shots/annotate-dark.png" assets/screenshots/empty-dark.png
