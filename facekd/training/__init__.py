"""One training loop for teachers and students: methods, stages, schedules, checkpoints."""
