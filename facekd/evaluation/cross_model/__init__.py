"""Two models in one system: probes of a new model against a gallery that was enrolled with an old one."""
