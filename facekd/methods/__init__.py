"""What a network can be trained on: labels, or the anchors of a plan; one file a method."""
