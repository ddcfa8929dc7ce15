"""Floor 2: what is fitted. Torch lives here and in training/, nowhere else."""
