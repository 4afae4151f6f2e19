"""What the fork server of the tests loads: its processes begin with torch and a plan made before.

As in the tests of one process, latency is measured briefly and no picture is drawn: that takes
longer than these runs.
"""

import torch

torch.set_num_threads(1)  # a pool of threads does not survive a fork

import senet_train.training.run  # noqa: E402, F401
from senet_train.config.compose import composed  # noqa: E402
from senet_train.training.callbacks import speed  # noqa: E402
from senet_train.training.plan import make_plan  # noqa: E402
from senet_train.training.tasks import classification  # noqa: E402

speed.LATENCY_SECONDS = 0.0
classification.write_mistakes = lambda *arguments: None
make_plan(composed(["data=fake", "model=se_resnet8", "ratio=4", "trainer.precision=32"]))
