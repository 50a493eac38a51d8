"""Label noise and near-duplicate identities of a training set, found by the embeddings of a model."""
