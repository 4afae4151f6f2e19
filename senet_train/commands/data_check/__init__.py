"""`senet-data check`: what is wrong with a tree of class folders, before a network trains on it."""
