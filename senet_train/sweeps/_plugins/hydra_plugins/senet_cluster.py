"""Hydra takes a launcher only from a package named hydra_plugins; the logic is elsewhere.

The names are those of the plugin hydra-submitit-launcher. No files in conf/: where that plugin is
installed as well, Hydra would check them against its schema.
"""

from hydra.core.config_store import ConfigStore

from senet_train.sweeps.launchers import cluster as cluster_launcher


class SlurmLauncher(cluster_launcher.SlurmLauncher):
    """`hydra/launcher=submitit_slurm`."""


class LocalLauncher(cluster_launcher.LocalLauncher):
    """`hydra/launcher=submitit_local`."""


LOCAL = {
    "_target_": "hydra_plugins.senet_cluster.LocalLauncher",
    # What each job says, and what it was given: for SLURM a folder that all nodes see.
    "submitit_folder": "${output_dir}/.submitit/%j",
    "name": "${hydra.job.name}",  # in squeue
    "timeout_min": 60,  # a job's time limit in minutes; at its end SLURM's is queued again
    "cpus_per_task": 1,  # cores of a run, and its threads
    "gpus_per_node": 0,  # 1 for a run on a GPU
}
SLURM = {
    **LOCAL,
    "_target_": "hydra_plugins.senet_cluster.SlurmLauncher",
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
STORE = ConfigStore.instance()
STORE.store(group="hydra/launcher", name="submitit_local", node=LOCAL, provider="senet")
STORE.store(group="hydra/launcher", name="submitit_slurm", node=SLURM, provider="senet")
