"""Lightning callbacks: curves, histograms of gates, checkpoints, speed, heartbeat, bar, pruning."""
