"""What a report's page shows, worked out before it is laid out: headlines, tables, confusions."""
