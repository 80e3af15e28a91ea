"""The data sets: where their cases lie, who is trained on and who is tested."""
