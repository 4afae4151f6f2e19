"""The training loops that are compared, one a file.

Each is `train(network, workload, flags, tell)`: it calls `tell` after every step until that raises.
"""

# Imported only in the process that runs them: timm and Lightning take seconds.
LOOPS = {
    "bare": "benchmarking.loops.bare",
    "plain user": "benchmarking.loops.plain_user",
    "timm": "benchmarking.loops.timm_api",
    "lightning": "benchmarking.loops.lightning",
}
