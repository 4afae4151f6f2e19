"""What is trained other than classifiers: one file a task."""
