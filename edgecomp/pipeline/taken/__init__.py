"""What a run takes from outside before it trains: data as they are cleaned, and answers of teachers that are asked."""
