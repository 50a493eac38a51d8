"""Label noise and near duplicates of a training set."""
