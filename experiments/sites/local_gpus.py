"""GPUs of this machine, a task each: `refine campaign CAMPAIGN.toml --executor experiments/sites/local_gpus.py`."""

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

config = Config(
    executors=[
        HighThroughputExecutor(
            label="gpus",
            available_accelerators=4,  # GPUs: a worker for each, with CUDA_VISIBLE_DEVICES set to it
            cpu_affinity="block",  # each worker, and so its task, has cores of its own
            address="127.0.0.1",  # nobody else needs to reach this machine
            provider=LocalProvider(
                launcher=SimpleLauncher(),  # one pool of workers, started as it is
                init_blocks=1,  # at once
                max_blocks=1,  # this machine is all there is
            ),
        )
    ],
    retries=0,  # refine starts tasks again itself, from their checkpoints, and knows which faults are of the input
    strategy="none",  # nothing to scale
)
