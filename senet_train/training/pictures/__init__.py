"""Pictures in the house's style, as PNG and SVG. Drawn without pyplot: no window, no state."""
