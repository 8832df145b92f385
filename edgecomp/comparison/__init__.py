"""Whether one model may replace another: both run again, in turns, and judged; and what this machine can tell apart."""
