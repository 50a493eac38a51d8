"""The IJB-B and IJB-C protocols: templates pooled from image features, verified 1:1 and identified 1:N."""
