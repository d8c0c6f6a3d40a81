"""One torch thread a test: the tensors are small, and waiting for threads costs more."""

import torch

torch.set_num_threads(1)
