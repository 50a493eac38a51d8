"""Closed-set evaluation of classifiers: top-k accuracy, calibration, agreement with a teacher."""
