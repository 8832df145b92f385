"""Terms whose teacher is the student itself: its end, its earlier self, what it was before it learnt new classes."""
