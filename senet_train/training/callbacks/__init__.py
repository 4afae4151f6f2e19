"""What happens beside the steps: curves, gates, checkpoints, speed, signs of life."""
