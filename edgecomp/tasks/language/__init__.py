"""What language models are asked."""
