from senet_train.cli import entry

entry()
