"""What Hydra finds of senet-train: it takes sweepers and launchers only from this package.

A plugin's name is that of the module that defines its class, so each has a class here; what they
do is in `senet_train.sweeps`. Their settings are stored here and not in conf/: where the plugin
hydra-submitit-launcher is installed as well, Hydra would check files there against its schema.
"""

from collections.abc import Mapping

from hydra.core.config_store import ConfigStore

from senet_train.sweeps import sweeper
from senet_train.sweeps.launchers import cluster, local
from senet_train.sweeps.search import options
from senet_train.sweeps.search import sweeper as search


class Arms(sweeper.ArmSweeper):
    """`hydra/sweeper=arms`."""


class Search(search.SearchSweeper):
    """`hydra/sweeper=search`."""


class Local(local.ProcessLauncher):
    """`hydra/launcher=local`."""


class SubmititLocal(cluster.SubmititLocalLauncher):
    """`hydra/launcher=submitit_local`, a name of hydra-submitit-launcher."""


class SubmititSlurm(cluster.SlurmLauncher):
    """`hydra/launcher=submitit_slurm`, a name of hydra-submitit-launcher."""


LOCAL = {
    "jobs": "auto",  # runs at once; auto: one on each core, or on each GPU
}
SUBMITIT_LOCAL = {
    "submitit_folder": "${output_dir}/.submitit/%j",  # jobs' output; on SLURM all nodes must see it
    "name": "${hydra.job.name}",  # in squeue
    "timeout_min": 60,  # a job's time limit in minutes; at its end SLURM's is queued again
    "cpus_per_task": 1,  # cores of a run, and its threads
    "gpus_per_node": 0,  # 1 for a run on a GPU
}
SUBMITIT_SLURM = {
    **SUBMITIT_LOCAL,
    "partition": "auto",  # auto, here and below: the cluster's own choice
    "account": "auto",  # whose hours
    "qos": "auto",  # quality of service
    "constraint": "auto",  # such as h100: a run goes on only on the kind of node it began on
    "mem_gb": "auto",  # memory in GB
    "signal_delay_s": 120,  # before the time limit: longer than a step and writing a checkpoint
    "max_num_timeout": 10,  # how often a job that met its limit is queued again
    "array_parallelism": 256,  # jobs at once, at most
    "setup": [],  # lines of shell before the run, such as [module load cuda]
    "additional_parameters": {},  # any other flag of sbatch: {mail-type: END}
    "nodes": 1,  # of a run
    "tasks_per_node": 1,  # processes of a run on each node
}
SETTINGS: dict[tuple[str, str, type], Mapping[str, object]] = {
    ("hydra/sweeper", "arms", Arms): {},
    ("hydra/sweeper", "search", Search): options.DEFAULTS,
    ("hydra/launcher", "local", Local): LOCAL,
    ("hydra/launcher", "submitit_local", SubmititLocal): SUBMITIT_LOCAL,
    ("hydra/launcher", "submitit_slurm", SubmititSlurm): SUBMITIT_SLURM,
}
for (group, name, plugin), settings in SETTINGS.items():
    node = {"_target_": f"{__name__}.{plugin.__name__}", **settings}
    ConfigStore.instance().store(group=group, name=name, node=node, provider="senet")
