"""The version of vllm-ready, alone in a file so that `--version` imports nothing else."""

VERSION = "0.1.0"
