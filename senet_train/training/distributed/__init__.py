"""One run in several processes: world, collectives, synchronised BatchNorm, starting them."""
