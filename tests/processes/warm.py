"""What the fork server of the tests loads: its processes begin with torch and a plan made before.

As in the tests of one process, they compose fast, latency is measured briefly and no picture is
drawn: that takes longer than these runs.
"""

import gc
from contextlib import ExitStack

import torch
from composing import composing_is_fast

torch.set_num_threads(1)  # a pool of threads does not survive a fork

import senet_train.training.run  # noqa: E402, F401
from senet_train.config.compose import composed  # noqa: E402
from senet_train.training.callbacks import speed  # noqa: E402
from senet_train.training.plan import make_plan  # noqa: E402
from senet_train.training.tasks import classification  # noqa: E402

FOR_LIFE = ExitStack()
FOR_LIFE.enter_context(composing_is_fast())
speed.LATENCY_SECONDS, speed.LEAST_PASSES = 0.0, 1
classification.write_mistakes = lambda *arguments: None
make_plan(composed(["data=fake", "model=se_resnet8", "ratio=4", "trainer.precision=32"]))
gc.collect()
gc.freeze()  # else the first collection of each process copies every page
