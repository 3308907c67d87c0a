"""Parts of several systems: networks by name, losses, priors, views."""
