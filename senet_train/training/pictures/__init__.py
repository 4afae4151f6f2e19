"""Pictures of what a trained network predicts. Drawn without pyplot: no window, no global state."""
