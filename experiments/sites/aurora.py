"""Aurora at ALCF: PBS, nodes of six GPUs of two tiles, a task on each tile.

After ALCF's page on Parsl on Aurora. The campaign runs on a login node. Not tried there, and refine has not been run on
Intel's GPUs: begin with one node in the queue debug, and with a study that has been run on a processor.
"""

from parsl.addresses import address_by_hostname
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.launchers import MpiExecLauncher
from parsl.providers import PBSProProvider

TILES = [f"{gpu}.{tile}" for gpu in range(6) for tile in range(2)]
FIRST_CORES = (1, 9, 17, 25, 33, 41, 53, 61, 69, 77, 85, 93)  # eight for each tile; 0 and 52 are the system's
CORES = ":".join(f"{core}-{core + 7},{core + 104}-{core + 111}" for core in FIRST_CORES)  # with their second threads

config = Config(
    executors=[
        HighThroughputExecutor(
            label="aurora",
            available_accelerators=TILES,  # one worker for each, pinned by ZE_AFFINITY_MASK
            max_workers_per_node=len(TILES),
            # of the login node, as compute nodes reach it: which one that is, is not known here, and this is what the
            # name service says; else address_by_interface with the name of the network
            address=address_by_hostname(),
            cpu_affinity=f"list:{CORES}",  # of each worker, on the socket that its GPU hangs at
            drain_period=2 * 3600,  # s: walltime below less [run] walltime of the campaign file
            prefetch_capacity=0,  # no task waits at a busy node while another one is idle
            provider=PBSProProvider(
                account="ACCOUNT",  # who pays
                queue="debug",  # small
                scheduler_options="#PBS -l filesystems=home:flare",  # file systems that the job needs
                # the environment that refine, jax for Intel's GPUs and Parsl are in; names such as 0.1 need COMPOSITE
                worker_init="module load frameworks; source PATH/TO/VENV/bin/activate; "
                "export ZE_FLAT_DEVICE_HIERARCHY=COMPOSITE",
                walltime="03:00:00",  # of a job; [run] walltime = "01:00:00" goes with it
                nodes_per_block=1,  # of a job
                cpus_per_node=208,  # hardware threads
                init_blocks=0,  # the first job when there are tasks
                min_blocks=0,
                max_blocks=1,  # jobs at a time; queues limit them
                launcher=MpiExecLauncher(bind_cmd="--cpu-bind", overrides="--ppn 1"),  # one pool on each node
            ),
        )
    ],
    retries=0,  # refine starts tasks again itself, from their checkpoints, and knows which faults are of the input
    strategy="simple",  # jobs by how many tasks wait
    max_idletime=300.0,  # s after which an idle job is given back
)
