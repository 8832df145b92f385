"""Two language models side by side: folders that a GenAI runtime loads."""
