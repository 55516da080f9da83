"""What the transport shows in virtual time: the modules behind scripts/grid, scripts/fairness and scripts/survival."""
