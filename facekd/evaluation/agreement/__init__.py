"""Agreement of a student with its teacher on images without labels and without pair lists."""
