"""What compiling flash-attn for one architecture saves, and what taking the kept wheel saves; measured in one run.

A prefix that was provisioned for a GPU (`provision --host` does it anywhere) lends its torch and its lock. Each of some
representative sources is compiled for one architecture and for the default list of four, one file at a time, and the
CPU seconds of both are told. Then a wheel of one source is built from nothing, and the same wheel taken from the store.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
