"""Face alignment: detection, five landmarks, the ArcFace template."""
