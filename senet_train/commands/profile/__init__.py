"""`senet-profile`: what networks cost on this machine, side by side, and attention's share."""
