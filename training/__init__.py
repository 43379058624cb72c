"""Data, mining, losses and trainers for rerankers; empty until fine-tuning is built."""
