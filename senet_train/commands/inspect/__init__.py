"""senet-inspect: what the excitations of a trained network do."""
