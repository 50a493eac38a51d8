"""Face alignment: detection, five landmarks, and the warp to ArcFace's reference landmarks."""
