"""foretune: rank pre-trained speech models, and their layers, before fine-tuning any of them."""
