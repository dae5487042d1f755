"""The paper's grid, cell by cell: what there is to run, the runner, and its lines."""
