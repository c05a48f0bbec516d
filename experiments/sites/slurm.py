"""A cluster with Slurm: jobs of four nodes, as many as the campaign keeps busy.

The campaign itself runs on a login node, or wherever sbatch works, and must stay there until it ends; when it is
killed, `--resume` goes on. Run with one node of Slurm 22.05 (docs/tutorials/cluster.md), not on a cluster: fill in what
is in capital letters, and begin with one node.
"""

from parsl.addresses import address_by_hostname
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.launchers import SrunLauncher
from parsl.providers import SlurmProvider

config = Config(
    executors=[
        HighThroughputExecutor(
            label="slurm",
            # where compute nodes reach this one, which is not known here: what the name service says of its name. Where
            # /etc/hosts has 127.0.1.1 for it, as Debian's has, workers look at themselves: address_by_interface("ib0")
            address=address_by_hostname(),
            cores_per_worker=4,  # [run] cores of the campaign file should say the same
            max_workers_per_node=16,  # cores of a node by those of a worker; else Parsl counts one, and has more jobs
            cpu_affinity="block",  # cores of a worker lie side by side
            # seconds after which a node takes no more tasks: walltime below less [run] walltime, so that a task that is
            # begun can end at its own walltime, by its checkpoint. One that Slurm ends with the job is missed two
            # minutes later (heartbeat_threshold), and begins again at a checkpoint of up to half a minute before
            drain_period=3 * 3600,
            prefetch_capacity=0,  # no task waits at a busy node while another one is idle
            provider=SlurmProvider(
                account="ACCOUNT",  # who pays; None where nobody does
                partition="PARTITION",  # None: Slurm's default
                worker_init="source PATH/TO/VENV/bin/activate",  # the environment that refine and Parsl are in
                walltime="04:00:00",  # of a job; [run] walltime = "01:00:00" goes with it
                nodes_per_block=4,  # of a job
                init_blocks=0,  # the first job when there are tasks
                min_blocks=0,
                # jobs at a time, with those that wait: what the scheduler sees of the campaign. Parsl looks every
                # minute, so that a job that has ended is followed by another one up to a minute later
                max_blocks=10,
                exclusive=True,  # whole nodes; else say cores_per_node, or Slurm gives one core of each
                scheduler_options="",  # more lines: #SBATCH --gpus-per-node=4, with available_accelerators=4 above
                launcher=SrunLauncher(),  # a pool of workers on each node
                cmd_timeout=60,  # s that sbatch and squeue may take when the scheduler is busy
            ),
        )
    ],
    retries=0,  # refine starts tasks again itself, from their checkpoints, and knows which faults are of the input
    strategy="simple",  # jobs by how many tasks wait
    max_idletime=300.0,  # s after which an idle job is given back
)
