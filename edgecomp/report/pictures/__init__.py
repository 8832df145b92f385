"""What a report draws, as SVG."""
