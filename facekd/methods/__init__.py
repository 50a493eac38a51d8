"""Training methods: supervised training, distillation, online distillation and the search for a student."""
