"""What is done with data before anything is trained on them."""
