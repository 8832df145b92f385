"""What is sent to a device."""
