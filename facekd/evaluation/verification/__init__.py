"""1:1 verification of image pairs: k-fold accuracy, ROC, TAR at FAR, and the comparison of two models."""
