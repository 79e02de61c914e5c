"""FSDP2 on the CPU, for tests: accelerate shards only on GPU-like devices and silently runs data parallel on a CPU.

The very first `PartialState` of a process that was started with FSDP claims the distributed type MULTI_GPU, for which
accelerate looks for its FSDP plugin; the device stays the CPU and the backend gloo.
"""

import os

from accelerate.state import PartialState
from accelerate.utils import DistributedType


def allow_fsdp2_on_cpu() -> None:
    original_init = PartialState.__init__

    def init(self, *args, **kwargs):
        fresh = not self.initialized
        original_init(self, *args, **kwargs)
        wants_fsdp = os.environ.get("ACCELERATE_USE_FSDP") == "true"
        if fresh and wants_fsdp and self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_GPU

    PartialState.__init__ = init
