"""Where a model runs: on this machine, on another one, or split over several."""
