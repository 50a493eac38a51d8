"""Architecture search by channel and block gates inside a trained ResNet."""
