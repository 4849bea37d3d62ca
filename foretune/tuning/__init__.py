"""Fine-tuning: the ground truth and what it cost."""
