"""How CUDA is to compute: each time the same, and in full precision wherever it says fp32."""

from __future__ import annotations

import torch


def use_exact_arithmetic() -> None:
    """Settings of the whole process; on a CPU they change nothing.

    cuDNN's convolutions of float32 would else round their inputs to TF32, which keeps ten bits: figures
    would differ from those of a CPU, of OpenCV and of a robot in the third digit.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
