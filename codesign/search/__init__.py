"""Searches: spaces of designs, Optuna proposes, Dask executes, every trial a run's folder, the front proved."""
