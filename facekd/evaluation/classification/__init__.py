"""Closed-set evaluation: top-k accuracy, calibration, agreement with a teacher."""
