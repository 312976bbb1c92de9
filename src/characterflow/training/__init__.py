"""Training of adapters: distillation by preferences (DPO) and introspection by examples (SFT)."""
