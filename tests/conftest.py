"""Settings of all tests, made before anything imports Triton."""

import os

import torch

torch.set_num_threads(1)  # a test: the tensors are small, and waiting for threads costs more
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when Triton is imported
