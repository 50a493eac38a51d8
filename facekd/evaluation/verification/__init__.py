"""1:1 verification: accuracy, ROC, thresholds, paired comparison."""
