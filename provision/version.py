"""The version of vllm-ready, in its own file so that `--version` imports nothing else."""

VERSION = "0.1.0"
