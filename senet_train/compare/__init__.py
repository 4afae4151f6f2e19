"""From a folder of finished runs to a verdict one can defend: the command senet-compare."""
