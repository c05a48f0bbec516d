"""Polaris at ALCF: PBS, nodes of four A100, a task on each.

After Parsl's own example for this machine (parsl/configs/polaris.py). The campaign runs on a login node. Not tried
there: fill in what is in capital letters, and begin in the queue debug.
"""

from parsl.addresses import address_by_hostname
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.launchers import MpiExecLauncher
from parsl.providers import PBSProProvider

config = Config(
    executors=[
        HighThroughputExecutor(
            label="polaris",
            available_accelerators=4,  # one worker for each A100 of a node, pinned by CUDA_VISIBLE_DEVICES
            # of the login node, as compute nodes reach it: which one that is, is not known here, and this is what the
            # name service says; Parsl's example has address_by_interface("bond0")
            address=address_by_hostname(),
            cpu_affinity="block-reverse",  # the GPU of the lowest number is nearest to the cores of the highest ones
            drain_period=2 * 3600,  # s: walltime below less [run] walltime of the campaign file
            prefetch_capacity=0,  # no task waits at a busy node while another one is idle
            provider=PBSProProvider(
                account="ACCOUNT",  # who pays
                queue="debug",  # small; "prod" from ten nodes on
                scheduler_options="#PBS -l filesystems=home:eagle",  # file systems that the job needs
                select_options="ngpus=4",  # of each node
                # the environment that refine, jax[cuda12] and Parsl are in
                worker_init="module use /soft/modulefiles; module load conda; source PATH/TO/VENV/bin/activate",
                walltime="03:00:00",  # of a job; [run] walltime = "01:00:00" goes with it
                nodes_per_block=2,  # of a job
                cpus_per_node=64,  # hardware threads: 32 cores, two of each
                init_blocks=0,  # the first job when there are tasks
                min_blocks=0,
                max_blocks=1,  # jobs at a time; queues limit them
                # one pool of workers on each node, which divides all 64 threads among its four workers
                launcher=MpiExecLauncher(bind_cmd="--cpu-bind", overrides="--depth=64 --ppn 1"),
            ),
        )
    ],
    retries=0,  # refine starts tasks again itself, from their checkpoints, and knows which faults are of the input
    strategy="simple",  # jobs by how many tasks wait
    max_idletime=300.0,  # s after which an idle job is given back
)
