"""LoRA adapters: files, arithmetic, folding, and those that others released."""
